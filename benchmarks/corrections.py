"""What correcting labels is worth: 20 wrong labels are planted into a KPI set and corrected in the order of suspicion.

    python benchmarks/corrections.py [WORKSPACE] [--quick] [--through page]      # a DEFT workspace; else the demo's

The pictures are the workspace's; the scores are simulated from the true class, two overlapping beta distributions. A
reader who knows the truth looks at one suspect after the other and says what is right, through the function that every
door calls; the CSV stays as it is. With `--through page` both go over the studio's own server: its list of labels to
check first, and a verdict sent for each wrong one, on a run whose model gave those scores.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tao_skill_bank import labels
from tao_skill_bank.actions.gap_analysis.vcn_select import misclassified, weakness
from tao_skill_bank.actions.mining.encoders import get_encoder
from tao_skill_bank.data import corrections
from tao_skill_bank.data.changenet.sample_book import book_of
from tao_skill_bank.data.changenet.tables import PASS, read_pairs, write_pairs
from tao_skill_bank.data.corrections import Word
from tao_skill_bank.demo import make_demo_workspace
from tao_skill_bank.metrics import far_at_recall
from tao_skill_bank.reports.rca.label_noise import model_votes, rank_suspects, rows_to_judge, with_differences

FLIPS, RECALL = 20, 0.99
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests/support"))


def read(ranked: Iterable[str], wrong: set[str], say: Callable[[str], None]) -> int:
    """Look at one after the other and say what is wrong, until nothing is; returns how many looks it took."""
    looks = 0
    for name in ranked:
        if not wrong:
            break
        looks += 1
        if name in wrong:
            wrong.remove(name)
            say(name)
    return looks


def on_the_page(workspace: Path, scores: Any, wrong: set[str], right: dict[str, str]) -> tuple[int, int]:
    """The same over the studio's server, on a run of those scores; returns looks and how many were ranked."""
    from report_runs import RunBuilder
    from studio_server import page_of

    class Scored(RunBuilder):  # type: ignore[misc]
        def _scores(self, labels: Any, number: int) -> Any:
            return scores

    shutil.rmtree(workspace / "results", ignore_errors=True)
    target = f"FAR < 5% at recall={RECALL:.0%}"
    made = Scored(workspace, workspace=workspace, iterations=0, acceptance=False, target=target, status="running")
    query = {"run": made.build().name, "set": "kpi"}
    with page_of(workspace) as page:

        def say(name: str) -> None:
            word = {"sample": name, "set": "kpi", "reason": "mislabeled", "who": "reader", "to": right[name]}
            page.post("/api/labels", {"words": [word]}).raise_for_status()

        while not (found := page.json("/api/suspects", **query))["ready"]:
            time.sleep(0.1)
        return read((one["sample"] for one in found["suspects"]), wrong, say), len(found["suspects"])


def in_files(
    workspace: Path, scores: Any, written: list[str], both: Any, wrong: set[str], right: dict[str, str]
) -> tuple[int, int]:
    """The same by the functions alone."""
    is_pass = np.array([label == PASS for label in written])
    votes = model_votes(scores, is_pass)
    rows = book_of(workspace).rows("kpi")
    ranked = rank_suspects(
        both,
        [rows.name(row) for row in range(len(written))],
        written,
        rows_to_judge(votes, np.unique(np.array(written), return_inverse=True)[1]),
        scores,
        weakness(scores, is_pass, 0.5),
        misclassified(scores, is_pass, 0.5),
        model=votes,
    )
    words: list[Word] = []

    def say(name: str) -> None:
        words.append(Word(name, "mislabeled", "reader", to=right[name], set="kpi"))

    looks = read((suspect.filepath for suspect in ranked), wrong, say)
    labels.say(workspace, words)
    return looks, len(ranked)


def vectors(rows: Any, number: int) -> Any:
    """What the pictures of the rows look like, beside their goldens."""
    half = len(rows.naming.suffixes)
    files = [rows.files(row) for row in range(number)]
    encoder = get_encoder("auto")
    pictures, goldens = (encoder.encode([f[at] for f in files]) for at in (0, half))
    return with_differences(pictures, goldens)


def main(workspace: Path, seeds: int, through: str) -> None:
    """Print, for every seed, FAR with the wrong labels and with the corrected ones, and how many looks it took."""
    csv = workspace / "kpi" / "testing_set.csv"
    table = read_pairs(csv)
    rows = book_of(workspace).rows("kpi")
    both = vectors(rows, len(table)) if through == "files" else None
    truth = np.array([label == PASS for label in table.label])
    names = [rows.name(row) for row in range(len(table))]
    print(
        f"{len(table)} rows, {FLIPS} wrong labels, FAR at recall {RECALL:.0%}; true labels, wrong ones, corrected ones"
    )
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        scores = np.where(truth, rng.beta(2, 8, len(truth)), rng.beta(8, 2, len(truth)))
        flipped = rng.choice(len(truth), FLIPS, replace=False)
        wrong = list(table.label)
        for row in flipped.tolist():
            wrong[row] = "bridge" if wrong[row] == PASS else PASS
        write_pairs(csv, {**table.columns, "label": wrong})
        shutil.rmtree(workspace / "labels", ignore_errors=True)
        right = {names[row]: table.label[row] for row in flipped}
        left = set(right)
        if through == "page":
            looks, listed = on_the_page(workspace, scores, left, right)
        else:
            looks, listed = in_files(workspace, scores, wrong, both, left, right)
        found = corrections.read(workspace)
        done = corrections.apply(found, "kpi", table.input_path, table.object_name, wrong, rows.pictures)
        after = np.array([label == PASS for label in done.labels])
        fars = [
            far_at_recall(scores, known, RECALL)
            for known in (truth, np.array([label == PASS for label in wrong]), after)
        ]
        shown = ", ".join("none" if f is None else f"{100 * f.far:.1f} %" for f in fars)
        print(f"seed {seed}: FAR {shown}; {FLIPS - len(left)} of {FLIPS} found in {looks} looks of {listed} ranked")
    write_pairs(csv, table.columns)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", nargs="?", type=Path, help="a copy is used")
    parser.add_argument("--quick", action="store_true", help="one seed instead of five")
    parser.add_argument("--through", choices=("files", "page"), default="files", help="who ranks and who is told")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "workspace"
        if given.workspace is None:
            make_demo_workspace(copy)
        else:
            shutil.copytree(given.workspace, copy)
        main(copy, 1 if given.quick else 5, given.through)
