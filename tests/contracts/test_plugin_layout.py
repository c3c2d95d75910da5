"""What clients read to find the bank: manifests, hooks, skills, and what the published documents promise by name."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from ran import ran

from tao_skill_bank import __version__
from tao_skill_bank.bank.manifests import bank_faults
from tao_skill_bank.bank.skills import load_skill, skill_folders

ROOT = Path(__file__).resolve().parents[2]
HOOK = ROOT / "hooks/session_start.sh"
# Skill → the files that the published documents of these skills name, and a word that each has to be about.
NAMED = {
    "tao-run-deft-aoi": {
        "references/data-layout.md": "golden_path",
        "references/preflight.md": "max_iterations",
        "references/pipeline-and-state.md": "deft_state.json",
        "references/scripts-and-agents.md": "reporter",
        "references/SCRIPT_USAGE.md": "log_stage.py",
        "references/visual-changenet.md": "pretrained",
        "references/paidf-anomalygen.md": "num_SDG",
        "references/tao-analyze-gaps-visual-changenet.md": "gap_analysis vcn_aoi",
        "references/tao-route-visual-changenet-samples.md": "routing_results",
        "references/tao-mine-aoi-images.md": "mining_pool.csv",
        "scripts/align_token_usage.py": "align_tokens",
        "scripts/log_stage.py": "append_stage",
        "scripts/prepare_inference_spec.py": "handoff",
        "agents/reporter.md": "render_report",
        "specs/baseline_spec.yaml": "c_radio_v2",
    },
    "tao-analyze-gaps-visual-changenet": {
        "references/parameters-and-artifacts.md": "top_k_per_label",
        "references/recipe.md": "gap_analysis vcn_aoi",
        "references/rca-report-structure.md": "Per-Label Breakdown",
        "references/troubleshooting.md": "--cfg=job",
    },
    "tao-analyze-gaps-vlm-bcq": {},
    "tao-run-deft-vlm": {},
    "tao-generate-video-reasoning-annotations": {
        "references/configuration.md": "max_workers",
        "references/domain_adaptation.md": "PLACEHOLDER",
        "references/prompts_traffic.py": "PROMPT_TEMPLATES",
        "references/prompts_warehouse.py": "PROMPT_TEMPLATES",
    },
    "paidf-anomalygen": {"references/commands.md": "prep_testcase", "scripts/check_generated.py": "compare"},
    "tao-run-inference-service": {"references/service.yaml": "valid_network_arch_config_basenames"},
}
# What the documents call by name: the loop's own skill, and those that it and the others hand on to.
SKILLS = {
    *NAMED,
    "tao-train-visual-changenet",
    "tao-route-visual-changenet-samples",
    "tao-mine-aoi-images",
}


def hook(path: Path = HOOK, *, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables}
    return subprocess.run(["sh", str(path)], env=env, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def bank_copy(folder: Path) -> Path:
    """The parts of the bank that the session-start hook reads, elsewhere."""
    shutil.copytree(ROOT / "hooks", folder / "hooks")
    for name in ("plugin.json", "versions.yaml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_the_bank_has_no_fault_as_a_plugin() -> None:
    assert bank_faults(ROOT) == []


def test_validate_skills_says_so_with_status_0_and_a_broken_bank_with_status_1(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts/validate_skills.py")]
    good = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (good.returncode, good.stdout) == (0, "ok: no fault found\n")
    for part in ("skills", "hooks", "agents", ".claude-plugin", ".codex-plugin", "scripts"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("plugin.json", ".mcp.json", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".claude-plugin/plugin.json").write_text('{"name": "tao-skill-bank", "version": "0.0.0"}')
    (tmp_path / "skills/tao-mine-aoi-images/references/commands.md").unlink()
    bad = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert bad.returncode == 1
    assert ".claude-plugin/plugin.json: version 0.0.0 is not" in bad.stdout
    assert "names references/commands.md, which is not there" in bad.stdout


@pytest.mark.parametrize("skill", sorted(NAMED))
def test_what_the_published_documents_name_is_in_the_skill_that_names_it(skill: str) -> None:
    assert (ROOT / "skills" / skill / "evals/evals.json").is_file()
    for name, word in NAMED[skill].items():
        text = (ROOT / "skills" / skill / name).read_text(encoding="utf-8")
        assert word in text, name
        assert len(text) > 400, name


def test_the_skills_that_the_documents_call_by_name_are_there_and_the_page_for_agents_lists_all() -> None:
    there = {folder.name for folder in skill_folders(ROOT)}
    assert there >= SKILLS
    assert set(re.findall(r"`skills/([a-z-]+)`", (ROOT / "AGENTS.md").read_text())) == there


def test_the_bank_level_scripts_that_the_documents_name_are_there_and_executable() -> None:
    for name in ("list_tao_platforms.py", "resolve_versions_key.py", "validate_skills.py", "launch.py"):
        path = ROOT / "scripts" / name
        assert path.read_text().startswith("#!/usr/bin/env python3\n")
        assert path.stat().st_mode & 0o111 == 0o111


def test_the_one_liner_of_the_documents_resolves_an_image() -> None:
    value = yaml.safe_load((ROOT / "versions.yaml").read_text())["images"]["tao_toolkit"]["data_services"]
    assert value.startswith("nvcr.io/") and value.endswith("-data-services")


def test_the_skill_carries_the_same_reporter_as_the_plugin() -> None:
    assert (ROOT / "agents/reporter.md").read_bytes() == (
        ROOT / "skills/tao-run-deft-aoi/agents/reporter.md"
    ).read_bytes()


def test_the_spec_template_is_one_that_tao_takes() -> None:
    from tao_skill_bank.data.changenet.spec import load_spec, spec_faults

    spec = load_spec(ROOT / "skills/tao-run-deft-aoi/specs/baseline_spec.yaml")
    classify = spec["dataset"]["classify"]
    classify["train_dataset"] = classify["validation_dataset"] = {"csv_path": "t.csv", "images_dir": "images"}
    assert spec_faults(spec, "train") == []


def test_every_skill_stays_within_its_budget_and_all_descriptions_within_theirs() -> None:
    skills = [load_skill(folder) for folder in skill_folders(ROOT)]
    assert len(skills) >= 6
    assert sum(len(s.description) for s in skills) < 3500
    assert all(len(s.text) / 4 < 2500 and s.text.count("\n") < 300 for s in skills)


def test_evals_expect_skills_that_are_there_and_scripts_that_exist() -> None:
    names = {folder.name for folder in skill_folders(ROOT)}
    ids: list[str] = []
    for folder in skill_folders(ROOT):
        for case in json.loads((folder / "evals/evals.json").read_text()):
            ids.append(case["id"])
            assert case["expected_skill"] in names
            script = case["expected_script"]
            assert script is None or any((ROOT / "skills" / n / script).is_file() for n in names)
    assert len(ids) == len(set(ids))


def test_tools_that_skills_name_are_tools_of_the_server() -> None:
    import anyio

    from mcp_server.server import build_server

    known = {tool.name for tool in anyio.run(build_server().list_tools)}
    verbs = "|".join(sorted({name.split("_")[0] for name in known}))
    for folder in skill_folders(ROOT):
        for page in folder.rglob("*.md"):
            text = page.read_text().replace("mcp__tao__", "").replace("mcp__plugin_tao-skill-bank_tao__", "")
            named = set(re.findall(rf"`((?:{verbs})_[a-z_]+)`", text))
            keys = {"mining_gaps", "start_time", "stop_reason", "check_labels"}
            assert named - known - keys == set(), page


# -- the session-start hook ---------------------------------------------------------------------------------------


def test_the_hook_names_images_credentials_by_name_and_how_to_begin(tmp_path: Path) -> None:
    done = hook(HF_TOKEN="hf_secret", TAO_SKILL_BANK_CACHE=str(tmp_path))
    assert done.returncode == 0
    assert done.stderr == ""
    assert f"TAO Skill Bank {__version__}: {ROOT}" in done.stdout
    images = yaml.safe_load((ROOT / "versions.yaml").read_text())["images"]
    said = re.search(r"^Images of versions\.yaml \(not looked for here\): (.*)$", done.stdout, re.MULTILINE)
    assert said is not None
    # A reference whose name is that of the one before it is its tag alone.
    named: list[str] = []
    for word in said[1].split(", "):
        named.append(word if ":" in word.partition("@")[0] else f"{named[-1].rpartition(':')[0]}:{word}")
    assert named == [reference for entries in images.values() for reference in entries.values()]
    assert "Set in the environment: HF_TOKEN; not set: NGC_KEY" in done.stdout
    assert "hf_secret" not in done.stdout
    assert "run the DEFT loop" in done.stdout
    assert len(done.stdout) < 1500


def test_the_hook_takes_less_than_fifty_milliseconds() -> None:
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        hook()
        times.append(time.perf_counter() - begun)
    assert min(times) < 0.05


@pytest.mark.parametrize("name", ["with spaces", "it's", 'say "so"', "dollar $HOME `id`"])
def test_the_hook_exports_its_root_from_any_path_with_the_plugin_root_unset(tmp_path: Path, name: str) -> None:
    root = bank_copy(tmp_path / name)
    env_file = tmp_path / "env file"
    done = hook(root / "hooks/session_start.sh", CLAUDE_ENV_FILE=str(env_file), CLAUDE_PLUGIN_ROOT="")
    assert done.returncode == 0
    assert f"{__version__}: {root.resolve()}" in done.stdout
    said = subprocess.run(
        ["sh", "-c", '. "$1"; printf %s "$TAO_SKILL_BANK_PATH"', "-", str(env_file)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == str(root.resolve())


def test_the_hook_is_found_by_a_relative_path(tmp_path: Path) -> None:
    root = bank_copy(tmp_path / "bank")
    done = hook(Path("session_start.sh"), cwd=root / "hooks")
    assert f"{__version__}: {root.resolve()}" in done.stdout


@pytest.mark.parametrize("state", ["missing", "folder", "not utf-8", "huge", "other"])
def test_an_unreadable_versions_file_does_not_fail_the_session(tmp_path: Path, state: str) -> None:
    root = bank_copy(tmp_path / "bank")
    path = root / "versions.yaml"
    path.unlink()
    if state == "folder":
        path.mkdir()
    elif state == "not utf-8":
        path.write_bytes(b"images:\n  a:\n    b: \xff\xfe\x00c\n")
    elif state == "huge":
        path.write_text("images:\n  group:\n" + "".join(f"    name{i}: {'x' * 300}\n" for i in range(500)))
    elif state == "other":
        path.write_text("- a\n- b\n")
    done = hook(root / "hooks/session_start.sh", CLAUDE_ENV_FILE="/nonexistent/folder/file")
    assert done.returncode == 0
    assert done.stdout.startswith("TAO Skill Bank")
    assert len(done.stdout) < 1500


def test_the_hook_shows_the_digest_that_an_image_is_pinned_to(tmp_path: Path) -> None:
    root = bank_copy(tmp_path / "bank")
    (root / "versions.yaml").write_text(
        "images:\n  tao:\n    pyt: reg/tao:1 # training\n    other: reg/tao:2\ndigests:\n  reg/tao:1: sha256:abc\n"
    )
    said = hook(root / "hooks/session_start.sh").stdout
    assert "reg/tao:1@sha256:abc, 2\n" in said


@pytest.mark.parametrize(
    ("word", "said"),
    [("ready", "ready"), ("making", "being prepared"), ("failed: no index", "not there. failed: no index")],
)
def test_the_hook_says_what_the_launcher_left(tmp_path: Path, word: str, said: str) -> None:
    root = bank_copy(tmp_path / "bank")
    (tmp_path / f"status-{__version__}").write_text(word + "\n")
    assert f"MCP tools: {said}" in hook(root / "hooks/session_start.sh", TAO_SKILL_BANK_CACHE=str(tmp_path)).stdout


# -- the hook after a report was written ---------------------------------------------------------------------------


def after_write(event: object, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **variables}
    return ran(["sh", str(ROOT / "hooks/post_tool_use.sh")], input=json.dumps(event), env=env, timeout=60)


def test_a_report_that_does_not_hold_is_remarked_on_and_never_blocks(tmp_path: Path) -> None:
    (tmp_path / "RCA_Report.md").write_text("# nothing\n")
    written = {"tool_name": "Write", "tool_input": {"file_path": str(tmp_path / "RCA_Report.md")}}
    done = after_write({**written, "cwd": 5, "transcript_path": []})
    assert (done.returncode, done.stderr) == (0, "")
    remark = json.loads(done.stdout)["hookSpecificOutput"]
    assert remark["hookEventName"] == "PostToolUse"
    assert "does not pass its check" in remark["additionalContext"]
    assert len(remark["additionalContext"]) <= 1500


@pytest.mark.parametrize(
    "event",
    [
        {"tool_input": {"file_path": "/x/notes.md"}},
        {"tool_input": {"file_path": "/x/about_RCA_Report.md.txt"}},
        {"tool_input": "RCA_Report.md"},
        "RCA_Report.md",
        ["RCA_Report.md"],
    ],
)
def test_the_hook_leaves_every_other_file_alone(event: object) -> None:
    done = after_write(event)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def rca(tmp_path: Path) -> Path:
    """An analysis of six rows with its report, not packaged."""
    from datetime import UTC, datetime

    from tao_skill_bank.reports.rca.analysis import make_rca

    (tmp_path / "inference").mkdir()
    rows = [f"b,g,{'bridge' if n > 3 else 'PASS'},C{n},0.{n}" for n in range(1, 7)]
    text = "\n".join(["input_path,golden_path,label,object_name,siamese_score", *rows]) + "\n"
    (tmp_path / "inference/inference.csv").write_text(text)
    train = {"dataset": {"classify": {"input_map": {"L": 0}, "image_ext": ".png"}}}
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(train))
    return make_rca(tmp_path, now=datetime(2026, 1, 2, tzinfo=UTC), kpi_media_path=tmp_path).folder


def test_a_report_that_holds_is_packaged_with_the_session_and_nothing_is_said(rca: Path, tmp_path: Path) -> None:
    secret = "nvapi-" + "Qw7er9Ty2Ui4Op6As8Df1Gh3"
    transcript = tmp_path / "session.jsonl"
    transcript.write_text(json.dumps({"type": "user", "text": f"export NGC_KEY={secret}"}) + "\n")
    written = {"tool_name": "Write", "tool_input": {"file_path": str(rca / "RCA_Report.md")}}
    done = after_write({**written, "transcript_path": str(transcript)})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {p.name for p in (rca / "rca_config").iterdir()} == {"vcn_aoi_spec.yaml", "train.yaml", "SKILL.md"}
    packaged = (rca / "claude_session.jsonl").read_text()
    assert secret not in packaged
    assert '"type":"user"' in packaged


def test_the_hook_is_off_with_rca_hooks_0(rca: Path) -> None:
    (rca / "claude_session.jsonl").unlink(missing_ok=True)
    (rca / "RCA_Report.md").write_text("# nothing\n")
    event = {"tool_input": {"file_path": str(rca / "RCA_Report.md")}}
    assert after_write(event, RCA_HOOKS="0").stdout == ""
    assert after_write(event).stdout != ""
    assert not (rca / "claude_session.jsonl").exists()
