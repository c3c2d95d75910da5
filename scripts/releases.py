#!/usr/bin/env python3
"""Write what every TAO release takes as facts: `make releases`, or `releases.py [--wheels DIR] [VERSION…]`.

The wheels come from the Python index (`pip download --no-deps`, about 76 MB a release) or from DIR. Without versions:
every release that the index has of both packages. Nothing of NVIDIA's is kept but names, types, values and digests;
docs/design/releases.md says what each part is for.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import release_source as source

FOLDER = Path(__file__).resolve().parent.parent / "tao_skill_bank" / "data" / "releases" / "facts"
WHEELS = ("nvidia-tao-pytorch", "nvidia-tao-ds", "nvidia-tao-core")
DEEP = ("visual_changenet", "gap_analysis", "embedding", "tmm")
"""Commands whose refusals, outputs and value lists are read; of the others, actions and keys."""
_CLASSIFIER = "cv/visual_changenet"
_OWN = ("cv/visual_changenet", "cv/optical_inspection/dataloader")
"""Where the classifier's own refusals stand: its closure holds every backbone and layer of the package."""


def main() -> int:
    """Read the wheels, write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="*")
    parser.add_argument("--wheels", type=Path, help="folder with the wheels; default: they are downloaded")
    parser.add_argument("--out", type=Path, default=FOLDER)
    args = parser.parse_args()
    for version in args.versions or published():
        with tempfile.TemporaryDirectory() as scratch:
            wheels = args.wheels or download(version, Path(scratch) / "wheels")
            root = Path(scratch) / "unpacked"
            found = {name: unpack(wheels, name, version, root) for name in WHEELS}
            path = args.out / f"{version}.json"
            path.write_text(written(facts(version, root, found)), encoding="utf-8")
            print(path)
    return 0


def published() -> list[str]:
    """Releases that the index has of every package that is read."""
    per_package = []
    for name in WHEELS:
        line = [sys.executable, "-m", "pip", "index", "versions", "--python-version", "3.12", "--only-binary=:all:"]
        done = subprocess.run([*line, name], capture_output=True, text=True, check=True)
        listed = re.search(r"Available versions: (.*)", done.stdout)
        per_package.append({v.strip() for v in listed[1].split(",")} if listed else set())
    common = set.intersection(*per_package)
    return sorted((v for v in common if re.fullmatch(r"\d+\.\d+\.\d+", v) and v >= "7.1.0"), key=_order)


def download(version: str, folder: Path) -> Path:
    """The wheels of a release; they are for Python 3.12 and are only read here."""
    names = [f"{name}=={version}" for name in WHEELS]
    line = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*line, "--python-version", "3.12", "--dest", str(folder), *names], check=True)
    return folder


def unpack(wheels: Path, name: str, version: str, root: Path) -> dict[str, Any]:
    """Unpack one wheel; its file name, size in bytes and digest."""
    path = next(iter(sorted(wheels.glob(f"{name.replace('-', '_')}-{version}-*.whl"))))
    with zipfile.ZipFile(path) as archive:
        archive.extractall(root)
    data = path.read_bytes()
    return {"file": path.name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def facts(version: str, root: Path, wheels: dict[str, Any]) -> dict[str, Any]:
    """Everything that is kept of a release."""
    served = deploy_actions(root)
    listed: dict[str, Any] = {}
    classes: dict[str, None] = {}
    read: list[Path] = []
    for command, (package, entry) in sorted(source.commands(root).items()):
        scripts = source.actions(root, entry)
        its_actions: dict[str, Any] = {}
        read += scripts.values()
        for action, script in scripts.items():
            found = its_actions[action] = _action(root, command, script)
            if found.get("schema"):
                classes[found["schema"]] = None
        listed[command] = {"package": package, "actions": its_actions}
        if extra := sorted(served.get(command, set()) - set(scripts)):
            listed[command]["elsewhere"] = extra
    return {
        "release": version,
        "wheels": wheels,
        "commands": listed,
        "schemas": read_keys(root, list(classes)),
        "classifier": classifier(root),
        "annotation": annotation(root),
        "unread": source.unread(root, read),
    }


def deploy_actions(root: Path) -> dict[str, set[str]]:
    """Command → actions that NVIDIA's service lists for it; those without a script here run in other containers."""
    found: dict[str, set[str]] = {}
    for path in sorted((root / "nvidia_tao_core/microservices/handlers/network_configs").glob("*.config.json")):
        name = re.sub(r"_(classify|segment|mono|stereo)$", "", path.name.removesuffix(".config.json"))
        told = json.loads(path.read_text(encoding="utf-8")).get("api_params", {}).get("actions") or []
        found.setdefault(name, set()).update(told)
    return found


def _action(root: Path, command: str, script: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"schema": source.schema_of(root, script)}
    if command not in DEEP:
        return found
    files = source.closure(root, script)
    found["code"] = source.digest(root, files)
    found["outputs"] = source.outputs(files if command != "visual_changenet" else _own(root, files))
    if command != "visual_changenet":
        found["refusals"] = source.refusals(root, files)
    return found


def _own(root: Path, files: list[Path]) -> list[Path]:
    return [p for p in files if any(str(p.relative_to(root / "nvidia_tao_pytorch")).startswith(o) for o in _OWN)]


def classifier(root: Path) -> dict[str, Any]:
    """What the change classifier does that no key shows: read from where its source refuses and what it logs."""
    base = root / "nvidia_tao_pytorch"
    own = [p for part in _OWN for p in sorted((base / part).rglob("*.py"))]
    refusals = source.refusals(root, own)
    here = [r for r in refusals if r["file"].startswith((f"{_CLASSIFIER}/classification", "cv/optical_inspection"))]
    frozen = next(r for r in here if "pretrained_backbone_path" in r["reads"] and "freeze_backbone" in r["reads"])
    loss = {r["function"].rsplit(".", 1)[-1] for r in here if "loss_fn" in r["reads"]}
    status = {
        task: source.status_fields(sorted((base / _CLASSIFIER / folder).rglob("*.py")))
        for task, folder in (("classify", "classification"), ("segment", "segmentation"))
    }
    model = source.tree_of(base / _CLASSIFIER / "classification/models/changenet.py")
    trainer = source.tree_of(base / _CLASSIFIER / "classification/models/cn_pl_model.py")
    return {
        "backbones": source.choices(base / _CLASSIFIER / "backbone"),
        "status": status,
        "loss_checked": "fit" if "setup" in loss else "load",
        "frozen_without_weights": {
            "null": "refused",
            "empty": "random" if "null" in frozen["values"] else "refused",
            "dinov3": "fetched" if source.passes_on(model, "pretrained") else "as others",
        },
        "margin_in_training": "eval_margin" if source.made_with(trainer, "val_metrics") else "fixed",
        "refusals": refusals,
    }


def annotation(root: Path) -> dict[str, str]:
    """Kind of automatic labels → digest of the code that makes them."""
    base = root / "nvidia_tao_ds/auto_label"
    kinds = [p for p in sorted(base.iterdir()) if p.is_dir() and p.name not in ("entrypoint", "experiment_specs")]
    return {p.name: source.digest(base, sorted(p.rglob("*.py"))) for p in kinds if p.name != "__pycache__"}


def read_keys(root: Path, classes: list[str]) -> dict[str, Any]:
    """`module:Class` → its keys, read in a process of its own."""
    line = [sys.executable, "-B", str(Path(__file__).with_name("release_keys.py")), str(root)]
    done = subprocess.run(line, input="\n".join(classes), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the configuration classes cannot be read:\n{done.stderr}")
    read: dict[str, Any] = json.loads(done.stdout)
    return {name: keys if "error" in keys else {"keys": keys} for name, keys in read.items()}


def written(value: dict[str, Any]) -> str:
    """One key or refusal a line, so that a change of a release shows as lines."""

    def text(node: Any, depth: int) -> str:
        flat = json.dumps(node, ensure_ascii=False)
        if not isinstance(node, dict | list) or not node or (len(flat) < 130 and depth > 1) or depth > 5:
            return flat
        pad = " " * (depth + 1)
        if isinstance(node, dict):
            inner = [f"{pad}{json.dumps(k)}: {text(v, depth + 1)}" for k, v in node.items()]
            return "{\n" + ",\n".join(inner) + f"\n{' ' * depth}}}"
        return "[\n" + ",\n".join(pad + text(v, depth + 1) for v in node) + f"\n{' ' * depth}]"

    return text(value, 0) + "\n"


def _order(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


if __name__ == "__main__":
    sys.exit(main())
