"""An acceptance set that somebody had looked at before a run: the plan says who, and no verdict is more than met."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
from report_runs import RunBuilder
from verdict_places import told_everywhere

from tao_skill_bank import runs
from tao_skill_bank.assurance.subject import subject_of
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.changenet.spent import looks_path, record_look
from tao_skill_bank.loop.state import state_path
from tao_skill_bank.tasks.changenet.measures import CHECK

SHOWN: dict[str, Any] = {
    "target": "FAR < 5% at recall=95%",
    "accepted": ((0, 500), (500, 500)),
    "trainer": "tao",
    "iterations": 1,
    "pictures": False,
}


def test_a_plan_on_a_set_that_somebody_has_looked_at_says_who_and_one_on_a_fresh_set_says_nothing(
    tmp_path: Path,
) -> None:
    workspace = tiny.make_workspace(tmp_path / "w")
    asked = tiny.request(workspace)
    assert CHECK not in {check.name for check in runs.plan_run(asked).checks}
    record_look(workspace, Path(runs.plan_of(asked)[0].config.acceptance_csv), "Ana")
    [found] = [check for check in runs.plan_run(asked).checks if check.name == CHECK]
    assert found.status == "warn" and found.text.startswith("looked at by Ana on ") and "spent" in found.text
    looks_path(workspace).write_text("nobody looked\n")
    with pytest.raises(InputError, match=r"acceptance_looks\.jsonl line 1: is no look"):
        runs.plan_run(asked)


@pytest.mark.parametrize("seen", [False, True])
def test_what_was_seen_before_a_run_shows_nothing_of_its_model_anywhere(tmp_path: Path, seen: bool) -> None:
    run = RunBuilder(tmp_path / "r", **SHOWN).build()
    if seen:
        state = json.loads(state_path(run).read_text())
        state["checked"].append({"name": CHECK, "status": "warn", "text": "looked at by Ana on 2026-08-01: spent"})
        state_path(run).write_text(json.dumps(state))
    found = told_everywhere(run, RunBuilder(tmp_path / "o", iterations=0, pictures=False).build())
    assert found.head == ("met, not shown" if seen else "shown") and found.set == "acceptance set"
    assert ("Somebody had looked at this set before the run" in found.text) is seen
    assert found.may_ship is not seen
    assert subject_of(run).independent is not seen
