from __future__ import annotations

import base64
import colorsys
import hashlib
import json
import math
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flat import put

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.loop.state import save_state
from tao_skill_bank.reports.deft.report import REPORT_FILE, iter_summary, render_report
from tao_skill_bank.tasks.registry import load_state

MakeRun = Callable[..., Path]
HOSTILE = "</script><b onload=x>\"'&\u202etxt\x07 {{7*7}} <!-- | 😀 \u05d0"
BROKEN = (None, b"", b'\xff\x00 no,thing\n"', b'{"best": 1, "a": [}', b"[1]\n")
SECTIONS = [
    *("verdict", "far", "causes", "defects", "weakest", "pair", "pool", "gates", "recommendations", "handoff"),
    *("iterations", "timeline", "problem", "dataset", "approach", "final"),
]


class Page(HTMLParser):
    """Figures by their `data-field`, ids, tags and attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fields: dict[str, dict[str, str | None]] = {}
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text: list[str] = []
        self.within = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.within = tag
        self.attributes += [(tag, name, value) for name, value in attrs]
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if found.get("data-field"):
            self.fields[str(found["data-field"])] = found

    def handle_data(self, data: str) -> None:
        if self.within not in ("style", "script"):
            self.text.append(data)

    def value(self, field: str) -> object:
        raw = self.fields[field]["data-value"]
        return None if raw == "" else json.loads(str(raw))


def page_of(run: Path) -> Page:
    render_report(run)
    return Page((run / REPORT_FILE).read_text(encoding="utf-8"))


KINDS: dict[str, dict[str, object]] = {
    "finished": {"iterations": 2},
    "one iteration": {"iterations": 1},
    "no iteration": {"iterations": 0},
    "no acceptance set": {"acceptance": False},
    "only the baseline, running": {"iterations": 0, "status": "running", "in_progress": "routing"},
    "planned": {"iterations": 0, "status": "planned", "with_baseline": False},
    "stopped before any checkpoint": {
        "iterations": 0,
        "with_baseline": False,
        "status": "stopped",
        "stop_reason": "all-scores-missing: no row has a usable score",
    },
    "stopped at a gate": {"iterations": 1, "status": "stopped", "stop_reason": "silent-drop: nobody takes scratch"},
    "no pictures": {"pictures": False},
    "no lightings": {"lights": ()},
    "12 lightings": {"lights": [f"Light{i}" for i in range(12)], "passes": 20},
    "20 iterations of 40 labels": {"iterations": 20, "labels": [f"kind_{i}" for i in range(40)], "per_label": 2},
    "hostile text": {"labels": [HOSTILE.replace("|", ""), "scratch"], "summary": HOSTILE, "pictures": False},
    "an open-ended recall": {"target": "FAR <= 2% at recall 90%"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_gets_every_section_and_no_figure_without_a_value(make_run: MakeRun, kind: str) -> None:
    page = page_of(make_run(**KINDS[kind]))
    assert [x for x in page.ids if x in SECTIONS] == list(SECTIONS)
    assert len(page.ids) == len(set(page.ids))
    text = " ".join(page.text)
    assert not re.search(r"\b(nan|NaN|inf|None|Undefined)\b", text)
    for tag, name, value in page.attributes:
        assert not re.search(r"\bnan\b|\binf\b", value or ""), (tag, name)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_names_no_address_and_runs_only_its_own_script(make_run: MakeRun, kind: str) -> None:
    run = make_run(**KINDS[kind])
    page = page_of(run)
    assert not {"iframe", "link", "object", "embed", "form", "base"} & set(page.tags)
    assert not [a for a in page.attributes if a[1].startswith("on")]
    for _, name, value in page.attributes:
        if name in ("src", "href", "action", "srcset"):
            assert str(value).startswith(("data:image/", "#"))
    html = (run / REPORT_FILE).read_text(encoding="utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert page.tags.count("script") == 2  # the data and the one script whose hash the policy names
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html
    assert not re.search(r"https?:|url\(|@import|\bfile:", html)


@pytest.mark.parametrize("kind", KINDS)
def test_no_page_blames_or_is_red(make_run: MakeRun, kind: str) -> None:
    run = make_run(**KINDS[kind])
    render_report(run)
    html = (run / REPORT_FILE).read_text(encoding="utf-8")
    assert "NOT MET" not in html
    assert "FAILED" not in html
    style = html[html.index("<style>") : html.index("</style>")]
    colours = re.findall(r"#([0-9a-fA-F]{6})\b", style)
    assert len(colours) > 20
    for colour in colours:
        red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4))
        hue, _, saturation = colorsys.rgb_to_hls(red, green, blue)[0], 0, colorsys.rgb_to_hls(red, green, blue)[2]
        assert saturation < 0.25 or 24 / 360 < hue < 330 / 360, colour
    assert not re.search(r"\b(red|crimson|tomato|firebrick|darkred)\b", style)


def test_every_figure_of_an_iteration_is_the_one_in_the_state(make_run: MakeRun) -> None:
    run = make_run(iterations=3, skill=0.6)
    page, state = page_of(run), load_state(run)
    base = state.iterations["baseline"].far_pct
    for label, iteration in state.iterations.items():
        evaluation = iteration.evaluations[0]
        assert page.value(f"{label}.far_pct") == iteration.far_pct
        assert page.value(f"{label}.recall_pct") == evaluation.recall.value_pct
        assert page.value(f"{label}.threshold") == iteration.threshold
        assert page.value(f"{label}.training_rows") == iteration.training_rows
        found = page.fields[f"{label}.far_pct.interval"]
        assert (found["data-low"], found["data-high"]) == (repr(evaluation.far.low_pct), repr(evaluation.far.high_pct))
        if label != "baseline":
            counts = iteration.provenance_counts or {}
            assert page.value(f"{label}.delta_pp") == (iteration.far_pct or 0) - (base or 0)
            assert page.value(f"{label}.synthetic") == counts["synthetic_total"]
            assert page.value(f"{label}.synthetic_share_pct") == 100 * counts["synthetic_total"] / counts["total"]
    best = state.iterations[state.best_iteration or ""]
    assert page.fields["best.iteration"]["data-value"] == state.best_iteration
    assert page.value("best.far_pct") == best.far_pct
    assert page.value("best.threshold") == best.threshold


def test_acceptance_figures_and_hand_off_are_those_on_disk(make_run: MakeRun) -> None:
    run = make_run(skill=0.6)
    page = page_of(run)
    accepted = json.loads((run / "acceptance/acceptance.json").read_text(encoding="utf-8"))
    for name in ("baseline", "best"):
        assert page.value(f"acceptance.{name}.far_pct") == accepted[name]["far"]["value_pct"]
        assert page.value(f"acceptance.{name}.recall_pct") == accepted[name]["recall"]["value_pct"]
        assert page.value(f"acceptance.{name}.fn") == accepted[name]["fn"]
        assert page.value(f"acceptance.{name}.fp") == accepted[name]["fp"]
        assert page.value(f"acceptance.{name}.threshold") == accepted[name]["threshold"]
        own = page.value(f"acceptance.{name}.far_at_recall_pct")
        assert own == pytest.approx(accepted["far_at_recall"][f"{name}_pct"])
    handed = json.loads((run / "best_model.json").read_text(encoding="utf-8"))
    assert page.value("best_model.threshold") == handed["threshold"]
    assert page.fields["best_model.checkpoint"]["data-value"] == handed["checkpoint"]


def test_dataset_and_label_counts_are_those_of_the_csvs(make_run: MakeRun, count_labels: Callable[..., object]) -> None:
    run = make_run()
    page, config = page_of(run), load_state(run).config
    paths = {"training": config.training_csv, "kpi": config.kpi_test_csv, "pool": config.mining_pool_csv}
    for key, path in paths.items():
        counts = count_labels(Path(str(path)))
        assert page.value(f"dataset.{key}.rows") == sum(counts.values())  # type: ignore[attr-defined]
        assert page.value(f"dataset.{key}.pass") == counts["PASS"]  # type: ignore[index]
    for label, count in count_labels(Path(config.kpi_test_csv)).items():  # type: ignore[attr-defined]
        assert page.value(f"label.{label.upper()}.count") == count


def test_the_cost_of_a_label_is_the_share_of_pass_rows_at_or_above_its_weakest_row(make_run: MakeRun) -> None:
    import csv

    run = make_run(skill=0.5)
    page, state = page_of(run), load_state(run)
    iteration = state.iterations[state.best_iteration or ""]
    with Path(iteration.inference_csv or "").open(encoding="utf-8", newline="") as handle:
        rows = [(row["label"], float(row["siamese_score"])) for row in csv.DictReader(handle)]
    passes = [score for label, score in rows if label == "PASS"]
    for name in {label for label, _ in rows} - {"PASS"}:
        weakest = min(score for label, score in rows if label == name)
        expected = 100 * sum(score >= weakest for score in passes) / len(passes)
        assert page.value(f"label.{name.upper()}.cost_pct") == pytest.approx(expected)
        assert page.value(f"label.{name.upper()}.weakest") == weakest
        missed = sum(label == name and score <= (iteration.threshold or 0) for label, score in rows)
        assert page.value(f"label.{name.upper()}.wrong") == missed


def test_stage_times_and_tokens_are_those_of_the_log(make_run: MakeRun) -> None:
    run = make_run()
    page = page_of(run)
    lines = [json.loads(line) for line in (run / "loop_log.jsonl").read_text(encoding="utf-8").splitlines()]
    for line in lines:
        tokens = sum(line["tokens"][key] for key in ("input", "output", "cache_read", "cache_create"))
        assert page.value(f"stage.{line['seq']}.duration_sec") == line["duration_sec"]
        assert page.value(f"stage.{line['seq']}.tokens") == tokens
        assert page.value(f"stage.{line['seq']}.context_tokens") == line["context_tokens"]
    assert page.value("time.stages_sec") == sum(line["duration_sec"] for line in lines)


def test_every_recall_and_far_a_person_sees_has_its_interval(make_run: MakeRun) -> None:
    page = page_of(make_run(iterations=2, skill=0.6))
    rates = [
        field
        for field, found in page.fields.items()
        if re.search(r"(far|recall|cost|before)_pct$", field) and found["data-value"]
    ]
    assert len(rates) > 15
    assert [field for field in rates if f"{field}.interval" not in page.fields] == []


SHOWN: dict[str, object] = {"target": "FAR < 5% at recall=95%", "accepted": ((0, 500), (500, 500))}


@pytest.mark.parametrize(
    ("options", "wording"),
    [
        (SHOWN, "rehearsal: shown"),
        ({**SHOWN, "trainer": "tao"}, "shown"),
        ({**SHOWN, "trainer": "unknown", "platform": "docker"}, "trainer unknown: shown"),
        ({"skill": 1.4, "trainer": "tao"}, "met, not shown"),
        ({"iterations": 0, "acceptance": False, "trainer": "tao"}, "not met"),
        ({"status": "complete", "with_baseline": False, "acceptance": False}, "cannot be told"),
        ({"status": "running"}, "IN PROGRESS"),
        ({"status": "planned", "iterations": 0, "with_baseline": False}, "IN PROGRESS"),
        ({"status": "stopped", "stop_reason": "silent-drop: nobody takes scratch"}, "STOPPED: silent-drop"),
        ({"status": "stopped", "stop_reason": "stopped on request"}, "STOPPED: on request"),
        ({"status": "failed", "stop_reason": "train.log: no checkpoint: see it"}, "STOPPED: routing"),
    ],
)
def test_the_status_is_where_the_run_is_or_the_head_of_its_verdict(
    make_run: MakeRun, options: dict[str, object], wording: str
) -> None:
    run = make_run(**options)
    summary = render_report(run)
    assert summary.status == wording
    page = Page((run / REPORT_FILE).read_text(encoding="utf-8"))
    assert page.fields["status"]["data-value"] == page.fields["final_status"]["data-value"] == wording


def test_a_far_that_equals_a_strict_limit_is_not_met(make_run: MakeRun) -> None:
    run = make_run(iterations=0, acceptance=False)
    state = load_state(run)
    state.kpi_target = f"FAR < {state.iterations['baseline'].far_pct!r}% at recall=100%"
    save_state(state)
    assert render_report(run).status == "rehearsal: not met"
    state.kpi_target = state.kpi_target.replace("<", "<=")
    save_state(state)
    assert render_report(run).status == "rehearsal: met, not shown"


def test_the_acceptance_set_decides_where_there_is_one(make_run: MakeRun) -> None:
    run = make_run(skill=1.4, trainer="tao")
    assert render_report(run).status == "met, not shown"
    state = load_state(run)
    assert state.acceptance is not None
    state.acceptance["best"]["recall"] = Interval.of(30, 32).model_dump()
    save_state(state)
    assert render_report(run).status == "not met"
    (run / "acceptance/acceptance.json").unlink()
    assert render_report(run).status == "not met"  # the state keeps the result of the run's own end


def test_hostile_text_stays_text(make_run: MakeRun) -> None:
    run = make_run(labels=[HOSTILE, "scratch"], summary=HOSTILE, pictures=False)
    (run / "report_narrative.md").write_text(f"First {HOSTILE}\n\nSecond", encoding="utf-8")
    render_report(run)
    html = (run / REPORT_FILE).read_text(encoding="utf-8")
    assert html.count("<b onload") == html.count("<!--") == 0
    assert html.count("</script") == 2
    assert "\u202e" not in html
    assert "\x07" not in html
    assert "{{7*7}}" in html
    assert "&lt;/script&gt;&lt;b onload=x&gt;" in html
    assert "Second" in html


def test_an_artifact_that_is_gone_or_broken_is_named_and_costs_nothing_else(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    state = load_state(run)
    put(state.iterations["iter1"], rca_gaps_parquet=str(run / "iter1/rca_results/x/kpi_gaps.parquet"))
    put(state.iterations["iter1"], mining_mined_parquet=str(run / "iter1/mining_filter/mined.parquet"))
    save_state(state)
    workspace = run.parent.parent
    paths = [*run.rglob("*"), *workspace.rglob("*.csv"), workspace / "specs/baseline_spec.yaml"]
    files = [p for p in paths if p.is_file() and p.name not in ("deft_state.json", "loop_log.jsonl.lock")]
    assert render_report(run).missing == 2
    full = Page((run / REPORT_FILE).read_text(encoding="utf-8"))
    # Files of one kind are read by the same lines: each meets the next of the contents, two or more, and the kind all.
    met: Counter[str] = Counter()
    of_a_kind = Counter(path.suffix for path in dict.fromkeys(files))
    for path in dict.fromkeys(files):
        kept = path.read_bytes()
        for _ in range(max(2, math.ceil(len(BROKEN) / of_a_kind[path.suffix]))):
            content = BROKEN[met[path.suffix] % len(BROKEN)]
            met[path.suffix] += 1
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_bytes(content)
            render_report(run)
        path.write_bytes(kept)
    assert all(number >= len(BROKEN) for number in met.values())
    for path in files:
        path.unlink(missing_ok=True)
    page = page_of(run)
    assert [x for x in page.ids if x in SECTIONS] == list(SECTIONS)
    assert page.value("iter1.far_pct") == full.value("iter1.far_pct")
    assert "testing_set.csv (not on disk)" in " ".join(page.text)


def test_a_run_folder_that_was_moved_still_finds_its_own_files(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    before = page_of(run)
    moved = tmp_path / "elsewhere"
    shutil.move(run, moved)
    after = page_of(moved)
    assert after.fields.keys() == before.fields.keys()


def test_the_same_folder_gives_the_same_bytes(make_run: MakeRun) -> None:
    run = make_run()
    render_report(run)
    first = (run / REPORT_FILE).read_bytes()
    render_report(run)
    assert (run / REPORT_FILE).read_bytes() == first


def test_a_report_that_cannot_be_finished_leaves_the_old_one(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    render_report(run)
    before = (run / REPORT_FILE).read_bytes()
    names = sorted(p.name for p in run.iterdir())

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tao_skill_bank.core.fsio.os.replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        render_report(run)
    assert (run / REPORT_FILE).read_bytes() == before
    assert sorted(p.name for p in run.iterdir()) == names


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run here"):
        render_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_20_iterations_of_10_000_rows_take_less_than_2_seconds(make_run: MakeRun) -> None:
    run = make_run(iterations=20, passes=9_600, per_label=100, pictures=False)
    render_report(run)
    began = time.process_time()
    render_report(run)
    assert time.process_time() - began < 2.0
    assert (run / REPORT_FILE).stat().st_size < 3_000_000


def test_an_iteration_summary_has_its_figures_in_300_words(make_run: MakeRun) -> None:
    run = make_run(skill=0.6, summary="word " * 100)
    state = load_state(run)
    state.iterations["iter1"].warnings = ["many words " * 80] * 9
    save_state(state)
    path = iter_summary(run, "iter1")
    text = path.read_text(encoding="utf-8")
    assert path == run / "iter1_summary.md"
    assert len(text.split()) <= 300
    assert text.startswith("# Iteration 1\n")
    assert f"- Threshold: {state.iterations['iter1'].threshold:.6f}\n" in text
    assert "- FAR: " in text
    with pytest.raises(InputError, match="no iteration 'iter9'"):
        iter_summary(run, "iter9")


def test_hostile_text_in_a_summary_is_no_markup(make_run: MakeRun) -> None:
    run = make_run(labels=["<img src=x>|`a`", "scratch"], summary=HOSTILE, pictures=False, skill=0.3)
    text = iter_summary(run, "iter1").read_text(encoding="utf-8")
    assert "<" not in text
    assert "\u202e" not in text


def test_the_name_of_the_target_stands_where_it_hides_no_point() -> None:
    from tao_skill_bank.reports.charts import RatePoint, rate_chart

    falling = [RatePoint(f"iter {i}", value) for i, value in enumerate((18.1, 4.8, 2.4, 1.2))]
    assert 'class="goal-name left"' in rate_chart(falling, 0.5)
    assert 'class="goal-name right"' in rate_chart(falling[:2], 0.5)
    everywhere = [RatePoint(str(i), 5.0) for i in range(6)]
    assert 'class="goal-name right below"' in rate_chart([RatePoint("base", 20.0), *everywhere], 4.0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({**SHOWN, "trainer": "tao"}, "Hand-off: deploy these together"),
        ({**SHOWN, "trainer": "tao", "accepted": ((9, 500), (480, 500))}, "Not to ship as it is"),
        ({**SHOWN, "trainer": "tao", "accepted": ((99, 500), (500, 500))}, "Not to ship as it is"),
        ({**SHOWN, "trainer": "unknown"}, "Not to ship as it is"),
        ({**SHOWN, "trainer": "stand-in"}, "A rehearsal, nothing to deploy"),
    ],
)
def test_a_model_is_handed_over_with_the_word_that_it_needs(
    make_run: MakeRun, options: dict[str, object], says: str
) -> None:
    run = make_run(iterations=1, pictures=False, platform="docker", **options)
    render_report(run)
    html = (run / REPORT_FILE).read_text(encoding="utf-8")
    every = ("Not to ship as it is", "A rehearsal, nothing to deploy", "Hand-off: deploy these together")
    assert [text for text in every if text in html] == [says] or says == every[0]
    assert says in html
    assert ("/model/best.pth" in html) is (options["trainer"] != "stand-in")
