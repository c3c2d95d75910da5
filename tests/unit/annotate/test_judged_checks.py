"""Checks that ask a model: what it can answer blind, what a second look denies, what another stretch shows."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import judges
import pytest
from annotation import SECTION
from click.testing import CliRunner
from judges import SECONDS, Judge
from scripted_endpoint import ScriptedEndpoint
from studio_server import page_of
from videos import make_video

from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.judge.asks import overlap, windows
from tao_skill_bank.annotate.judge.kept import Judged
from tao_skill_bank.annotate.judge.work import to_judge
from tao_skill_bank.annotate.layout import step_file
from tao_skill_bank.annotate.output import Written
from tao_skill_bank.annotate.quality.rules import Finding
from tao_skill_bank.annotate.results import opened
from tao_skill_bank.annotate.run import Outcome
from tao_skill_bank.commands.annotate import cli
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.metrics.paired import cohen_kappa

FAULT = {"blind": "answerable_blind", "judge": "judge_disagrees", "time": "time_unsupported"}


def refused(judged: Judged) -> dict[str, Counter[str]]:
    return {check: Counter(f.code for f in of.values()) for check, of in judged.found.items()}


def test_an_oracle_finds_every_planted_fault_and_refuses_nothing_good() -> None:
    good, truths = judges.items(24)
    found = judges.judged(good, Judge(truths))
    assert not any(found.found.values())
    assert found.facts["judge"]["agreement"]["mcq"] == {"n": 24, "agree": 1.0, "kappa": 1.0}
    for fault, code in FAULT.items():
        made, truths = judges.items(24, fault)
        codes = refused(judges.judged(made, Judge(truths)))[fault]
        decided = sum(len(of) for key, of in made.items() if key != "normal_open_qa")
        assert codes == {code: decided} | ({"judge_open_disagrees": 24} if fault == "judge" else {})


def test_a_judge_that_draws_a_tenth_of_its_answers_still_finds_most_and_refuses_few() -> None:
    good, truths = judges.items(120)
    found = judges.judged(good, Judge(truths, random_share=0.1))
    wrongly = sum(f.refused for of in found.found.values() for f in of.values())
    assert wrongly / sum(map(len, good.values())) <= 0.15
    hits = planted = 0
    for fault in FAULT:
        made, truths = judges.items(120, fault)
        of = judges.judged(made, Judge(truths, random_share=0.1)).found[fault].values()
        planted += sum(len(rows) for key, rows in made.items() if key != "normal_open_qa")
        hits += sum(f.refused for f in of)
    assert hits / planted >= 0.85


def test_a_model_that_says_yes_to_everything_takes_no_yes_or_no_question_out() -> None:
    made, truths = judges.items(20, "blind")
    found = refused(judges.judged(made, Judge(truths, yes_blind=True), "[blind]"))["blind"]
    assert found["blind_biased"] == 10 and found["answerable_blind"] == 20, "the choices stand"


@pytest.mark.parametrize(
    ("span", "duration", "others"),
    [
        ((4.0, 6.0), 12.0, [(2.0, 4.0), (6.0, 8.0)]),
        ((0.0, 2.0), 12.0, [(2.0, 4.0), (4.0, 6.0)]),
        ((10.0, 12.0), 12.0, [(8.0, 10.0), (6.0, 8.0)]),
        ((0.0, 5.0), 12.0, None),
        ((3.0, 3.0), 12.0, None),
    ],
)
def test_the_claimed_stretch_stands_beside_two_others_of_its_length(
    span: tuple[float, float], duration: float, others: list[tuple[float, float]] | None
) -> None:
    assert windows(span, duration) == ([] if others is None else [span, *others])


def test_overlap_and_kappa_are_those_of_the_books() -> None:
    assert overlap((0.0, 4.0), (2.0, 6.0)) == pytest.approx(1 / 3)
    assert overlap((0.0, 1.0), (2.0, 3.0)) == 0.0
    # Cohen 1960: 20 + 15 of 50 agree, by chance a half would.
    first = ["y"] * 25 + ["n"] * 25
    second = ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    assert cohen_kappa(["y"], ["y"]) is None and cohen_kappa([], []) is None


def results_with(tmp_path: Path) -> tuple[Path, dict[str, judges.Truth]]:
    """A results folder whose two videos have one good item of each kind and one with each fault."""
    truths: dict[str, judges.Truth] = {}
    lines = []
    for place in range(2):
        video = make_video(tmp_path / "v" / f"{place}.mp4", SECONDS, fps=2, seed=place)
        made: dict[str, list[dict[str, Any]]] = {}
        for fault in ("", "blind", "judge", "time"):
            found, known = judges.items(1 + place, fault)
            truths |= known
            for key, of in found.items():
                made.setdefault(key, []).extend(of[place:])
        lines += judges.rows(made, str(video))
    results = tmp_path / "results"
    path = step_file(results, "3")
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return results, truths


def codes_of(results: Path) -> Counter[str]:
    lines = (results / "step_4_output/rejected.jsonl").read_text().splitlines()
    return Counter(json.loads(line)["code"] for line in lines)


def check(results: Path, url: str, *more: str) -> Any:
    words = [f"{SECTION}.{model}.backend=openai" for model in ("vlm", "llm")]
    words += [f"{SECTION}.{model}.openai.base_url='{url}/v1'" for model in ("vlm", "llm")]
    words += [f"{SECTION}.{model}.openai.model_name=writer" for model in ("vlm", "llm")]
    words += [f"{SECTION}.quality.checks=[blind,judge,time]", f"{SECTION}.quality.judge.model=judge"]
    return CliRunner().invoke(cli, ["check", str(results), *words, *more])


def test_judged_checks_are_journaled_calls_within_the_limits_and_nothing_is_paid_for_twice(tmp_path: Path) -> None:
    results, truths = results_with(tmp_path)
    judge = Judge(truths, judges.windows_of(to_judge(results)))
    with ScriptedEndpoint(answers=lambda request: judge.answer(request.prompt)) as server:
        unpriced = check(results, server.url, "--max-cost", "2")
        assert isinstance(unpriced.exception, InputError) and "--price judge=INPUT,OUTPUT" in unpriced.exception.line()
        priced = check(results, server.url, "--max-cost", "2", "--estimate", "--price", "judge=1,2")
        assert priced.exit_code == 0, "of what is not asked no price is needed"
        assert server.calls == 0
        shown = check(results, server.url, "--estimate", "--json")
        assert shown.exit_code == 0, shown.output
        most = json.loads(shown.output)["calls"]["high"]
        stopped = check(results, server.url, "--max-calls", "7")
        assert isinstance(stopped.exception, BankError) and "max-calls" in str(stopped.exception)
        assert server.calls == 7
        assert json.loads((results / "quality.json").read_text())["flagged"]["unchecked"] > 0
        done = check(results, server.url)
        assert done.exit_code == 0, done.output
        paid = server.calls
        assert paid == len({json.dumps(r.body, sort_keys=True) + str(r.tries) for r in server.requests}) <= most
        assert {r.model for r in server.requests} == {"judge"}
        again = check(results, server.url)
        assert again.exit_code == 0 and server.calls == paid
        with Journal(results, read_only=True) as journal:
            assert journal.totals().calls == paid and journal.makers() == []
        stretches = [r for r in server.requests if "three stretches" in r.prompt]
        texts = [p for r in stretches for p in r.body["messages"][0]["content"] if p["type"] == "text"]
        assert {r.images for r in stretches} == {12} and len(texts) == len(stretches), "pictures carry no times"
        blind = [r for r in server.requests if "cannot see" in r.prompt]
        assert blind and {r.images for r in blind} == {0}
        looked = [r for r in server.requests if "Look at the video" in r.prompt]
        assert looked and not any("caption" in r.prompt.lower() for r in looked)
    # What was found stays, whoever looks at the rules again.
    codes = codes_of(results)
    # An item is refused for the first of its faults; this judge guesses the wrong answers of yes/no questions, too.
    assert codes == {"answerable_blind": 6, "judge_disagrees": 4}
    assert CliRunner().invoke(cli, ["check", str(results)]).exit_code == 0
    assert codes_of(results) == codes
    report = json.loads((results / "quality.json").read_text())
    assert report["judged"]["judge"]["agreement"]["all"]["n"] == report["judged"]["judge"]["items"]
    assert report["judged"]["time"]["found"] == {"time_unsupported": 2}
    assert report["flagged"]["judge_open_disagrees"] == 2
    with opened(results) as found:
        assert "judge by judge, " in found.judged.lines()[1]


def test_the_page_draws_no_item_that_judges_have_refused_since_it_was_opened(tmp_path: Path) -> None:
    results, truths = results_with(tmp_path)
    judge = Judge(truths, judges.windows_of(to_judge(results)))
    with page_of(tmp_path) as page, ScriptedEndpoint(answers=lambda request: judge.answer(request.prompt)) as server:
        drawn = {"in": "results", "n": 200, "seed": 0}
        before = page.json("/api/annotation", **drawn)["total"]
        assert check(results, server.url).exit_code == 0
        assert page.json("/api/annotation", **drawn)["total"] == before - sum(codes_of(results).values())


def test_a_check_that_was_stopped_leaves_what_an_earlier_one_had_found(tmp_path: Path) -> None:
    results, truths = results_with(tmp_path)
    judge = Judge(truths, judges.windows_of(to_judge(results)))
    with ScriptedEndpoint(answers=lambda request: judge.answer(request.prompt)) as server:
        assert check(results, server.url).exit_code == 0
        before, told = codes_of(results), json.loads((results / "judged.json").read_text())
        other = f"{SECTION}.quality.judge.model=another"
        stopped = check(results, server.url, other, "--max-calls", str(server.calls))
        assert isinstance(stopped.exception, BankError) and "max-calls" in str(stopped.exception)
    assert codes_of(results) == before, "what was refused is not trained on because somebody asked again"
    assert json.loads((results / "judged.json").read_text()) == told


def test_what_a_later_run_could_not_ask_stands_as_it_was_and_the_figures_count_it() -> None:
    def of(**codes: str) -> Judged:
        found = {d: Finding(code, code == "judge_disagrees", "x") for d, code in codes.items()}
        return Judged({"judge": {"model": "m", "items": len(found), "found": {}}}, {"judge": found})

    once = of(a="judge_disagrees", b="judge_disagrees", c="unchecked")
    again = once.with_newer(of(a="unchecked", c="judge_disagrees", d="unchecked"), stopped=True)
    assert {d: f.code for d, f in again.found["judge"].items()} == {
        "a": "judge_disagrees", "c": "judge_disagrees", "d": "unchecked",
    }  # fmt: skip
    assert again.facts["judge"]["found"] == {"judge_disagrees": 2, "unchecked": 1}


def test_the_model_that_made_the_items_is_the_one_of_the_journal_and_not_the_one_that_a_setting_names() -> None:
    made, truths = judges.items(1)
    assert judges.judged(made, Judge(truths), makers=["judge"]).facts["judge"]["made_items"]
    assert not judges.judged(made, Judge(truths), makers=["someone"]).facts["judge"]["made_items"]
    assert not judges.judged(made, Judge(truths), makers=["someone"], judge_model="writer").facts["judge"]["made_items"]
    assert judges.judged(made, Judge(truths), judge_model="writer").facts["judge"]["made_items"], "no journal tells"


def test_a_video_that_is_gone_and_an_answer_that_says_nothing_are_unchecked_and_kept(tmp_path: Path) -> None:
    results, _ = results_with(tmp_path)
    (tmp_path / "v" / "1.mp4").unlink()
    with ScriptedEndpoint(answers=lambda request: '{"answer": "perhaps"}') as server:
        assert check(results, server.url).exit_code == 0
    report = json.loads((results / "quality.json").read_text())
    assert not set(report["refused"]) & set(FAULT.values())
    assert {flag["code"] for flag in report["flags"]} == {"unchecked"}
    (results / "judged.json").write_text("[]")
    with pytest.raises(InputError, match="no record of judged checks"), opened(results):
        pass


def test_a_check_that_is_unknown_is_refused_and_none_named_is_told(tmp_path: Path) -> None:
    results, _ = results_with(tmp_path)
    for word, said in (("checks=[blink]", "blind"), ("choice_letters=refuse", "names no check")):
        done = CliRunner().invoke(cli, ["check", str(results), f"{SECTION}.quality.{word}",
                                        f"{SECTION}.vlm.openai.model_name=m"])  # fmt: skip
        assert isinstance(done.exception, InputError) and said in str(done.exception)


def test_what_checks_cost_and_left_undone_is_not_rounded_to_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outcome = Outcome(videos=4, failed=1, calls=9, unpriced=3)
    monkeypatch.setattr("tao_skill_bank.annotate.api.judge_items", lambda _request, approve=None: outcome)
    monkeypatch.setattr("tao_skill_bank.annotate.api.check_items", lambda _folder: Written())
    done = CliRunner().invoke(cli, ["check", str(tmp_path), f"{SECTION}.quality.checks=[blind]"])
    assert "$0.0000 and 3 answers without a price" in done.output and "in all" not in done.output
    assert "of 1 of 4 videos not every check was answered" in done.output
