"""What becomes of video ids, and the figures beside FP and FN."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tao_skill_bank.actions.gap_analysis.config import (
    VLM_BCQ_SCHEMA,
    VLM_COMPARE_SCHEMA,
    VlmBcqConfig,
    VlmCompareConfig,
)
from tao_skill_bank.actions.gap_analysis.vlm_bcq import analyze_vlm_bcq
from tao_skill_bank.actions.gap_analysis.vlm_compare import CompareResult, compare_vlm
from tao_skill_bank.actions.gap_analysis.vlm_result import VlmBcqResult
from tao_skill_bank.actions.gap_analysis.vlm_tally import Duplicates
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.overrides import parse_command_line
from tao_skill_bank.core.settings import validated
from tao_skill_bank.data.vlm.labels import NO, YES
from tao_skill_bank.data.vlm.samples import Samples
from tao_skill_bank.metrics import clopper_pearson
from tao_skill_bank.metrics.paired import grouped_interval, mcnemar_exact, ranking


def analyse(folder: Path, items: list[Any], *overrides: str) -> VlmBcqResult:
    path = folder / "p.json"
    path.write_text(json.dumps(items))
    args = [f"predictions_json={path}", f"results_dir={folder / 'out'}", *overrides]
    return analyze_vlm_bcq(validated(VlmBcqConfig, parse_command_line(args, VLM_BCQ_SCHEMA).config))


def sample(video: str, response: str = "Yes", gt: str = "No", question: str = "Q?") -> dict[str, str]:
    return {"video_id": video, "response": response, "gt": gt, "question": question}


UNCHANGED = [
    "s3://bucket/vid/a.mp4", "https://h.example/x/a.mp4?sig=1", "gs://b/a.mp4", "file:///d/a.mp4", r"C:\data\a.mp4",
    "dbfs:/mnt/a.mp4", "file:/d/a.mp4", "data:video/mp4;base64,AA/B",
    "D:/data/a.mp4", r"\\host\share\a.mp4", "", "c0_q1", "aoi_001_93c3e56d", "17",
]  # fmt: skip


@pytest.mark.parametrize("video_id", UNCHANGED)
@pytest.mark.parametrize("with_folder", [False, True])
def test_addresses_paths_of_windows_and_ids_stay_as_they_are(tmp_path: Path, video_id: str, with_folder: bool) -> None:
    analyse(tmp_path, [sample(video_id)], *([f"videos_dir={tmp_path}"] if with_folder else []))
    assert json.loads((tmp_path / "out" / "kpi_gaps.jsonl").read_text())["video_id"] == video_id


@pytest.mark.parametrize(
    ("video_id", "path"),
    [
        ("a.mp4", "videos/a.mp4"),
        ("cam/b", "videos/cam/b"),
        ("clip7", "videos/clip7.mov"),
        ("noext", "videos/noext"),
        ("../other/c.webm", "other/c.webm"),
        ("x.MP4", "videos/x.MP4"),
    ],
)
def test_what_is_a_path_below_the_videos_becomes_absolute(tmp_path: Path, video_id: str, path: str) -> None:
    for name in ("a.mp4", "clip7.mov", "noext"):
        (tmp_path / "videos" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "videos" / name).write_bytes(b"")
    analyse(tmp_path, [sample(video_id)], f"videos_dir={tmp_path / 'videos'}")
    assert json.loads((tmp_path / "out" / "kpi_gaps.jsonl").read_text())["video_id"] == f"{tmp_path}/{path}"


def test_a_stem_of_two_files_stays_an_id(tmp_path: Path) -> None:
    for name in ("c.mp4", "c.mov"):
        (tmp_path / name).write_bytes(b"")
    analyse(tmp_path, [sample("c")], f"videos_dir={tmp_path}")
    assert json.loads((tmp_path / "out" / "kpi_gaps.jsonl").read_text())["video_id"] == "c"


def test_what_the_videos_are_is_said_and_a_folder_without_any_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    rows = [sample(v) for v in ("a.mp4", "b.mp4", "a.mp4", "s3://x/y.mp4", "id7")]
    warned: list[str] = []
    path = tmp_path / "p.json"
    path.write_text(json.dumps(rows))
    config = VlmBcqConfig(predictions_json=path, results_dir=tmp_path / "out", videos_dir=tmp_path)
    result = analyze_vlm_bcq(config, warn=warned.append)
    assert result.places == f"videos: 1 of 2 files exist (first missing: {tmp_path}/b.mp4), 1 URL, 1 id"
    assert result.places in result.summary and warned == []
    other = VlmBcqConfig(predictions_json=path, results_dir=tmp_path / "out", videos_dir=tmp_path / "none")
    analyze_vlm_bcq(other, warn=warned.append)
    assert warned == ["none of the 2 videos is a file: check videos_dir="]


def test_both_accuracies_stand_in_the_report_with_their_intervals(tmp_path: Path) -> None:
    rows = [sample("v.mp4", "yes", "yes")] * 6 + [sample("v.mp4", "no", "no")] * 2 + [sample("v.mp4", "yes", "no")]
    rows += [sample("v.mp4", "hm", "yes")] * 2 + [sample("v.mp4", "yes", "perhaps")]
    result = analyse(tmp_path, rows)
    assert (result.read, result.judged, result.unparseable, result.unusable_truth) == (12, 9, 2, 1)
    r = result.rates
    assert (r.accuracy, r.accuracy_of_all) == (8 / 9, 8 / 11)
    assert (r.balanced, r.balanced_of_all) == ((1 + 2 / 3) / 2, (6 / 8 + 2 / 3) / 2)
    assert r.interval == clopper_pearson(8, 9) and r.interval_of_all == clopper_pearson(8, 11)
    report = (tmp_path / "out" / "kpi_gaps_report.txt").read_text()
    assert "Accuracy:  0.8889 [0.5175, 0.9972]" in report and "accuracy 0.7273" in report
    assert "Samples skipped: 3 (2 unparseable, 1 of unusable truth)" in report


def test_the_exact_interval_of_870_of_1000_is_that_of_the_books() -> None:
    low, high = clopper_pearson(870, 1000)
    assert (round(low, 4), round(high, 4)) == (0.8476, 0.8902)


def test_where_videos_repeat_whole_videos_are_drawn(tmp_path: Path) -> None:
    rows = [sample(f"v{i // 10}.mp4", "yes", "yes" if i // 10 % 2 else "no", f"Q{i}") for i in range(200)]
    result = analyse(tmp_path, rows)
    assert result.rates.by_video is not None and result.rates.interval is not None
    low, high = result.rates.by_video
    assert low < result.rates.interval[0] < 0.5 < result.rates.interval[1] < high
    assert result == analyse(tmp_path, rows)  # equal input, equal figures
    assert analyse(tmp_path, [sample(f"v{i}.mp4") for i in range(9)]).rates.by_video is None
    assert grouped_interval(np.array([3]), np.array([4])) is None


def test_videos_with_most_gaps_are_named_and_all_stand_in_a_table(tmp_path: Path) -> None:
    wrong = [i % 30 < 25 and i < 60 + i % 30 for i in range(90)]
    rows = [sample(f"v{i % 30}.mp4", "yes", "no" if w else "yes", f"Q{i}") for i, w in enumerate(wrong)]
    result = analyse(tmp_path, rows)
    assert len(result.videos) == 20
    assert [v.fp for v in result.videos] == sorted((v.fp for v in result.videos), reverse=True)
    with (tmp_path / "out" / "per_video.csv").open() as handle:
        table = list(csv.DictReader(handle))
    assert len(table) == 30 and sum(int(r["fp"]) for r in table) == result.fp
    assert "Videos with most gaps" in (tmp_path / "out" / "kpi_gaps_report.txt").read_text()


def test_duplicates_are_counted_and_differing_truths_listed(tmp_path: Path) -> None:
    rows = [sample("a.mp4", "yes", "no"), sample("a.mp4", "no", "no"), sample("a.mp4", "yes", "yes"), sample("b.mp4")]
    result = analyse(tmp_path, rows)
    assert (result.read, result.duplicates.count, result.duplicates.differing_truths) == (4, 2, 1)
    assert result.duplicates.examples == (("a.mp4", "Q?"),)
    assert "two truths: a.mp4: Q?" in (tmp_path / "out" / "kpi_gaps_report.txt").read_text()
    first = analyse(tmp_path, rows, "duplicates=first")
    assert (first.read, first.fp) == (2, 2)
    with pytest.raises(InputError, match=r"item 1 .*has the video and question of an item before"):
        analyse(tmp_path, rows, "duplicates=error")


@pytest.mark.parametrize("seed", range(20))
def test_repeats_and_differing_truths_are_counted_alike_however_the_file_is_cut(seed: int) -> None:
    random = np.random.default_rng(seed)
    videos = [f"v{number}" for number in random.integers(0, 30, 40)]
    truths = random.integers(0, 4, 40).astype(np.uint8)
    repeats = Duplicates()
    found: list[int] = []
    cuts = [0, *sorted(random.integers(0, 41, 5).tolist()), 40]
    for start, end in itertools.pairwise(cuts):
        asked = ["Q?"] * (end - start)
        part = Samples(0.0, range(start, end), videos[start:end], asked, asked, asked)
        found += [start + place for place in repeats.add(part, truths[start:end], all_of_them=False)]
    assert found == [place for place, video in enumerate(videos) if video in videos[:place]]
    of_video: dict[str, set[int]] = {}
    for video, truth in zip(videos, truths.tolist(), strict=True):
        of_video.setdefault(video, set()).add(truth)
    assert repeats.differing == sum({YES, NO} <= seen for seen in of_video.values())


def test_a_report_is_written_without_gaps_where_asked_for(tmp_path: Path) -> None:
    rows = [sample("a.mp4", "yes", "yes"), sample("b.mp4", "hm", "no")]
    result = analyse(tmp_path, rows)
    assert result.files == {} and result.summary[-1] == "no gaps among 1 judged of 2: no files written"
    always = analyse(tmp_path, rows, "report=always")
    assert sorted(always.files) == ["kpi_gaps_report.txt", "kpi_skipped.jsonl"]


def test_scores_of_yes_give_auroc_and_average_precision(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    truth = random.random(300) < 0.4
    scores = np.round(truth * 0.5 + random.normal(size=300), 1)
    rows = [
        {**sample(f"v{i}.mp4", "yes", "yes" if t else "no"), "p_yes": float(s)}
        for i, (t, s) in enumerate(zip(truth, scores, strict=True))
    ]
    result = analyse(tmp_path, rows, "fields.score=p_yes")
    assert result.auroc == pytest.approx(roc_auc_score(truth, scores))
    assert result.average_precision == pytest.approx(average_precision_score(truth, scores))
    assert ranking([1.0, 2.0], [True, True]) is None
    index = [json.loads(x) for x in (tmp_path / "out" / "kpi_gaps_index.jsonl").read_text().splitlines()]
    assert [i["score"] for i in index] == [float(scores[i["item"]]) for i in index]


# -- two evaluations --------------------------------------------------------------------------------------------------


def compare(folder: Path, a: list[Any], b: list[Any], *overrides: str) -> CompareResult:
    for name, rows in (("a", a), ("b", b)):
        (folder / f"{name}.json").write_text(json.dumps(rows))
    args = [f"a={folder / 'a.json'}", f"b={folder / 'b.json'}", f"results_dir={folder / 'cmp'}", *overrides]
    return compare_vlm(validated(VlmCompareConfig, parse_command_line(args, VLM_COMPARE_SCHEMA).config))


def test_what_was_fixed_and_broken_is_told_with_its_chance(tmp_path: Path) -> None:
    before = [sample(f"v{i}.mp4", "yes" if i < 12 else "no", "no", f"Q{i}") for i in range(40)]
    after = [sample(f"v{i}.mp4", "yes" if 20 <= i < 22 else "no", "no", f"Q{i}") for i in range(40)]
    found = compare(tmp_path, before, after).comparison
    assert (found.samples, found.fixed, found.broken, found.only_a, found.only_b) == (40, 12, 2, 0, 0)
    assert round(found.mcnemar_p, 5) == 0.01294
    assert found.difference == pytest.approx(10 / 40)
    assert found.difference_interval is not None
    assert found.difference_interval[0] < found.difference < found.difference_interval[1]
    changed = [json.loads(x) for x in (tmp_path / "cmp" / "changed.jsonl").read_text().splitlines()]
    assert [c["change"] for c in changed].count("fixed") == 12 and len(changed) == 14
    assert json.loads((tmp_path / "cmp" / "compare.json").read_text())["broken"] == 2


def test_two_equal_evaluations_do_not_differ(tmp_path: Path) -> None:
    rows = [sample(f"v{i}.mp4", "yes", "no") for i in range(5)]
    found = compare(tmp_path, rows, rows).comparison
    assert (found.mcnemar_p, found.difference, found.fixed, found.broken) == (1.0, 0.0, 0, 0)
    assert mcnemar_exact(0, 0) == 1.0


def test_samples_that_only_one_side_has_are_named_and_unparseable_answers_are_wrong(tmp_path: Path) -> None:
    before = [sample("a.mp4", "hm", "yes"), sample("b.mp4", "yes", "yes"), sample("only.mp4")]
    after = [sample("b.mp4", "hm", "yes"), sample("a.mp4", "yes", "yes"), sample("b.mp4", "no", "no")]
    result = compare(tmp_path, before, after)
    found = result.comparison
    assert (found.samples, found.fixed, found.broken, found.only_a, found.only_b) == (2, 1, 1, 1, 1)
    assert "only in a: 1 (only.mp4)" in result.summary


def test_ids_join_where_both_sides_have_them_whatever_the_order(tmp_path: Path) -> None:
    before = [{**sample("a.mp4", "yes", "no"), "key": i} for i in range(4)]
    after = [{**sample("a.mp4", "no", "no"), "key": i} for i in range(3, -1, -1)]
    found = compare(tmp_path, before, after, "fields.id=key").comparison
    assert (found.joined_by, found.fixed) == ("id", 4)


def test_evaluations_of_other_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no sample stands in both"):
        compare(tmp_path, [sample("a.mp4")], [sample("b.mp4")])
    assert not (tmp_path / "cmp").exists()


@pytest.mark.parametrize(("b", "c"), [(0, 1), (2, 12), (5, 5), (40, 90), (300, 200)])
def test_mcnemar_is_the_two_sided_binomial_test(b: int, c: int) -> None:
    from scipy.stats import binomtest

    assert mcnemar_exact(b, c) == pytest.approx(binomtest(min(b, c), b + c).pvalue, rel=1e-9)
