"""The certificate: counts and bounds against scipy, what it says, what it refuses, and its signature."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from scipy.stats import beta

from tao_skill_bank.assurance.certificate import more_to_show, read_certificate
from tao_skill_bank.cli import cli
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.reports.certificate import needs

TARGET = "FAR < 5% at recall=95%"


def rows(goods: int, flagged: int, defects: int, missed: int) -> list[dict[str, Any]]:
    """Parts of which this many are wrong at the threshold 0.5."""
    good = [{"label": "PASS", "siamese_score": 0.9 if i < flagged else 0.1} for i in range(goods)]
    bad = [{"label": ("short", "open")[i % 2], "siamese_score": 0.2 if i < missed else 0.8} for i in range(defects)]
    return good + bad


def written(path: Path, parts: list[dict[str, Any]]) -> Path:
    names = list(parts[0])
    path.write_text("\n".join([",".join(names), *(",".join(str(p[n]) for n in names) for p in parts)]) + "\n")
    return path


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, ["certify", *map(str, args)])


def told(*args: object) -> Any:
    done = run(*args, "--json")
    assert done.exception is None, done.exception
    return json.loads(done.stdout)


def refused(*args: object) -> str:
    done = run(*args)
    assert isinstance(done.exception, InputError)
    return done.exception.line()


@pytest.mark.parametrize(
    ("goods", "flagged", "defects", "missed"), [(500, 8, 200, 3), (500, 0, 200, 0), (3, 3, 2, 2), (1000, 49, 60, 1)]
)
def test_rates_counts_and_bounds_are_those_of_the_beta_distribution(
    tmp_path: Path, goods: int, flagged: int, defects: int, missed: int
) -> None:
    found = told(
        written(tmp_path / "s.csv", rows(goods, flagged, defects, missed)), "--threshold", 0.5, "--target", TARGET
    )
    assert found["threshold"] == 0.5
    for name, k, n in (("far", flagged, goods), ("recall", defects - missed, defects)):
        rate = found[name]
        assert (rate["k"], rate["n"]) == (k, n) and rate["value"] == pytest.approx(k / n)
        assert rate["low"] == pytest.approx(0 if k == 0 else beta.ppf(0.025, k, n - k + 1))
        assert rate["high"] == pytest.approx(1 if k == n else beta.ppf(0.975, k + 1, n - k))
    far_most = 1 if flagged == goods else beta.ppf(0.95, flagged + 1, goods - flagged)
    recall_least = 0 if missed == defects else beta.ppf(0.05, defects - missed, missed + 1)
    assert found["far"]["upper_one_sided"] == pytest.approx(far_most)
    assert found["recall"]["lower_one_sided"] == pytest.approx(recall_least)
    assert found["shown"] is bool(far_most < 0.05 and recall_least >= 0.95)


def test_what_is_needed_shows_the_target_and_one_part_less_does_not(tmp_path: Path) -> None:
    found = told(written(tmp_path / "s.csv", rows(150, 4, 50, 1)), "--threshold", 0.5, "--target", TARGET)
    assert not found["shown"]
    more_good, more_bad = found["needed"]["pass_rows"], found["needed"]["defect_rows"]
    for add, shown in ((0, True), (-1, False)):
        parts = rows(150 + more_good + add, 4, 50 + more_bad, 1)
        again = told(written(tmp_path / "more.csv", parts), "--threshold", 0.5, "--target", TARGET)
        assert again["shown"] is shown
    assert again["needed"] == {"pass_rows": 1, "defect_rows": 0}


def test_with_further_errors_more_is_needed() -> None:
    needs = [more_to_show(k, 0, 0.01) for k in range(4)]
    assert needs[0] == 299
    assert needs == sorted(needs)
    for k, n in enumerate(needs):
        assert n is not None and beta.ppf(0.95, k + 1, n - k) <= 0.01 < beta.ppf(0.95, k + 1, n - 1 - k)


def test_a_recall_of_all_is_shown_by_no_number(tmp_path: Path) -> None:
    path = written(tmp_path / "s.csv", rows(5000, 0, 5000, 0))
    found = told(path, "--threshold", 0.5, "--target", "FAR < 1% at recall=100%")
    assert not found["shown"] and found["needed"] == {"pass_rows": 0, "defect_rows": None}
    said = run(path, "--threshold", 0.5, "--target", "FAR < 1% at recall=100%").stdout
    assert "no feasible number of defects shows it" in said


def test_a_threshold_chosen_on_the_same_rows_shows_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "s.csv", rows(5000, 0, 5000, 0))
    found = told(path, "--target", TARGET)
    assert found["threshold"] < 0.8 and not found["shown"]
    assert "chosen on these very rows" in found["cautions"][0]
    assert found["needed"]["pass_rows"] == 59


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_parquet_and_json_lines_say_what_the_csv_says(tmp_path: Path, kind: str) -> None:
    parts = [
        {"label": r["label"], "score": r["siamese_score"], "lot": f"L{i % 3}"} for i, r in enumerate(rows(90, 3, 60, 2))
    ]
    csv, other = written(tmp_path / "s.csv", parts), tmp_path / f"s.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(parts), other)
    else:
        other.write_text("".join(json.dumps(p) + "\n" for p in parts))
    first, second = (told(p, "--threshold", 0.5, "--target", TARGET) for p in (csv, other))
    same = ("far", "recall", "shown", "needed", "strata", "bounds_together")
    assert {k: first[k] for k in same} == {k: second[k] for k in same}


def test_groups_hold_together_and_add_up(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = [
        {**part, "object_name": f"{rng.choice(['C', 'R'])}{i}", "lighting": rng.choice(["white", "blue"])}
        for i, part in enumerate(rows(300, 6, 100, 4))
    ]
    found = told(written(tmp_path / "s.csv", parts), "--threshold", 0.5, "--target", TARGET)
    by = {(s["by"], s["name"]): s for s in found["strata"]}
    assert {key[0] for key in by} == {"part type", "lighting", "defect"}
    # 4 groups with good parts and defects, 2 defects: 10 bounds.
    assert found["bounds_together"] == 10
    for kind in ("part type", "lighting"):
        assert sum(s["far"]["n"] for s in by.values() if s["by"] == kind) == 300
        assert sum(s["recall"]["k"] for s in by.values() if s["by"] == kind) == 96
    one = by["defect", "open"]
    assert one["far"] is None
    k, n = one["recall"]["k"], one["recall"]["n"]
    assert one["recall_least"] == pytest.approx(beta.ppf(0.05 / 10, k, n - k + 1))


@pytest.mark.parametrize("key", [("sample",), ("input_path", "object_name")])
def test_parts_that_stand_more_than_once_are_told_since_each_row_counts(tmp_path: Path, key: tuple[str, ...]) -> None:
    parts = [{**part, **{name: f"{name}{n}" for name in key}} for n, part in enumerate(rows(300, 0, 200, 0))]
    args = ["--threshold", 0.5, "--target", "FAR < 5% at recall=95%"]
    once, twice = (told(written(tmp_path / f"{n}.csv", n * parts), *args) for n in (1, 2))
    assert "more than once" not in "".join(once["cautions"])
    name = "/".join(f"{name}0" for name in key)
    assert f"500 parts named more than once (first: {name}): every row is counted" in "".join(twice["cautions"])


def test_boards_decide_where_they_say_less(tmp_path: Path) -> None:
    # Every false call is on one of twenty boards: the parts are not independent.
    parts = [{**p, "board": f"b{i * 20 // 2400}"} for i, p in enumerate(rows(2000, 80, 400, 0))]
    path = written(tmp_path / "s.csv", parts)
    found = told(path, "--threshold", 0.5, "--target", "FAR < 6% at recall=95%")
    assert found["far"]["upper_one_sided"] < 0.06 < found["by_board"]["far"]["upper_one_sided"]
    assert found["shown"] is False


def test_the_digest_is_of_everything_else_and_a_changed_figure_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "s.csv", rows(500, 8, 200, 3))
    assert run(path, "--threshold", 0.5, "--target", TARGET, "--to", tmp_path / "c", "--who", "Ada").exit_code == 0
    file = tmp_path / "c" / "certificate.json"
    assert read_certificate(file).certified_by == "Ada"
    file.write_text(file.read_text().replace('"k": 8', '"k": 7'))
    with pytest.raises(InputError, match="was changed"):
        read_certificate(file)


def test_a_certificate_is_not_written_over_another(tmp_path: Path) -> None:
    path = written(tmp_path / "s.csv", rows(50, 1, 20, 1))
    args = (path, "--threshold", 0.5, "--target", TARGET, "--to", tmp_path / "c")
    assert run(*args).exit_code == 0
    before = (tmp_path / "c" / "certificate.json").read_bytes()
    assert "certificate already" in refused(*args)
    assert (tmp_path / "c" / "certificate.json").read_bytes() == before


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed (openssh-client)")
def test_a_signature_is_checked_by_ssh_keygen(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    path = written(tmp_path / "s.csv", rows(50, 1, 20, 1))
    out = tmp_path / "c"
    assert run(path, "--threshold", 0.5, "--target", TARGET, "--to", out, "--sign", key).exit_code == 0
    (tmp_path / "signers").write_text(f"ada {(tmp_path / 'key.pub').read_text()}")
    check = ["ssh-keygen", "-Y", "verify", "-f", tmp_path / "signers", "-I", "ada", "-n", "tao-skills-certificate"]
    check += ["-s", out / "certificate.json.sig"]
    data = (out / "certificate.json").read_bytes()
    assert subprocess.run(check, input=data, capture_output=True, check=False).returncode == 0
    assert subprocess.run(check, input=data + b" ", capture_output=True, check=False).returncode != 0


def test_a_key_that_does_not_sign_leaves_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "s.csv", rows(50, 1, 20, 1))
    assert "does not sign" in refused(
        path, "--threshold", 0.5, "--target", TARGET, "--to", tmp_path / "c", "--sign", tmp_path / "none"
    )
    assert not (tmp_path / "c").exists()


def test_labels_of_strangers_are_text_on_the_page(tmp_path: Path) -> None:
    parts = [{**p, "lot": "<script>alert(1)</script>" if i % 2 else "b"} for i, p in enumerate(rows(50, 1, 20, 1))]
    path = written(tmp_path / "s.csv", parts)
    assert run(path, "--threshold", 0.5, "--target", TARGET, "--to", tmp_path / "c").exit_code == 0
    page = (tmp_path / "c" / "certificate.html").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("label,siamese_score\nPASS,0.1\nshort,abc\n", "not a finite number"),
        ("label,siamese_score\nOK,0.1\nshort,0.9\n", "reads as a good part"),
        ("siamese_score\n0.1\n", "no column 'label'"),
        ("label,value\nPASS,0.1\n", "no column siamese_score or score"),
        ("label,siamese_score\n", "no rows"),
        ("label,siamese_score\nPASS,0.1\nshort,0.9\n  ,0.4\n,0.2\n", "row 3: 2 of 4 parts have no label"),
    ],
)
def test_files_that_cannot_be_judged_are_refused_in_a_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(content)
    assert said in refused(path, "--threshold", 0.5, "--target", TARGET)


@pytest.mark.parametrize("threshold", ["inf", "-inf", "nan"])
def test_a_threshold_that_is_not_finite_is_refused_wherever_one_is_given(tmp_path: Path, threshold: str) -> None:
    parts = [{**p, "sample": i} for i, p in enumerate(rows(50, 1, 20, 1))]
    path = str(written(tmp_path / "s.csv", parts))
    for line in (
        ["certify", path, "--target", TARGET, "--json", "--threshold", threshold],
        ["recalibrate", path, "--target", TARGET, "--json", "--threshold", threshold],
        ["compare", path, path, "--json", "--first-threshold", threshold],
        ["compare", path, path, "--json", "--first-threshold", "0.5", "--second-threshold", threshold],
        ["monitor", "start", str(tmp_path / "m"), "--threshold", threshold],
    ):
        done = CliRunner().invoke(cli, line)
        assert isinstance(done.exception, InputError), (line, done.output)
        assert "is not a number" in done.exception.line() and "-threshold" in done.exception.line()
    assert not (tmp_path / "m").exists()


def test_parts_of_one_board_show_nothing_in_any_number(tmp_path: Path) -> None:
    path = written(tmp_path / "s.csv", [{**p, "board": "b1"} for p in rows(1000, 1, 300, 0)])
    args = (path, "--threshold", 0.5, "--target", TARGET)
    found = told(*args)
    assert found["shown"] is False and found["needed"] == {"pass_rows": None, "defect_rows": None}
    assert "FAR: no number of good parts of one board shows it" in run(*args).stdout


def test_parquet_columns_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    columns = {
        "label": ["PASS", "short", "PASS"],
        "siamese_score": [1, 9, 2],
        "picture": [b"\xff\xfe", b"\x89", None],
        "boxes": [[1, 2], [], None],
    }
    pq.write_table(pa.table(columns), tmp_path / "s.parquet")
    found = told(tmp_path / "s.parquet", "--threshold", 5, "--target", TARGET)
    assert (found["far"]["n"], found["far"]["k"], found["recall"]["k"]) == (2, 0, 1)


def test_what_is_asked_must_be_said(tmp_path: Path) -> None:
    path = written(tmp_path / "s.csv", rows(50, 1, 20, 1))
    assert "no target" in refused(path, "--threshold", 0.5)
    assert "no such file" in refused(tmp_path / "none.csv", "--target", TARGET)
    assert run(path, "--threshold", 0.5, "--target", TARGET, "--fail-unless-shown").exit_code == 4


def test_what_no_target_asks_is_not_said_to_need_no_parts(tmp_path: Path) -> None:
    path = written(tmp_path / "s.csv", rows(50, 9, 30, 9))
    assert run(path, "--threshold", 0.5, "--target", "f1 >= 99%", "--to", tmp_path / "out").exception is None
    made = read_certificate(tmp_path / "out/certificate.json")
    assert not made.shown and {cell for row in needs(made) for cell in row[1:]} == {"nothing was asked"}
    assert run(path, "--threshold", 0.5, "--target", TARGET, "--to", tmp_path / "both").exception is None
    both = needs(read_certificate(tmp_path / "both/certificate.json"))
    assert "nothing was asked" not in {cell for row in both for cell in row}


def test_defects_of_too_many_kinds_to_tell_apart_are_said_to_be_left_out(tmp_path: Path) -> None:
    parts = [{"label": "PASS", "siamese_score": 0.1}] + [{"label": f"d{i}", "siamese_score": 0.9} for i in range(501)]
    done = run(written(tmp_path / "s.csv", parts), "--threshold", 0.5, "--target", TARGET, "--to", tmp_path / "out")
    assert "left out: defect: 501 groups, more than 500 in all" in done.stdout
    page = (tmp_path / "out/certificate.html").read_text()
    assert "Left out: " in page and "defect: 501 groups" in page and "By part type" not in page


@pytest.mark.parametrize(
    ("column", "what"), [("part_type", "part type"), ("light", "lighting"), ("batch", "lot"), ("board", "board")]
)
def test_groups_that_an_empty_cell_leaves_untold_are_said_to_be_left_out(
    tmp_path: Path, column: str, what: str
) -> None:
    path = tmp_path / "s.csv"
    rows = [
        f"{'short' if i % 4 == 0 else 'PASS'},{0.9 if i % 4 == 0 else 0.1},{'AB'[i % 2] if i else ''}"
        for i in range(40)
    ]
    path.write_text("\n".join([f"label,score,{column}", *rows]) + "\n")
    done = CliRunner().invoke(cli, ["certify", str(path), "--threshold", "0.5", "--target", "FAR < 1% at recall=95%"])
    assert f"left out: {what}: 1 of 40 cells of {column} are empty" in done.stdout
