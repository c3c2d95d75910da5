"""The ranking of doubtful labels, on vectors whose neighbours are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.reports.rca.label_noise import (
    rank_suspects,
    read_suspects,
    reference_rows,
    with_differences,
    write_suspects,
)


def two_clusters(count: int = 40) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Half of the samples look like PASS and score low, half like a defect and score high."""
    random = np.random.default_rng(2)
    centres = np.zeros((count, 8))
    centres[: count // 2, 0] = centres[count // 2 :, 1] = 1.0
    vectors = centres + random.normal(0, 0.05, centres.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = ["PASS"] * (count // 2) + ["bridge"] * (count // 2)
    scores = np.where(np.arange(count) < count // 2, 0.2, 0.8) + random.normal(0, 0.02, count)
    return vectors.astype(np.float32), labels, scores


def ranked(labels: list[str], vectors: np.ndarray, scores: np.ndarray, **options: int) -> list[str]:
    passes = np.array([x == "PASS" for x in labels])
    weak = np.where(passes, scores - 0.5, 0.5 - scores)
    files = [f"f{i}" for i in range(len(labels))]
    everything = range(len(labels))
    suspects = rank_suspects(vectors, files, labels, everything, scores, weak, (scores > 0.5) == passes, **options)
    return [s.filepath for s in suspects if s.suspicion >= 0.5]


def test_a_label_that_look_alikes_and_model_contradict_is_found_and_no_other() -> None:
    vectors, labels, scores = two_clusters()
    labels[3], labels[30] = "bridge", "PASS"
    assert sorted(ranked(labels, vectors, scores, k=8)) == ["f3", "f30"]


def test_right_labels_give_no_suspect() -> None:
    vectors, labels, scores = two_clusters()
    assert ranked(labels, vectors, scores, k=8) == []


def test_one_witness_alone_does_not_make_a_suspect() -> None:
    vectors, labels, scores = two_clusters()
    labels[3] = "bridge"
    scores[3] = 0.8  # the model agrees with the label that look-alikes contradict
    scores[25] = 0.1  # the model contradicts a label that look-alikes confirm
    assert ranked(labels, vectors, scores, k=8) == []


def test_the_order_does_not_depend_on_the_scale_of_the_scores() -> None:
    vectors, labels, scores = two_clusters()
    labels[3], labels[30], labels[31] = "bridge", "PASS", "PASS"
    scores[30] = 0.55
    passes = np.array([x == "PASS" for x in labels])
    files = [f"f{i}" for i in range(len(labels))]

    def order(factor: float) -> list[tuple[str, float]]:
        weak = np.where(passes, scores - 0.5, 0.5 - scores) * factor
        found = rank_suspects(vectors, files, labels, range(40), scores * factor, weak, (scores > 0.5) == passes, k=8)
        return [(s.filepath, round(s.suspicion, 6)) for s in found]

    assert order(1.0) == order(1000.0)
    assert [name for name, _ in order(1.0)[:2]] != []


def test_neighbours_are_named_with_their_labels_and_never_the_sample_itself() -> None:
    vectors, labels, scores = two_clusters()
    labels[3] = "bridge"
    vectors[4] = vectors[3]  # equal bytes under the other label
    passes = np.array([x == "PASS" for x in labels])
    weak = np.where(passes, scores - 0.5, 0.5 - scores)
    files = [f"f{i}" for i in range(len(labels))]
    (first, *_) = rank_suspects(vectors, files, labels, [3], scores, weak, (scores > 0.5) == passes, k=5)
    assert first.filepath == "f3" and first.misclassified
    assert first.neighbours[0] == ("f4", "PASS", pytest.approx(1.0))
    assert "f3" not in [name for name, _, _ in first.neighbours] and len(first.neighbours) <= 5


def test_too_few_samples_give_no_suspects() -> None:
    one = np.ones((1, 4), dtype=np.float32) / 2
    assert rank_suspects(one, ["f"], ["PASS"], [0], np.zeros(1), np.zeros(1), np.zeros(1, dtype=bool)) == []


def test_a_large_set_is_thinned_evenly_and_keeps_the_weak_samples() -> None:
    rows = reference_rows(100_000, [17, 99_998], most=1000)
    assert len(rows) <= 1000 and {17, 99_998, 0, 99_999} <= set(rows.tolist())
    assert np.diff(rows).max() < 120
    assert reference_rows(10, [3]).tolist() == list(range(10))


def test_what_differs_from_the_golden_outweighs_what_is_equal() -> None:
    board = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=np.float32)
    spot = np.array([0.0, 0.0, 0.3], dtype=np.float32)
    both = with_differences(board + spot, board)
    plain = with_differences(board, board)
    assert np.allclose(np.linalg.norm(both, axis=1), 1)
    assert both[0] @ both[1] > plain[0] @ plain[1] + 0.3


def test_a_ranking_is_read_back_and_another_file_is_refused(tmp_path: Path) -> None:
    vectors, labels, scores = two_clusters()
    labels[3] = "brid,ge"
    passes = np.array([x == "PASS" for x in labels])
    weak = np.where(passes, scores - 0.5, 0.5 - scores)
    files = [f"f{i}" for i in range(len(labels))]
    suspects = rank_suspects(vectors, files, labels, [3], scores, weak, (scores > 0.5) == passes)
    write_suspects(tmp_path / "s.csv", suspects)
    (row,) = read_suspects(tmp_path / "s.csv")
    assert (row["rank"], row["filepath"], row["label"]) == ("1", "f3", "brid,ge")
    assert read_suspects(tmp_path / "none.csv") == []
    (tmp_path / "s.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="other columns"):
        read_suspects(tmp_path / "s.csv")
