"""The ranking of doubtful labels, on vectors whose neighbours are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.reports.rca.label_noise import (
    EARLIER_COLUMNS,
    model_votes,
    rank_suspects,
    read_suspects,
    reference_rows,
    rows_to_judge,
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


def drawn(
    flipped_good: int, flipped_bad: int, goods: int = 300, bads: int = 80
) -> tuple[np.ndarray, np.ndarray, set[int]]:
    """Scores of two overlapping classes with planted flips either way: scores, PASS by label, the flipped rows."""
    random = np.random.default_rng(11)
    scores = np.concatenate([random.beta(2, 14, goods), random.beta(12, 3, bads)])
    is_pass = np.arange(goods + bads) < goods
    flipped = {*range(flipped_good), *range(goods, goods + flipped_bad)}
    is_pass[list(flipped)] ^= True
    return scores, is_pass, flipped


@pytest.mark.parametrize(("good", "bad"), [(5, 5), (10, 0), (0, 10)])
def test_planted_flips_either_way_are_first_by_the_model_alone(good: int, bad: int) -> None:
    scores, is_pass, flipped = drawn(good, bad)
    votes = model_votes(scores, is_pass)
    first = np.argsort(-votes, kind="stable")[: len(flipped)]
    assert len(flipped & set(first.tolist())) >= 9
    assert sum(votes[i] > 0.5 for i in flipped) >= 9


def test_a_lone_flipped_defect_at_full_recall_does_not_excuse_itself() -> None:
    """At full recall the threshold lies below every sample labelled a defect, so it contradicts none of them."""
    scores, is_pass, _ = drawn(1, 0)
    assert scores[0] == scores[~is_pass].min()
    votes = model_votes(scores, is_pass)
    assert int(np.argmax(votes)) == 0 and votes[0] > 0.7


def test_without_two_classes_or_with_a_score_that_parts_nothing_the_model_is_no_witness() -> None:
    scores = np.array([0.1, 0.2, 0.8, 0.9])
    for is_pass in ([True] * 4, [False] * 4, [False, False, True, True]):
        assert model_votes(scores, np.array(is_pass)).tolist() == [0.5] * 4
    assert model_votes(np.full(4, 0.3), np.array([True, True, False, False])).tolist() == [0.5] * 4


def test_whoever_the_model_contradicts_is_judged_and_the_weakest_of_each_label() -> None:
    scores, is_pass, flipped = drawn(5, 5)
    codes = np.where(is_pass, 0, np.where(np.arange(len(scores)) % 2, 1, 2))
    rows = rows_to_judge(model_votes(scores, is_pass), codes, each=3)
    assert flipped <= set(rows) and rows == sorted(set(rows))
    assert all(np.count_nonzero(codes[rows] == code) >= 3 for code in (0, 1, 2))
    assert len(rows) < 60


def test_the_order_by_the_model_alone_leaves_out_what_it_does_not_contradict() -> None:
    scores, is_pass, flipped = drawn(5, 5)
    labels = ["PASS" if p else "bridge" for p in is_pass]
    files = [f"f{i}" for i in range(len(labels))]
    nothing = np.zeros(len(labels))
    votes = model_votes(scores, is_pass)
    ranked = rank_suspects(None, files, labels, range(len(labels)), scores, nothing, nothing.astype(bool), model=votes)
    assert {f"f{i}" for i in flipped} <= {s.filepath for s in ranked} and all(s.model > 0.5 for s in ranked)
    assert not any(s.doubtful for s in ranked)  # one witness makes no doubtful label


def test_a_ranking_of_an_earlier_version_is_read_with_the_side_of_the_threshold_as_vote(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(",".join(EARLIER_COLUMNS) + "\n1,a.png,PASS,0.9,0.4,True,0.8,b.png (x; 0.9)\n")
    (row,) = read_suspects(tmp_path / "s.csv")
    assert (row["model"], row["look_alikes"], row["suspicion"]) == ("1", "0.8", "0.8")
