from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tao_skill_bank.core import fsio
from tao_skill_bank.core.errors import InputErrors
from tao_skill_bank.data.changenet.images import ImageNaming
from tao_skill_bank.data.changenet.leakage import equal_bytes, leaked_paths
from tao_skill_bank.data.changenet.tables import PairTable, read_pairs

from .conftest import Bench

NAMING = ImageNaming(("SolderLight",), ".png")


def test_goldens_may_be_shared_and_test_images_may_not(bench: Bench) -> None:
    train = read_pairs(bench.csv("t.csv", [("a", "g", "PASS", "C1"), ("a", "g", "bridge", "C2")]))
    shared_golden = read_pairs(bench.csv("v.csv", [("b", "g", "PASS", "C1")]))
    leaking = read_pairs(bench.csv("k.csv", [("b", "g", "PASS", "C1"), ("a", "g", "PASS", "C1")]))
    assert leaked_paths([train], [shared_golden], NAMING, [bench.images]) == []
    found = leaked_paths([train], [shared_golden, leaking], NAMING, [bench.images])
    assert [(m.train_row, m.eval_csv.name, m.eval_row) for m in found] == [(0, "k.csv", 1)]
    assert found[0].line().endswith(f"show the same image: {bench.images}/a/C1_SolderLight.png")


def test_one_shared_lighting_is_a_leak(bench: Bench) -> None:
    bench.lights = ("A", "B")
    naming = ImageNaming(bench.lights, ".png")
    train = read_pairs(bench.csv("t.csv", [("a", "g", "PASS", "C1")]))
    other = read_pairs(bench.csv("v.csv", [("b", "g", "PASS", "C1")]))
    link = bench.images / "b/C1_B.png"
    link.unlink()
    link.symlink_to("../a/C1_B.png")
    found = leaked_paths([train], [other], naming, [bench.images])
    assert [m.image for m in found] == [bench.images / "a/C1_B.png"]


def test_a_missing_file_is_an_error_not_a_clean_bill(bench: Bench) -> None:
    train = read_pairs(bench.csv("t.csv", [("a", "g", "PASS", "C1")], images=False))
    with pytest.raises(InputErrors, match="missing"):
        leaked_paths([train], [train], NAMING, [bench.images])


def test_equal_bytes_elsewhere_are_found_and_the_same_file_is_not_counted(bench: Bench) -> None:
    rows = [("a", "g", "PASS", "C1"), ("a", "g", "PASS", "C2"), ("b", "g", "PASS", "C7")]
    train = read_pairs(bench.csv("t.csv", rows))
    other = read_pairs(bench.csv("v.csv", [("b", "g", "PASS", "C7"), ("c", "g", "PASS", "C8")]))
    bench.image("a", "C2", "blank")
    bench.image("c", "C8", "blank")
    found = equal_bytes(train, [other], NAMING, [bench.images])
    assert [(m.train_row, m.eval_row) for m in found] == [(1, 1)]
    assert "have images of equal bytes" in found[0].line()


def test_all_lightings_must_be_equal_to_be_the_same_sample(bench: Bench) -> None:
    bench.lights = ("A", "B")
    naming = ImageNaming(bench.lights, ".png")
    train = read_pairs(bench.csv("t.csv", [("a", "g", "PASS", "C1")]))
    other = read_pairs(bench.csv("v.csv", [("b", "g", "PASS", "C1")]))
    (bench.images / "b/C1_A.png").write_bytes((bench.images / "a/C1_A.png").read_bytes())
    assert equal_bytes(train, [other], naming, [bench.images]) == []
    (bench.images / "b/C1_B.png").write_bytes((bench.images / "a/C1_B.png").read_bytes())
    assert len(equal_bytes(train, [other], naming, [bench.images])) == 1


def test_only_files_of_a_shared_size_are_read_and_only_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("a", "g", "PASS", "C1"), ("a", "g", "PASS", "C2"), ("./a", "g", "PASS", "C1")]
    train = read_pairs(bench.csv("t.csv", rows))
    other = read_pairs(bench.csv("v.csv", [("b", "g", "PASS", "C3")]))
    bench.image("a", "C1", "12345")
    bench.image("a", "C2", "a longer text")
    bench.image("b", "C3", "54321")
    digest, read = fsio.sha256_file, []

    def counted(path: Path) -> str:
        read.append(path)
        return digest(path)

    monkeypatch.setattr(fsio, "sha256_file", counted)
    for _ in range(2):
        read.clear()
        assert equal_bytes(train, [other], NAMING, [bench.images]) == []
        assert len(read) == 2
    bench.image("a", "C1", "54321")
    changed = bench.images / "a/C1_SolderLight.png"
    os.utime(changed, ns=(1, 1))
    read.clear()
    assert [match.train_row for match in equal_bytes(train, [other], NAMING, [bench.images])] == [0, 2]
    assert len(read) == 2


FOLDERS = st.sampled_from(["a", "b", "alias", "./a", "a/../b"])
CONTENTS = st.sampled_from(["x", "y", "blank"])
ROWS = st.lists(st.tuples(FOLDERS, st.sampled_from(["C1", "C2", "C3"])), min_size=1, max_size=5)


@settings(max_examples=40)
@given(train=ROWS, other=ROWS, contents=st.tuples(*[CONTENTS] * 6))
def test_leaks_and_equal_bytes_agree_with_a_comparison_of_every_two_rows(
    tmp_path_factory: pytest.TempPathFactory,
    train: list[tuple[str, str]],
    other: list[tuple[str, str]],
    contents: tuple[str, ...],
) -> None:
    bench = Bench(tmp_path_factory.mktemp("leak") / "w")
    for i, content in enumerate(contents):
        bench.image("ab"[i % 2], f"C{i // 2 + 1}", content)
    (bench.images / "alias").symlink_to("a")

    def table(name: str, rows: list[tuple[str, str]]) -> PairTable:
        return PairTable(
            bench.root / name,
            {
                "input_path": [folder for folder, _ in rows],
                "golden_path": ["a"] * len(rows),
                "label": ["PASS"] * len(rows),
                "object_name": [name for _, name in rows],
            },
        )

    def real(row: tuple[str, str]) -> Path:
        return Path(os.path.realpath(bench.images / row[0] / f"{row[1]}_SolderLight.png"))

    tables = table("t.csv", train), table("v.csv", other)
    leaks = {m.train_row for m in leaked_paths(tables[:1], tables[1:], NAMING, [bench.images])}
    assert leaks == {i for i, row in enumerate(train) if any(real(row) == real(o) for o in other)}
    equal = {m.train_row for m in equal_bytes(tables[0], tables[1:], NAMING, [bench.images])}
    assert equal == {
        i
        for i, row in enumerate(train)
        if any(real(row) != real(o) and real(row).read_bytes() == real(o).read_bytes() for o in other)
    }
