#!/usr/bin/env python3
"""What the project is made of: `sbom`, `licenses`, `audit`.

    python scripts/supply_chain.py sbom > sbom.cdx.json     CycloneDX 1.6 of requirements.lock
    python scripts/supply_chain.py licenses                 a line a package; exit 1 where one is not on the list
    python scripts/supply_chain.py audit                    known vulnerabilities, where the advisories can be had

The lock file is the truth for names, versions and hashes; licences come from the metadata of the environment.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
_PACKAGE = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?:\s*;\s*([^\\]+?))?\s*\\?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
# Licences under which the project may be passed on with the package; the forms in which metadata names them.
ALLOWED = re.compile(
    r"(?i)\b(apache|mit|bsd|isc|psf|python software foundation|mpl|mozilla public license 2|hpnd|unlicense|zlib|0bsd"
    r"|cc0|public domain|mit-cmu)\b"
)
REFUSED = re.compile(r"(?i)\b(a?gpl|affero|sspl|busl|commons clause|proprietary)\b")
# Metadata that names no licence, looked up in the package's own licence file.
KNOWN: dict[str, str] = {}


@dataclass
class Package:
    """One line of the lock."""

    name: str
    version: str
    marker: str | None
    hashes: list[str] = field(default_factory=list)

    @property
    def license(self) -> str | None:
        """The licence its metadata names; None where the package is not for this machine."""
        try:
            about = metadata.metadata(self.name)
        except metadata.PackageNotFoundError:
            return None
        if (expression := about.get("License-Expression")) is not None:
            return expression
        named = [c.rpartition(" :: ")[2] for c in about.get_all("Classifier") or [] if c.startswith("License ::")]
        text = (about.get("License") or "").strip()
        short = text.splitlines()[0] if text else ""
        return "; ".join(sorted(set(named))) or short or KNOWN.get(self.name) or "not named"


def packages(lock: Path = LOCK) -> list[Package]:
    """Every package of the lock, in its order."""
    found: list[Package] = []
    for line in lock.read_text(encoding="utf-8").splitlines():
        if match := _PACKAGE.match(line.strip()):
            found.append(Package(match[1], match[2], match[3]))
        elif (value := _HASH.search(line)) and found:
            found[-1].hashes.append(value[1])
    return found


def sbom(found: list[Package]) -> dict[str, Any]:
    """A CycloneDX document of the packages: name, version, package URL, licence; the same bytes for the same lock."""
    own = json.loads((ROOT / "plugin.json").read_text(encoding="utf-8"))
    components = []
    for package in found:
        component: dict[str, Any] = {
            "type": "library",
            "bom-ref": f"pkg:pypi/{package.name.lower()}@{package.version}",
            "name": package.name,
            "version": package.version,
            "purl": f"pkg:pypi/{package.name.lower()}@{package.version}",
            # One for each file the index offers; which of them is installed depends on the machine.
            "properties": [{"name": "lock:sha256", "value": value} for value in package.hashes],
        }
        if package.marker:
            component["properties"].append({"name": "lock:marker", "value": package.marker})
        if package.license:
            component["licenses"] = [{"license": {"name": package.license}}]
        components.append(component)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own["name"],
                "name": own["name"],
                "version": own["version"],
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": components,
    }


def license_faults(found: list[Package]) -> list[str]:
    """A line for every package whose licence is not one the project may be passed on with."""
    faults = []
    for package in found:
        name = package.license
        if name is not None and (REFUSED.search(name) or not ALLOWED.search(name)):
            faults.append(f"{package.name} {package.version}: {name} (not on the list in scripts/supply_chain.py)")
    return faults


def audit() -> int:
    """Ask pip-audit; 0 where nothing is known, 1 where something is, 3 where a package's advisories cannot be had."""
    command = [sys.executable, "-m", "pip_audit", "-r", str(LOCK), "--no-deps", "--disable-pip", "-f", "json"]
    done = subprocess.run([*command, "--progress-spinner", "off"], capture_output=True, text=True, check=False)
    try:
        answer = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        print(f"not audited: {last} (install pip-audit into this environment, and be on line)")
        return 3
    skipped = [d for d in answer if "skip_reason" in d]
    bad = [(d, v) for d in answer for v in d.get("vulns", ())]
    for package, fault in bad:
        fixed = ", ".join(fault["fix_versions"]) or "none yet"
        print(f"{package['name']} {package['version']}: {fault['id']} (fixed in {fixed})")
    if len(skipped) < len(answer):
        print(f"{len(answer) - len(skipped)} packages audited, {len(bad)} known vulnerabilities")
    if skipped or not answer:
        named = "" if len(skipped) == len(answer) else f": {', '.join(d['name'] for d in skipped)}"
        why = f" ({skipped[0]['skip_reason']})" if skipped else ""
        which = f"any of {len(answer)}" if len(skipped) == len(answer) else f"{len(skipped)} of {len(answer)}"
        print(f"not audited: no advisory data could be had for {which} packages{named}{why}")
    return 1 if bad else 3 if skipped or not answer else 0


def main() -> int:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("sbom", "licenses", "audit"))
    what = parser.parse_args().what
    if what == "audit":
        return audit()
    found = packages()
    if what == "sbom":
        print(json.dumps(sbom(found), indent=2))
        return 0
    for package in found:
        print(f"{package.name} {package.version}: {package.license or 'not for this machine'}")
    faults = license_faults(found)
    for line in faults:
        print(line, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
