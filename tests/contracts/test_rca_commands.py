"""`tao-skills rca` and `tao-skills gaps` from end to end, on a small experiment with real images."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from ran import ran

from tao_skill_bank.reports.rca.check import check_rca

COMMAND = [sys.executable, "-m", "tao_skill_bank.cli"]
WRONG = ("d07", "p03")
SECRET = "nvapi-" + "Zx9kq7Lm2Vb8Nc4Rt6Yp1Ws3"


def tao_skills(*args: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return ran([*COMMAND, *map(str, args)], cwd=cwd, env={**os.environ, **env})


def draw(path: Path, random: np.random.Generator, *, defect: bool) -> None:
    """A board with a track; a defect is a bright blob across it."""
    picture = np.full((64, 64), 40, dtype=np.uint8)
    picture[:, 28:36] = 180
    if defect:
        y, x = random.integers(20, 36, 2)
        picture[y : y + 12, x - 10 : x + 14] = 230
    noise = random.integers(0, 12, picture.shape, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture + noise).convert("RGB").save(path)


def make_experiment(folder: Path, passes: int = 60, defects: int = 40) -> Path:
    """Scores that separate, but for two rows whose label is wrong: `d07` called PASS and `p03` called bridge."""
    random = np.random.default_rng(5)
    rows = []
    for kind, count in (("p", passes), ("d", defects)):
        for i in range(count):
            name, defect = f"{kind}{i:02d}", kind == "d"
            draw(folder / "images" / "b" / f"{name}_L.png", random, defect=defect)
            draw(folder / "images" / "g" / f"{name}_L.png", random, defect=False)
            label = ("bridge" if defect else "PASS") if name not in WRONG else ("PASS" if defect else "bridge")
            score = random.uniform(0.6, 0.95) if defect else random.uniform(0.05, 0.4)
            rows.append(["b", "g", label, name, repr(float(score))])
    (folder / "inference").mkdir()
    with (folder / "inference" / "inference.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["input_path", "golden_path", "label", "object_name", "siamese_score"])
        writer.writerows(rows)
    train = {"api_key": SECRET, "dataset": {"classify": {"input_map": {"L": 0}, "image_ext": ".png"}}}
    (folder / "train.yaml").write_text(yaml.safe_dump(train))
    return folder


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_experiment(tmp_path_factory.mktemp("exp"))
    done = tao_skills(
        "rca", "vcn", folder, "--kpi-media-path", folder / "images", "--min-recall", "0.95", "--no-transcript"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("RCA_Report.md")
    return folder


def results(experiment: Path) -> Path:
    (found,) = (experiment / "rca_results").iterdir()
    return found


def test_an_analysis_makes_the_whole_folder(experiment: Path) -> None:
    folder = results(experiment)
    names = {p.name for p in folder.iterdir()}
    assert {
        "RCA_Report.md", "kpi_gaps.parquet", "threshold.txt", "metrics.json", "weak_samples_breakdown.txt",
        "recall_far.csv", "score_histogram.png", "rca_images", "rca_config", "spot_check.json", "label_check.csv",
        "vcn_aoi_spec.yaml",
    } <= names  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d{6}", folder.name)
    pictures = sorted((folder / "rca_images").iterdir())
    assert len(pictures) == 10
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.size == (128, 128)


def test_the_report_passes_its_own_check_and_has_the_length(experiment: Path) -> None:
    assert check_rca(results(experiment)) == []
    assert 1000 <= len((results(experiment) / "RCA_Report.md").read_text().split()) <= 1800
    done = tao_skills("rca", "check", experiment)
    assert done.returncode == 2 and "10 of 10 spot-check verdicts are open" in done.stderr


def test_the_spec_that_was_run_gives_the_same_numbers_again(experiment: Path, tmp_path: Path) -> None:
    spec = results(experiment) / "vcn_aoi_spec.yaml"
    code = "from tao_skill_bank.actions.gap_analysis.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "vcn_aoi", "-e", str(spec), f"results_dir={tmp_path}"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "metrics.json").read_bytes() == (results(experiment) / "metrics.json").read_bytes()


def test_wrong_labels_come_first_in_the_list_to_check(experiment: Path) -> None:
    with (results(experiment) / "label_check.csv").open() as handle:
        first = [Path(row["filepath"]).name for row in csv.DictReader(handle)][:2]
    assert sorted(first) == [f"{name}_L.png" for name in WRONG]
    assert "### Check these labels first" in (results(experiment) / "RCA_Report.md").read_text()


@pytest.mark.parametrize(
    "options",
    [[], ["--min-recall", "0.9"], ["--threshold", "0.45"], ["--top-k-per-label", "null"]],
    ids=["full recall", "a lower recall", "pinned", "misclassified only"],
)
def test_a_label_is_suspected_whatever_the_operating_point(
    experiment: Path, tmp_path: Path, options: list[str]
) -> None:
    """At full recall no sample labelled a defect lies below the threshold, so it cannot be the witness."""
    out = tmp_path / "out"
    done = tao_skills(
        "rca",
        "vcn",
        experiment,
        "--kpi-media-path",
        experiment / "images",
        "--no-transcript",
        "--output",
        out,
        *options,
    )
    assert done.returncode == 0, done.stderr
    assert "labels to check first: 2" in done.stdout
    with (out / "label_check.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert sorted(Path(row["filepath"]).stem for row in rows[:2]) == [f"{name}_L" for name in sorted(WRONG)]
    assert [float(row["suspicion"]) >= 0.5 for row in rows[:3]] == [True, True, False]
    report = (out / "RCA_Report.md").read_text()
    assert "**Check 2 labels before anything else.**" in report


def test_the_ranking_of_labels_is_the_same_at_every_recall(experiment: Path, tmp_path: Path) -> None:
    found = []
    for recall in ("1.0", "0.95", "0.5"):
        out = tmp_path / recall
        done = tao_skills(
            "rca", "vcn", experiment, "--kpi-media-path", experiment / "images", "--no-transcript", "--output", out,
            "--min-recall", recall,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        with (out / "label_check.csv").open() as handle:
            found.append([(row["filepath"], row["suspicion"], row["model"]) for row in csv.DictReader(handle)])
    assert found[0] == found[1] == found[2] != []


def test_without_pictures_eight_planted_flips_are_among_the_first_fifteen_and_none_is_called_wrong(
    tmp_path: Path,
) -> None:
    """Scores of a model whose test set holds four defects called PASS and four good boards called open."""
    shutil.copy(Path(__file__).parent / "golden" / "flipped_labels.csv", tmp_path / "inference.csv")
    train = {"dataset": {"classify": {"input_map": {"L": 0}, "image_ext": ".png"}}}
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(train))
    done = tao_skills("rca", "vcn", tmp_path, "--no-transcript", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "labels to check first: 0" in done.stdout
    with (tmp_path / "out" / "label_check.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    flipped = [i for i, r in enumerate(rows, 1) if ("/good/" in r["filepath"]) != (r["label"] == "PASS")]
    assert len(flipped) == 8 and max(flipped) <= 15 and flipped[:3] == [1, 2, 3]
    report = (tmp_path / "out" / "RCA_Report.md").read_text()
    assert "the model alone ranks these" in report and "before anything else" not in report
    assert check_rca(tmp_path / "out") == []


def falling_segments(page: Path) -> int:
    """Segments of the page's recall-FAR curves along which recall falls."""
    falls = 0
    for points in re.findall(r'<polyline class="curve [^"]*" points="([^"]+)"', page.read_text(encoding="utf-8")):
        places = [tuple(map(float, place.split(","))) for place in points.split()]
        falls += sum(b[1] > a[1] + 1e-6 or b[0] < a[0] - 1e-6 for a, b in pairwise(places))
    return falls


@pytest.mark.parametrize("spread", [0.0, 0.3, 0.6])
def test_the_recall_far_curve_of_the_page_never_falls(tmp_path: Path, spread: float) -> None:
    folder = make_experiment(tmp_path, passes=3, defects=2)
    random = np.random.default_rng(3)
    rows = [f"b,g,bridge,d{i},{min(1.0, 0.7 + spread * random.normal()):.3f}" for i in range(200)]
    rows += [f"b,g,PASS,p{i},{max(0.0, 0.3 + spread * random.normal()):.3f}" for i in range(200)]
    (folder / "inference" / "inference.csv").write_text(
        "input_path,golden_path,label,object_name,siamese_score\n" + "\n".join(rows) + "\n"
    )
    done = tao_skills("rca", "vcn", folder, "--no-transcript", "--no-check-labels", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    page = tmp_path / "out" / "RCA_Report.html"
    assert page.read_text(encoding="utf-8").count('class="curve ') == 1
    assert falling_segments(page) == 0


@pytest.mark.parametrize(
    ("verdicts", "advice"),
    [
        (["edge case"] * 10, "**Agree on a rule with whoever labels.**"),
        (["mislabeled"] * 6 + ["systematic"] * 4, "**Correct the labels first.**"),
        (["systematic"] * 9 + ["data quality"], "**Go on with the data below.**"),
    ],
)
def test_a_finished_spot_check_is_no_longer_asked_for_and_its_verdicts_speak(
    experiment: Path, tmp_path: Path, verdicts: list[str], advice: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(results(experiment), copy)
    report = copy / "RCA_Report.md"
    assert "**Finish the spot check: 10 pictures without a verdict.**" in report.read_text()
    from tao_skill_bank.reports.rca.analysis import set_verdict

    images = [s["image"] for s in json.loads((copy / "spot_check.json").read_text())]
    for left, (image, verdict) in enumerate(zip(images, verdicts, strict=True), start=1):
        done = tao_skills("rca", "check", copy)
        assert done.returncode == 2 and f"{11 - left} of 10 spot-check verdicts are open" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        set_verdict(copy, image, verdict)
    text, page = report.read_text(), (copy / "RCA_Report.html").read_text(encoding="utf-8")
    assert "Finish the spot check" not in text and "Finish the spot check" not in page
    assert advice in text and advice.strip("*.") in page
    done = tao_skills("rca", "check", copy)
    assert done.returncode == 0, done.stderr


def test_a_list_of_actions_that_somebody_changed_stays_and_is_named_once_it_is_out_of_date(
    experiment: Path, tmp_path: Path
) -> None:
    from tao_skill_bank.reports.rca.analysis import set_verdict

    copy = tmp_path / "copy"
    shutil.copytree(results(experiment), copy)
    report = copy / "RCA_Report.md"
    report.write_text(report.read_text().replace("stop here and relabel", "stop at once and relabel"))
    for spot in json.loads((copy / "spot_check.json").read_text()):
        set_verdict(copy, spot["image"], "systematic")
    assert "stop at once and relabel" in report.read_text()
    assert check_rca(copy) == ["RCA_Report.md: section 7 still asks for the spot check, whose verdicts are all set"]


EDITS = {
    "a confusion count": ("(TN) | ", "(TN) | 1"),
    "a rate": ("| F1 | 0.", "| F1 | 1."),
    "a label count": ("| PASS | ", "| PASS | 1"),
    "the threshold of section 1": ("At the threshold `0.", "At the threshold `1."),
    "the threshold of section 2": ("Chosen threshold: `0.", "Chosen threshold: `1."),
    "a heading": ("## 6. Per-Label Breakdown", "## 6. Labels"),
    "a weak sample": ("| 1 | b/", "| 1 | c/"),
    "a picture": ("](rca_images/pass_1", "](rca_images/pass_9"),
    "a verdict without the command": ("| open |  |", "| mislabeled |  |"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_report_that_was_edited_to_disagree_fails(experiment: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(results(experiment), copy)
    report = copy / "RCA_Report.md"
    old, new = EDITS[name]
    text = report.read_text()
    assert old in text
    report.write_text(text.replace(old, new, 1))
    assert check_rca(copy)
    done = tao_skills("rca", "check", copy)
    assert done.returncode == 2 and "Traceback" not in done.stderr and done.stderr.strip()


@pytest.mark.parametrize("name", ["metrics.json", "kpi_gaps.parquet", "threshold.txt", "rca_images/pass_1"])
def test_a_missing_or_damaged_file_fails(experiment: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(results(experiment), copy)
    target = next(copy.glob(f"{name}*")) if "/" in name else copy / name
    target.unlink()
    assert check_rca(copy)
    if "/" not in name:
        target.write_text("{}")
        assert check_rca(copy)


def test_a_verdict_is_entered_and_words_added_elsewhere_stay(experiment: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(results(experiment), copy)
    report = copy / "RCA_Report.md"
    report.write_text(report.read_text().replace("## 7.", "Somebody's finding.\n\n## 7.", 1))
    image = next(p.stem for p in (copy / "rca_images").iterdir() if p.name.startswith("no_pass_1"))
    done = tao_skills("rca", "verdict", image, "Mislabeled", "--note", "a | plain <b>board</b>", "--in", copy)
    assert done.returncode == 0, done.stderr
    text = report.read_text()
    assert "Somebody's finding." in text and "| mislabeled | a &#124; plain &lt;b&gt;board&lt;/b&gt; |" in text
    assert "Open: 9 of 10. Seen so far: mislabeled 1." in text
    assert check_rca(copy) == []
    spots = json.loads((copy / "spot_check.json").read_text())
    assert [s["verdict"] for s in spots].count("mislabeled") == 1
    for args in ((image, "wrong"), ("nothing_like_it", "systematic")):
        done = tao_skills("rca", "verdict", *args, "--in", copy)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


def test_packaging_takes_credentials_out(experiment: Path, tmp_path: Path) -> None:
    folder = results(experiment)
    assert SECRET not in (folder / "rca_config" / "train.yaml").read_text()
    transcript = tmp_path / "session.jsonl"
    lines = [{"type": "user", "text": f"export NGC_API_KEY={SECRET}"}, {"token": SECRET, "n": 1}]
    transcript.write_text("\n".join(json.dumps(x) for x in lines) + f"\nbroken {SECRET}\n")
    extra = tmp_path / "SKILL.md"
    extra.write_text("how it was done")
    done = tao_skills("rca", "package", folder, "--transcript", transcript, "--config", extra)
    assert done.returncode == 0, done.stderr
    stored = (folder / "claude_session.jsonl").read_text()
    assert SECRET not in stored and len(stored.splitlines()) == 3
    assert (folder / "rca_config" / "SKILL.md").read_text() == "how it was done"
    (folder / "claude_session.jsonl").unlink()


def test_the_newest_transcript_of_the_working_folder_is_found(experiment: Path, tmp_path: Path) -> None:
    from tao_skill_bank.bank.transcripts import project_dir

    folder = project_dir(tmp_path, tmp_path / "home")
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_text('{"a": 1}\n')
    done = tao_skills("rca", "package", results(experiment), cwd=tmp_path, HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    assert (results(experiment) / "claude_session.jsonl").read_text() == '{"a":1}\n'
    (results(experiment) / "claude_session.jsonl").unlink()


def test_an_unreachable_target_gets_the_short_report_and_status_3(tmp_path: Path) -> None:
    folder = make_experiment(tmp_path, passes=5, defects=0)
    path = folder / "inference" / "inference.csv"
    path.write_text(path.read_text().replace("bridge", "PASS"))
    done = tao_skills("rca", "vcn", folder, "--kpi-media-path", folder / "images", "--no-transcript")
    assert done.returncode == 3, done.stderr
    text = (results(folder) / "RCA_Report.md").read_text()
    assert "> The recall target cannot be reached." in text and "**Retrain or relabel.**" in text
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## 1. Verdict",
        "## 2. Threshold Selection",
        "## 3. Why the Target Cannot Be Reached",
        "## 4. Recommended Actions",
    ]
    assert check_rca(results(folder)) == []


def test_without_images_the_report_says_so_and_still_passes(tmp_path: Path) -> None:
    folder = make_experiment(tmp_path, passes=4, defects=2)
    done = tao_skills("rca", "vcn", folder, "--kpi-media-path", tmp_path / "elsewhere", "--no-transcript")
    assert done.returncode == 0, done.stderr
    text = (results(folder) / "RCA_Report.md").read_text()
    assert "not found" in text and 1000 <= len(text.split()) <= 1800
    assert check_rca(results(folder)) == []


@pytest.mark.parametrize("labels", [1, 12, 40])
def test_the_length_holds_for_few_and_for_many_labels(tmp_path: Path, labels: int) -> None:
    folder = make_experiment(tmp_path, passes=30, defects=0)
    rows = [f"b,g,defect_{i % labels:02d},x{i},{(i % 97) / 97}" for i in range(40 * labels)]
    path = folder / "inference" / "inference.csv"
    path.write_text(path.read_text() + "\n".join(rows) + "\n")
    done = tao_skills(
        "rca", "vcn", folder, "--kpi-media-path", folder / "images", "--min-recall", "0.9", "--no-transcript"
    )
    assert done.returncode == 0, done.stderr
    assert check_rca(results(folder)) == []


def test_an_experiment_that_cannot_be_analysed_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    for args in (["rca", "vcn", tmp_path / "none"], ["rca", "vcn", tmp_path], ["rca", "check", tmp_path]):
        done = tao_skills(*args)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    (tmp_path / "exp").mkdir()
    folder = make_experiment(tmp_path / "exp", passes=3, defects=1)
    path = folder / "inference" / "inference.csv"
    path.write_text(path.read_text().replace(",0.", ",x0."))
    done = tao_skills("rca", "vcn", folder)
    assert done.returncode == 2 and "row 1 (line 2)" in done.stderr
    assert not (folder / "rca_results").exists()


def test_routing_says_where_each_label_can_come_from(experiment: Path, tmp_path: Path) -> None:
    gaps = results(experiment) / "kpi_gaps.parquet"
    done = tao_skills(
        "gaps", "route", gaps, "--pool-label", "pass", "--generator-label", "Bridge", "--output", tmp_path
    )
    assert done.returncode == 0, done.stderr
    mining = pq.read_table(tmp_path / "mining_gaps.parquet")
    generator = pq.read_table(tmp_path / "anomalygen_gaps.parquet")
    assert set(mining["label"].to_pylist()) == {"PASS"} and set(generator["label"].to_pylist()) == {"bridge"}
    assert mining.schema.equals(pq.read_table(gaps).schema)
    done = tao_skills("gaps", "route", gaps, "--pool-label", "PASS", "--output", tmp_path / "b")
    assert done.returncode == 2 and "no module takes: BRIDGE" in done.stderr
    empty = pq.read_table(tmp_path / "b" / "anomalygen_gaps.parquet")
    assert empty.num_rows == 0 and empty.schema.equals(mining.schema)
    done = tao_skills(
        "gaps", "route", gaps, "--pool-label", "PASS", "--accept-dropped", "bridge", "--output", tmp_path / "c"
    )
    assert done.returncode == 0 and "dropped (accepted)" in done.stdout


def test_mining_finds_images_like_the_weak_ones(experiment: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(9)
    files = []
    for i in range(12):
        path = tmp_path / "pool" / f"{i}.png"
        draw(path, random, defect=i % 2 == 0)
        files.append(str(path))
    pq.write_table(pa.table({"filepath": files, "label": ["bridge", "PASS"] * 6}), tmp_path / "pool.parquet")
    gaps = results(experiment) / "kpi_gaps.parquet"
    args = ["gaps", "mine", gaps, tmp_path / "pool.parquet", "--output", tmp_path / "out", "--top-k", "2"]
    done = tao_skills(*args, "--min-similarity", "0", "--same-label", "within")
    assert done.returncode == 0, done.stderr
    mined = pq.read_table(tmp_path / "out" / "mined.parquet")
    assert 2 <= mined.num_rows <= 12 and set(mined["filepath"].to_pylist()) <= set(files)
    assert (tmp_path / "out" / "mining_summary.txt").is_file()
    done = tao_skills("gaps", "mine", tmp_path / "none", tmp_path / "pool.parquet", "--output", tmp_path / "o")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


def test_a_set_without_good_boards_has_no_far_on_the_page(tmp_path: Path) -> None:
    folder = make_experiment(tmp_path, passes=0, defects=6)
    path = folder / "inference" / "inference.csv"
    path.write_text(path.read_text().replace(",PASS,", ",bridge,"))
    done = tao_skills("rca", "vcn", folder, "--no-transcript", "--no-check-labels", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "FAR: undefined (no PASS row)" in done.stdout
    page = (tmp_path / "out" / "RCA_Report.html").read_text(encoding="utf-8")
    far = page[page.index("<dt>FAR</dt>") : page.index("<dt>Recall</dt>")]
    assert "–" in far and "%" not in far
    assert "| FAR (PASS flagged) | – | 0 of 0 |" in (tmp_path / "out" / "RCA_Report.md").read_text()


def test_every_name_that_a_report_prints_is_taken_and_kept_with_the_corrections(
    experiment: Path, tmp_path: Path
) -> None:
    from tao_skill_bank.data import corrections
    from tao_skill_bank.reports.rca.analysis import set_verdict
    from tao_skill_bank.reports.rca.data import load_rca

    own = tmp_path / "experiment"
    shutil.copytree(experiment, own, ignore=shutil.ignore_patterns("labels"))
    copy = own / "rca_results" / results(experiment).name
    context = json.loads((copy / "rca_context.json").read_text())
    (copy / "rca_context.json").write_text(json.dumps({**context, "experiment": str(own)}))
    data = load_rca(copy)
    weakest = data.weak[0].filepath
    names = {"/".join(Path(weakest).parts[-2:]), weakest, data.context.name(weakest)}
    assert data.context.name(weakest) in (copy / "RCA_Report.md").read_text()
    for name in names:
        spot = set_verdict(copy, name, "edge case", who="Ana")
        assert spot.filepath == weakest
    [said] = corrections.read(own).lines
    assert (said.sample.name, said.reason, said.to, said.who) == (data.context.name(weakest), "edge_case", None, "Ana")
    outside = next(w for w in data.weak if w.filepath not in {s.filepath for s in data.spots})
    assert set_verdict(copy, data.context.name(outside.filepath), "mislabeled", who="Ana").image == ""
    kept = {data.context.name(w.filepath) for w in data.weak}
    scored = next(name for name in (f"b/p{n:02d}" for n in range(60)) if name not in kept)
    assert set_verdict(copy, scored, "data quality", who="Ana").filepath == scored
    assert [s.status for s in corrections.read(own).standing.values()] == ["kept", "doubted", "kept"]
    assert check_rca(copy) == []
    corrections.undo(own, said.id, "Ana")
    set_verdict(copy, data.spots[1].filepath, "systematic", who="Ana")
    assert [s.verdict for s in load_rca(copy).spots[:2]] == [None, "systematic"]


def test_verdicts_of_an_earlier_spot_check_are_written_down_with_the_next_one(experiment: Path, tmp_path: Path) -> None:
    from tao_skill_bank.data import corrections
    from tao_skill_bank.reports.rca.analysis import set_verdict

    own = tmp_path / "experiment"
    shutil.copytree(experiment, own, ignore=shutil.ignore_patterns("labels"))
    copy = own / "rca_results" / results(experiment).name
    context = json.loads((copy / "rca_context.json").read_text())
    (copy / "rca_context.json").write_text(json.dumps({**context, "experiment": str(own)}))
    spots = json.loads((copy / "spot_check.json").read_text())
    spots[3] |= {"verdict": "data quality", "note": "a scratch"}
    (copy / "spot_check.json").write_text(json.dumps(spots))
    set_verdict(copy, spots[0]["image"], "mislabeled", who="Ana")
    earlier, new = corrections.read(own).lines
    assert (earlier.who, earlier.reason, earlier.note, new.who) == ("spot check", "data_quality", "a scratch", "Ana")
    set_verdict(copy, spots[1]["image"], "mislabeled", who="Ana")
    assert len(corrections.read(own).lines) == 3


def test_goldens_stand_beside_the_spot_check_and_suspects_have_pictures(experiment: Path) -> None:
    folder = results(experiment)
    spots = json.loads((folder / "spot_check.json").read_text())
    assert all((folder / "rca_goldens" / spot["golden"]).is_file() for spot in spots)
    first = {p.name for p in (folder / "rca_labels").glob("1*.png")}
    assert {"1.png", "1_golden.png", "1_like.png"} <= first
    page = (folder / "RCA_Report.html").read_text(encoding="utf-8")
    assert page.count("data:image/") >= 2 * len(spots) + 3
    assert "tao-skills studio" in page
