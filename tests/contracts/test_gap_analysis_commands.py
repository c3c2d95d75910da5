"""`gap_analysis` as a user runs it: command lines, exit statuses, one line of error, nothing half written."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from ran import ran

COMMAND = [sys.executable, "-c", "from tao_skill_bank.actions.gap_analysis.cli import main; main()"]


def gap_analysis(*args: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return ran([*COMMAND, *map(str, args)], cwd=cwd, env={**os.environ, **env})


@pytest.fixture
def case(tmp_path: Path) -> Path:
    inference = tmp_path / "inference"
    inference.mkdir()
    rows = ["b,p1,PASS,0.1", "b,p2,PASS,0.3", "b,p3,PASS,0.5", "b,n1,bridge,0.3", "b,n2,bridge,0.9"]
    text = "input_path,object_name,label,siamese_score\n" + "\n".join(rows) + "\n"
    (inference / "inference.csv").write_text(text)
    train = {"dataset": {"classify": {"input_map": {"Solder": 0, "White": 1}, "image_ext": ".jpg"}}}
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(train))
    items = [
        {"video_id": "a.mp4", "response": "Yes, there is.", "gt": "B. No", "question": "Is there a collision?"},
        {"video_id": "b.mp4", "response": "nothing", "gt": "no"},
        {"video_id": "c.mp4", "response": "No", "gt": "A. Yes"},
    ]
    (tmp_path / "results.json").write_text(json.dumps(items))
    return tmp_path


def vcn(case: Path, out: str = "out") -> list[str]:
    return [
        "vcn_aoi",
        f"inference_results_dir={case / 'inference'}",
        f"train_config={case / 'train.yaml'}",
        f"results_dir={case / out}",
    ]


def one_line(done: subprocess.CompletedProcess[str], status: int) -> str:
    assert done.returncode == status, done.stderr
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def test_vcn_aoi_runs_as_documented(case: Path) -> None:
    done = gap_analysis(*vcn(case), "kpi_media_path=/data", "top_k_per_label=50")
    assert done.returncode == 0, done.stderr
    assert "threshold: 0.1 (swept, recall >= 1)" in done.stdout
    assert "PASS    3 kept of 3" in done.stdout and "BRIDGE  2 kept of 2" in done.stdout
    rows = pq.read_table(case / "out" / "kpi_gaps.parquet").to_pylist()
    assert rows[0] == {
        "filepath": "/data/b/p3_Solder.jpg",
        "label": "PASS",
        "siamese_score": 0.5,
        "weakness": 0.4,
    }
    assert len(rows) == 10


def test_vlm_bcq_runs_as_documented(case: Path) -> None:
    done = gap_analysis(
        "vlm_bcq", f"predictions_json={case / 'results.json'}", f"results_dir={case / 'g'}", f"videos_dir={case}"
    )
    assert done.returncode == 0, done.stderr
    assert "FP: 1  FN: 1  total: 2" in done.stdout
    assert "skipped item 1 (video_id 'b.mp4'): response has neither yes nor no: 'nothing'" in done.stderr
    lines = (case / "g" / "kpi_gaps.jsonl").read_text().splitlines()
    assert list(json.loads(lines[0])) == ["video_id", "error_type", "question", "ground_truth", "response"]
    assert json.loads(lines[0])["video_id"] == os.path.realpath(case / "a.mp4")


def test_the_spec_file_comes_first_and_overrides_after_it(case: Path) -> None:
    spec = case / "spec.yaml"
    spec.write_text(yaml.safe_dump({"min_recall": 0.5, "top_k_per_label": 1, "results_dir": str(case / "unused")}))
    done = gap_analysis(vcn(case)[0], "-e", spec, *vcn(case)[1:], "top_k_per_label=2")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((case / "out" / "metrics.json").read_text())
    assert metrics["min_recall"] == 0.5 and metrics["per_label"]["PASS"]["kept"] == 2
    assert not (case / "unused").exists()


def test_cfg_job_prints_the_resolved_configuration_and_stops(case: Path) -> None:
    done = gap_analysis("vcn_aoi", "--cfg=job", "min_recall=0.9", f"results_dir={case / 'out'}")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout) == {
        "inference_results_dir": "???",
        "train_config": "???",
        "kpi_media_path": "",
        "threshold": -1.0,
        "min_recall": 0.9,
        "top_k_per_label": 50,
        "results_dir": str(case / "out"),
    }
    assert not (case / "out").exists()


def test_output_dir_is_taken_for_results_dir_with_a_warning(case: Path) -> None:
    args = [a.replace("results_dir=", "output_dir=") if a.startswith("results_dir") else a for a in vcn(case)]
    done = gap_analysis(*args)
    assert done.returncode == 0
    assert "warning" in done.stderr and "output_dir is now called results_dir" in done.stderr
    assert (case / "out" / "kpi_gaps.parquet").is_file()


def test_a_threshold_is_pinned_and_still_written(case: Path) -> None:
    done = gap_analysis(*vcn(case), "threshold=0.4")
    assert done.returncode == 0 and "threshold: 0.4 (pinned)" in done.stdout
    assert (case / "out" / "threshold.txt").read_text() == "0.4"


def test_top_k_null_selects_every_misclassified_row(case: Path) -> None:
    assert gap_analysis(*vcn(case), "top_k_per_label=null", "threshold=0.4").returncode == 0
    names = [Path(p).name for p in pq.read_table(case / "out" / "kpi_gaps.parquet")["filepath"].to_pylist()]
    assert names == ["n1_Solder.jpg", "n1_White.jpg", "p3_Solder.jpg", "p3_White.jpg"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["min_recal=0.9"], "unknown key 'min_recal'.*did you mean 'min_recall'"),
        (["min_recall=1.5"], "min_recall"),
        (["min_recall=abc"], "min_recall: must be a finite number, not 'abc'"),
        (["top_k_per_label=0"], "top_k_per_label: must be a whole number of at least 1"),
        (["top_k_per_label=-3"], "top_k_per_label"),
        (["top_k_per_label=2.5"], "top_k_per_label"),
        (["threshold=nan"], "threshold: must be a finite number"),
        (["results_dir="], "results_dir: must be a path"),
        (["--weird"], "unknown option"),
        (["min_recall"], "key=value"),
        (["a=b("], "cannot read override|unknown key"),
    ],
)
def test_usage_errors_are_one_line_and_status_2(case: Path, change: list[str], message: str) -> None:
    import re

    text = one_line(gap_analysis(*vcn(case), *change), 2)
    assert re.search(message, text), text
    assert not (case / "out").exists()


def test_a_required_value_left_unset_is_named(case: Path) -> None:
    text = one_line(gap_analysis("vcn_aoi", f"results_dir={case}"), 2)
    assert "inference_results_dir" in text and "train_config" in text
    text = one_line(gap_analysis("vlm_bcq", f"results_dir={case}"), 2)
    assert "predictions_json" in text


def test_bad_input_is_one_line_with_file_and_row(case: Path) -> None:
    csv = case / "inference" / "inference.csv"
    csv.write_text(csv.read_text().replace("0.5", "inf"))
    text = one_line(gap_analysis(*vcn(case)), 2)
    assert f"{csv} row 3 (line 4)" in text
    assert not (case / "out").exists()


def test_an_unreachable_recall_is_status_3_and_leaves_only_the_explanation(case: Path) -> None:
    csv = case / "inference" / "inference.csv"
    csv.write_text(csv.read_text().replace("bridge", "pass"))
    text = one_line(gap_analysis(*vcn(case)), 3)
    assert "none of 5 rows is NO_PASS" in text
    assert [p.name for p in (case / "out").iterdir()] == ["unreachable_kpi.txt"]


def test_strict_turns_a_skipped_sample_into_status_2(case: Path) -> None:
    args = [f"predictions_json={case / 'results.json'}", f"results_dir={case / 'g'}"]
    text = one_line(gap_analysis("vlm_bcq", "--strict", *args), 2)
    assert "item 1" in text
    assert not (case / "g").exists()


@pytest.mark.parametrize("rows", [0, 2])
def test_no_analysis_imports_pandas_which_takes_longer_than_the_work(case: Path, rows: int) -> None:
    csv = case / "inference" / "inference.csv"
    lines = csv.read_text().splitlines(keepends=True)
    csv.write_text("".join([*lines, *lines[1 : 1 + rows]]))
    told = f"import atexit, sys; atexit.register(lambda: print('pandas' in sys.modules)); {COMMAND[2]}"
    vlm = ["vlm_bcq", f"predictions_json={case / 'results.json'}", f"results_dir={case / 'yes'}"]
    for line in (vcn(case), vlm):
        assert ran([sys.executable, "-c", told, *line]).stdout.splitlines()[-1] == "False", line


def test_a_traceback_is_shown_when_asked_for(case: Path) -> None:
    assert "Traceback" in gap_analysis(*vcn(case), "min_recall=2", "--traceback").stderr
    assert "Traceback" in gap_analysis(*vcn(case), "min_recall=2", TAO_SKILLS_TRACEBACK="1").stderr


def test_values_with_spaces_and_quotes_reach_the_analysis(case: Path) -> None:
    args = [a for a in vcn(case) if not a.startswith("results_dir")]
    done = gap_analysis(*args, f"results_dir='{case / 'a folder, with (marks)'}'", "kpi_media_path='/my images'")
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(case / "a folder, with (marks)" / "kpi_gaps.parquet")["filepath"].to_pylist()
    assert rows[0].startswith("/my images/b/")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; needs the right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_leaves_no_file_behind(case: Path, small_disk: Path) -> None:
    csv = case / "inference" / "inference.csv"
    rows = "".join(f"b,o{i},{'bridge' if i % 2 else 'PASS'},{i / 9999}\n" for i in range(9999))
    csv.write_text("input_path,object_name,label,siamese_score\n" + rows)
    args = [a for a in vcn(case) if not a.startswith("results_dir")]
    text = one_line(gap_analysis(*args, f"results_dir={small_disk / 'out'}", "top_k_per_label=5000"), 2)
    assert "No space left" in text
    assert list(small_disk.iterdir()) == []
    many = [{"video_id": f"v{i}", "response": "yes", "gt": "no"} for i in range(5000)]
    (case / "many.json").write_text(json.dumps(many))
    text = one_line(gap_analysis("vlm_bcq", f"predictions_json={case / 'many.json'}", f"results_dir={small_disk}/g"), 2)
    assert "No space left" in text
    assert list(small_disk.iterdir()) == []


def test_a_results_folder_that_cannot_be_written_is_one_line(case: Path, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro,size=4k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        folder.chmod(0o500)
        if os.access(folder, os.W_OK):
            pytest.skip("neither a read-only mount nor a folder without write permission can be made here")
    try:
        for target in (folder, folder / "deep" / "er"):
            args = [a for a in vcn(case) if not a.startswith("results_dir")]
            text = one_line(gap_analysis(*args, f"results_dir={target}"), 2)
            assert "locked" in text and ("Read-only" in text or "Permission" in text)
    finally:
        if not made.returncode:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_results_dir_that_is_a_file_is_refused(case: Path) -> None:
    (case / "out").write_text("mine")
    assert "is not a folder" in one_line(gap_analysis(*vcn(case)), 2)
    assert (case / "out").read_text() == "mine"


def test_help_imports_nothing_heavy_and_names_every_key() -> None:
    code = (
        "import sys; from tao_skill_bank.actions.gap_analysis.cli import main\n"
        "try: main()\n"
        "except SystemExit: print([m for m in ('numpy','pydantic','pyarrow','hydra','yaml') if m in sys.modules])"
    )
    for args in (["--help"], ["vcn_aoi", "--help"], ["vlm_bcq", "--help"]):
        done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
        assert done.stdout.endswith("[]\n")
    done = gap_analysis("vcn_aoi", "--help")
    for key in (
        "inference_results_dir",
        "train_config",
        "kpi_media_path",
        "threshold",
        "min_recall",
        "top_k_per_label",
    ):
        assert key in done.stdout
    assert gap_analysis("vcn_aio").returncode == 2


def test_help_takes_less_than_150_ms_of_processor_time() -> None:
    def cost() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert gap_analysis("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(cost() for _ in range(5)) < 0.15
