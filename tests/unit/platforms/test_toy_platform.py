"""Another package's platform is planned on, run, killed, resumed, looked at and diagnosed like the bank's own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
from click.testing import CliRunner
from polling import wait_until

from tao_skill_bank import runs
from tao_skill_bank.cli import cli
from tao_skill_bank.commands.doctor_checks import Looks, diagnose
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.loop.request import Request
from tao_skill_bank.platforms import names, own_name, platform_named, registry
from tao_skill_bank.platforms.base import ENDED, JobRecord, Platform, read_records
from tao_skill_bank.platforms.jobs import cancel, job_logs, job_state, platform_of, read_job
from tao_skill_bank.platforms.work import Work
from tao_skill_bank.tasks.action import ActionRequest, plan_action, start_action
from tao_skill_bank.tasks.registry import load_state

SUPPORT = Path(__file__).parents[2] / "support"
CSV = "siamese_score,input_path,golden_path,label,object_name\n0.9,a/,g/,bridge,C1\n0.1,a/,g/,PASS,C2\n"
DROPPED = "routing.accept_dropped=[bridge,missing,pass]"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy platform as another package brings it: an entry point; for this process and those it starts."""
    site = tmp_path / "site"
    info = site / "toy_platform-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-platform\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[tao_skill_bank.platforms]\ntoy = toy_platform:Toy\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(SUPPORT)]))
    return site


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tiny.make_workspace(tmp_path / "w", pairs=0, pool=0, acceptance=False)


def asked(workspace: Path, *settings: str) -> Request:
    target = "FAR < 99.9% at recall=50%"
    return tiny.request(workspace, target, iterations=1, platform="playpen", settings=(DROPPED, *settings))


def ended(record: JobRecord) -> str:
    until = time.monotonic() + 120
    while (state := job_state(record)) not in ENDED and time.monotonic() < until:
        time.sleep(0.02)
    return state


def test_it_is_listed_found_by_its_alias_and_named_where_a_name_is_wrong() -> None:
    assert "toy" in names()
    assert own_name("playpen") == "toy"
    assert isinstance(platform_named(Work(workspace="/w", platform="playpen")), Platform)
    with pytest.raises(InputError, match=r"unknown platform 'toi' .*toy"):
        platform_named(Work(workspace="/w", platform="toi"))
    listed = CliRunner().invoke(cli, ["platforms"]).output
    assert "toy (toy): children of this machine aliases: playpen" in listed
    assert "- toy: children of this machine" in listed


def test_its_settings_are_checked_shown_and_part_of_what_is_approved(workspace: Path) -> None:
    plain, gentle = (runs.plan_run(asked(workspace, *more)) for more in ((), ("toy.nice=7",)))
    assert plain.digest != gentle.digest
    assert gentle.config["platforms"] == {"toy": {"nice": 7}}
    assert "platforms" not in plain.config
    assert any("children of this machine, nice 7" in check.text for check in gentle.checks)
    with pytest.raises(InputError, match="nice: Input should be less than or equal to 19"):
        runs.plan_run(asked(workspace, "toy.nice=30"))
    with pytest.raises(InputError, match=r"unknown key 'toy.nicee'.*toy.nice"):
        runs.plan_run(asked(workspace, "toy.nicee=3"))


def test_a_plan_on_another_platform_has_the_digest_it_had_before(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tiny.request(workspace, iterations=1, settings=(DROPPED,))
    before = runs.plan_run(local).digest
    monkeypatch.setattr(registry, "others", lambda: ())
    assert runs.plan_run(local).digest == before


def test_a_run_on_it_is_killed_and_resumed_and_its_jobs_are_looked_at(workspace: Path) -> None:
    wanted = asked(workspace, "toy.nice=1")
    folder = runs.open_run(wanted, approve=runs.plan_run(wanted).digest, how="flag")
    code = f"from pathlib import Path; from tao_skill_bank import runs; runs.run_loop(Path({str(folder)!r}))"
    worker = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    wait_until(lambda: read_records(folder) or worker.poll() is not None)
    worker.kill()
    worker.wait()
    runs.run_loop(folder)
    state = load_state(folder)
    assert (state.status, state.config.platform) == ("complete", "toy")
    records = read_records(folder)
    assert all(record.platform == "toy" and record.argv[:3] == ["nice", "-n", "1"] for record in records)
    done = [record.key for record in records if job_state(record) == "complete"]
    assert len(done) == len(set(done)), "nothing ran twice"
    assert platform_of(records[0]).settings.nice == 1  # type: ignore[attr-defined]


def test_a_single_action_on_it_is_planned_approved_started_and_looked_at(tmp_path: Path) -> None:
    root = tmp_path / "w"
    (root / "inf").mkdir(parents=True)
    (root / "inf" / "inference.csv").write_text(CSV)
    (root / "spec.yaml").write_text("dataset: {classify: {input_map: {L: 0}, image_ext: .png}}\n")
    given = (f"inference_results_dir={root}/inf", f"train_config={root}/spec.yaml", f"results_dir={root}/out")
    command = ("gap_analysis", "vcn_aoi", *given)
    request = ActionRequest(command, root / "out", root, "toy", ("toy.nice=2",))
    record = start_action(request, plan_action(request).digest)
    again = read_job(root / "out", record.uid)
    assert ended(again) == "complete", job_logs(again, 20)
    assert cancel(again) == "complete"
    assert (root / "out" / "threshold.txt").is_file()
    with pytest.raises(InputError, match="another platform, or with other settings"):
        plan_action(ActionRequest(command, root / "out", root, "local"))


def test_the_doctor_asks_it_too() -> None:
    found = [f for f in diagnose(Looks(platforms=("toy",))).findings if f.group == "platforms"]
    assert [(f.name, f.outcome, f.text) for f in found] == [("toy", "ok", "children of this machine, nice 0")]
