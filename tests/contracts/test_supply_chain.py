"""What the project is made of can be listed, is licensed to be passed on, and holds no credential."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "supply_chain.py"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def called(what: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), what], capture_output=True, text=True, check=False)


def test_the_bill_of_materials_holds_every_locked_package_with_its_hashes() -> None:
    done = called("sbom")
    assert done.returncode == 0, done.stderr
    bill = json.loads(done.stdout)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["version"] == json.loads((ROOT / "plugin.json").read_text())["version"]
    locked = [line.split(" ")[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line]
    assert [f"{c['name']}=={c['version']}" for c in bill["components"]] == [x.rstrip("\\") for x in locked]
    assert all(any(p["name"] == "lock:sha256" for p in c["properties"]) for c in bill["components"])
    references = [c["bom-ref"] for c in bill["components"]]
    assert len(references) == len(set(references))
    assert called("sbom").stdout == done.stdout


def test_every_runtime_dependency_may_be_passed_on_with_the_project() -> None:
    done = called("licenses")
    assert (done.returncode, done.stderr) == (0, "")
    assert "not named" not in done.stdout


@pytest.mark.parametrize("name", ["GPL-3.0-only", "AGPL-3.0", "Other/Proprietary License", "not named"])
def test_a_licence_that_is_not_on_the_list_is_a_fault(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = load("supply_chain")
    package = chain.Package("thing", "1.0", None)
    monkeypatch.setattr(chain.Package, "license", property(lambda _self: name))
    (line,) = chain.license_faults([package])
    assert "thing 1.0" in line and name in line


def test_a_token_or_a_private_key_in_the_tree_is_a_fault(tmp_path: Path) -> None:
    tree = load("check_tree")
    path = tmp_path / "config.yaml"
    for secret in ("hf_" + "a1B2" * 6, "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\n"):
        path.write_text(f"key: {secret}\n")
        assert len(tree.secrets(path)) == 1
    path.write_text("key: ${HF_TOKEN}\n")
    assert tree.secrets(path) == []


@pytest.mark.parametrize(
    ("stdout", "stderr", "said"),
    [
        ("", "No module named pip_audit", "not audited: No module named pip_audit (install pip-audit"),
        ('{"dependencies": [{"name": "a", "skip_reason": "x"}]}', "", "not audited: no advisory data could be had"),
    ],
)
def test_an_audit_that_could_not_be_had_is_not_taken_for_a_clean_one(
    stdout: str, stderr: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chain = load("supply_chain")
    done = subprocess.CompletedProcess([], 1, stdout, stderr)
    monkeypatch.setattr(chain.subprocess, "run", lambda *_, **__: done)
    assert chain.audit() == 3
    assert said in capsys.readouterr().out


def test_a_known_vulnerability_fails_the_audit_and_names_its_mend(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chain = load("supply_chain")
    fault = {"name": "a", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]}
    answer = json.dumps({"dependencies": [fault, {"name": "b", "version": "1", "vulns": []}]})
    monkeypatch.setattr(chain.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, answer, ""))
    assert chain.audit() == 1
    assert "a 1: X-1 (fixed in 2)" in capsys.readouterr().out
