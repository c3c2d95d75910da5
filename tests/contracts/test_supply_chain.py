"""What the project is made of can be listed, is licensed to be passed on, and holds no credential."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import check_tree
import pytest
import supply_chain

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "supply_chain.py"


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
    package = supply_chain.Package("thing", "1.0", None)
    monkeypatch.setattr(supply_chain.Package, "license", property(lambda _self: name))
    (line,) = supply_chain.license_faults([package])
    assert "thing 1.0" in line and name in line


def test_a_token_or_a_private_key_in_the_tree_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    for secret in ("hf_" + "a1B2" * 6, "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\n"):
        path.write_text(f"key: {secret}\n")
        assert len(check_tree.secrets(path)) == 1
    path.write_text("key: ${HF_TOKEN}\n")
    assert check_tree.secrets(path) == []


@pytest.mark.parametrize(
    ("stdout", "stderr", "said"),
    [
        ("", "No module named pip_audit", "not audited: No module named pip_audit (install pip-audit"),
        (
            '{"dependencies": [{"name": "a", "skip_reason": "x"}]}',
            "",
            "not audited: no advisory data could be had for any of 1 packages (x)",
        ),
        ('{"dependencies": []}', "", "not audited: no advisory data could be had for any of 0 packages"),
        (
            '{"dependencies": [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "x"}]}',
            "",
            "1 packages audited, 0 known vulnerabilities\n"
            "not audited: no advisory data could be had for 1 of 2 packages: b (x)",
        ),
    ],
)
def test_an_audit_that_could_not_be_had_is_not_taken_for_a_clean_one(
    stdout: str, stderr: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = subprocess.CompletedProcess([], 1, stdout, stderr)
    monkeypatch.setattr(supply_chain.subprocess, "run", lambda *_, **__: done)
    assert supply_chain.audit() == 3
    assert said in capsys.readouterr().out


def test_a_known_vulnerability_fails_the_audit_and_names_its_mend(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = {"name": "a", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]}
    answer = json.dumps({"dependencies": [fault, {"name": "b", "version": "1", "vulns": []}]})
    monkeypatch.setattr(supply_chain.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, answer, ""))
    assert supply_chain.audit() == 1
    assert "a 1: X-1 (fixed in 2)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        "jobs.submit = None",
        "jobs.submit.timeout += 1",
        "del jobs.submit",
        "setattr(jobs, 'submit', None)",
        "os.environ['HOME'] = '/'",
        "os.environ.pop('HOME')",
        "os.chdir('/')",
        "sys.path.insert(0, '/')",
        "for jobs.submit in (1, 2): pass",
        "(jobs.submit, other) = 1, 2",
        "def late():\n    jobs.submit = None",
    ],
)
def test_a_test_that_changes_what_others_share_is_a_fault(line: str) -> None:
    head = "import os, sys\nfrom tao_skill_bank.platforms import jobs\n"
    assert [number for number, _ in check_tree.reaches(head + line)] == [line.count("\n") + 3]


@pytest.mark.parametrize(
    "line",
    [
        "job = jobs.submit",
        "jobs = 1",
        "def test(monkeypatch):\n    monkeypatch.setattr(jobs, 'submit', None)",
        "def test():\n    try:\n        jobs.submit = 1\n    finally:\n        jobs.submit = old",
        "if __name__ == '__main__':\n    os.chdir('/')",
        "record.submit = None",
        "own = dict(os.environ, HOME='/')",
    ],
)
def test_what_goes_back_or_is_nobody_elses_is_no_fault(line: str) -> None:
    assert check_tree.reaches("import os, sys\nfrom tao_skill_bank.platforms import jobs\n" + line) == []
