"""The threat model names tests that exist; and attacks that belong to no one module."""

from __future__ import annotations

import ast
import http.client
import re
from pathlib import Path

import pytest
import tiny

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.changenet.spec import load_spec, spec_faults
from tao_skill_bank.reports.deft.live import LiveServer

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "docs/design/threat-model.md"
RELIABILITY = ROOT / "docs/reliability.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def names_in(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))}


@pytest.mark.parametrize("page", [MODEL, RELIABILITY], ids=lambda p: p.name)
def test_every_test_that_the_page_names_exists(page: Path) -> None:
    named = NAMED.findall(page.read_text(encoding="utf-8"))
    assert len(named) >= 5
    assert [f"{file}::{name}" for file, name in named if name not in names_in(ROOT / file)] == []


def test_every_attack_of_the_threat_model_has_a_test() -> None:
    rows = [line for line in MODEL.read_text(encoding="utf-8").splitlines() if re.match(r"\| (?!Attack)\S", line)]
    assert len(rows) > 20
    assert [row for row in rows if not NAMED.search(row.split("|")[3])] == []


@pytest.mark.parametrize(
    "text",
    [
        "train: {_target_: os.system, _args_: ['touch {mark}']}",
        "_target_: subprocess.run",
        "train: !!python/object/apply:os.system ['touch {mark}']",
        "train: !!python/name:os.system",
        "train: {results_dir: '${oc.env:HF_TOKEN}'}",
        "train: {results_dir: '${oc.decode:x}'}",
        "defaults: [/etc/passwd]",
    ],
)
def test_a_spec_names_no_python_to_run_and_no_variable_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", "canary-6b21")
    mark = tmp_path / "it-ran"
    path = tmp_path / "spec.yaml"
    path.write_text(text.replace("{mark}", str(mark)))
    with pytest.raises(InputError) as caught:
        loaded = load_spec(path)
        faults = spec_faults(loaded)
        assert "canary" not in str(loaded)
        raise InputError("; ".join(str(fault) for fault in faults))
    assert re.search(r"unknown|not valid YAML|refers to|cannot be|not known|no such", caught.value.line())
    assert "canary" not in caught.value.line()
    assert not mark.exists()


def test_no_module_loads_a_pickle() -> None:
    banned = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
    calls = {"torch.load", "numpy.load", "np.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
    found = []
    for path in [*(ROOT / "tao_skill_bank").rglob("*.py"), *(ROOT / "mcp_server").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if banned & {name.split(".")[0] for name in names}:
                found.append(f"{path}:{node.lineno}")  # type: ignore[attr-defined]
            if isinstance(node, ast.Call) and ast.unparse(node.func) in calls:
                plain = any(k.arg == "allow_pickle" and ast.unparse(k.value) == "False" for k in node.keywords)
                found += [] if plain else [f"{path}:{node.lineno}"]
    assert found == []


def test_the_page_takes_nothing_from_anybody(tmp_path: Path) -> None:
    run = tiny.approved(tiny.request(tiny.make_workspace(tmp_path / "w", pairs=0, pool=4)))
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with LiveServer(run) as server:
        port = int(server.address.rsplit(":", 1)[1].strip("/"))
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            connection.request(method, "/", body="approve=true", headers={"Origin": "https://evil.example"})
            answer = connection.getresponse()
            assert answer.status == 501
            assert "Access-Control-Allow-Origin" not in answer.headers
            connection.close()
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before
