"""A whole run with a secret in every credential: none shows in what is written, printed, or seen by `ps`."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import tiny

from tao_skill_bank.bank.platforms_catalog import load_catalog

MORE = ("NGC_KEY", "NGC_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY", "GOOGLE_API_KEY")
MORE += ("GEMINI_API_KEY", "ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "GITHUB_TOKEN")
MORE += ("TAO_ANNOTATE_VLM_KEY", "TAO_ANNOTATE_LLM_KEY", "DATABASE_URL", "MY_SERVICE_PASSWORD")
FILES = (".netrc", ".env", ".aws/credentials", ".docker/config.json", ".ngc/config", ".cache/huggingface/token")


def canary(name: str) -> str:
    return f"canary{sum(name.encode())}x{name.lower().encode().hex()[:24]}"


def credentials() -> dict[str, str]:
    """Every variable that a platform asks for, and those that people have set."""
    platforms = load_catalog().platforms
    asked = {entry.name for p in platforms for entry in (*p.required_credentials, *p.optional_credentials)}
    # Names of hosts, users and files are shown; what admits somebody is not.
    secret = {name for name in asked if re.search(r"(KEY|TOKEN|SECRET|PASSWORD)$", name)}
    return {name: canary(name) for name in sorted({*secret, *MORE})}


@dataclass
class Scene:
    """What there is after the run."""

    base: Path
    run: Path
    secrets: list[bytes]
    planted: set[Path]
    printed: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def showing(self, data: bytes) -> list[str]:
        """The canaries that data holds, plain or in an encoding that hides them from the eye only."""
        forms = [(s, form) for s in self.secrets for form in (s, base64.b64encode(s)[:-4], s.hex().encode())]
        return [secret.decode() for secret, form in forms if form in data]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A workspace, home, cache and temporary folder of their own; a run to its end, some that fail, and looks at it."""
    base = tmp_path_factory.mktemp("canaries")
    workspace = tiny.make_workspace(base / "workspace")
    given = credentials()
    planted = set()
    for name in FILES:
        for folder in (base / "home", *([workspace] if name == ".env" else [])):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"TOKEN={canary(name)}\n")
            planted.add(path)
    for name in ("tmp", "cache", "config", "state"):
        (base / name).mkdir()
    keep = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "PYTHONPATH", "OPENBLAS_NUM_THREADS")}
    places = {"XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "config", "XDG_STATE_HOME": "state", "TMPDIR": "tmp"}
    env = {**keep, **given, "HOME": str(base / "home"), **{k: str(base / v) for k, v in places.items()}}
    secrets = [s.encode() for s in (*given.values(), *map(canary, FILES))]
    scene = Scene(base, base, secrets, planted)

    def tao_skills(words: Sequence[str], *, ends: int = 0, **more: str) -> str:
        command = [sys.executable, "-P", "-m", "tao_skill_bank.cli", *words]
        done = subprocess.run(command, env=env | more, cwd=workspace, capture_output=True, text=True, check=False)
        assert done.returncode == ends, done.stderr
        scene.printed.append(done.stdout + done.stderr)
        return done.stdout

    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(scene.seen, over))
    watcher.start()
    try:
        asked = ["--workspace", str(workspace), "--kpi-target", "FAR < 0.1% at recall=100%", "--set", "num_epochs=1"]
        # A fork shows the command line of whom it was forked from: with a variable that Python reads, none is forked.
        tao_skills(["deft", "run", *asked, "--max-iterations", "1", "--yes"], PYTHONHASHSEED="0")
        (scene.run,) = (workspace / "results").iterdir()
        for words in (["deft", "status"], ["jobs", "list"], ["deft", "run", "--results-dir"]):
            tao_skills([*words, str(scene.run)])
        tao_skills(["doctor"])
        tao_skills(["deft", "plan", *asked], ends=2)
        tao_skills(["deft", "run", *asked, "--max-iterations", "1", "--set", "hf_token=x", "--yes"], ends=2)
        spec = base / "workspace/specs/leaky.yaml"
        spec.write_text("train: {results_dir: '${oc.env:HF_TOKEN}'}\n")
        tao_skills(["deft", "run", *asked, "--max-iterations", "1", "--set", f"specs_file={spec}", "--yes"], ends=2)
    finally:
        over.set()
        watcher.join()
    yield scene


def _watch(seen: list[str], over: threading.Event) -> None:
    """Every command line that any user of the machine could see, until it is over."""
    known: set[bytes] = set()
    while not over.wait(0.05):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if line not in known:
                known.add(line)
                seen.append(line.replace(b"\0", b" ").decode("utf-8", "replace"))


pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks into /proc")


def test_nothing_that_a_run_writes_holds_a_secret(scene: Scene) -> None:
    import pyarrow.parquet as pq

    written = [p for p in scene.base.rglob("*") if p.is_file() and p not in scene.planted]
    kinds = {p.suffix for p in written}
    assert {".json", ".jsonl", ".log", ".html", ".csv", ".parquet", ".pth", ".yaml", ".md"} <= kinds
    for path in written:
        assert scene.showing(path.read_bytes()) == [], path
        if path.suffix == ".parquet":
            assert scene.showing(json.dumps(pq.read_table(path).to_pylist(), default=str).encode()) == [], path


def test_nothing_that_is_printed_holds_a_secret_also_where_it_fails(scene: Scene) -> None:
    assert any("DEFT_Loop_Report.html" in text for text in scene.printed)
    assert any("environment" in text or "oc.env" in text for text in scene.printed)
    for text in scene.printed:
        assert scene.showing(text.encode()) == [], text


def test_no_command_line_of_a_process_holds_a_secret(scene: Scene) -> None:
    assert any("visual_changenet" in line and "train" in line for line in scene.seen)
    for line in scene.seen:
        assert scene.showing(line.encode()) == [], line


def test_a_secret_that_did_leak_would_be_found(scene: Scene, tmp_path: Path) -> None:
    secret = scene.secrets[0]
    for form in (secret, base64.b64encode(secret), secret.hex().encode()):
        assert scene.showing(b"prefix " + form + b" suffix") == [secret.decode()]
