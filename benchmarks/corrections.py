"""What correcting labels is worth: 20 wrong labels are planted into a KPI set and corrected in the order of suspicion.

    python benchmarks/corrections.py [WORKSPACE] [--quick]      # a DEFT workspace; the demo's where none is named

The pictures are the workspace's; the scores are simulated from the true class, two overlapping beta distributions. A
reader who knows the truth looks at one suspect after the other and says what is right, through the function that every
door calls; the CSV stays as it is.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

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


def main(workspace: Path, seeds: int) -> None:
    """Print, for every seed, FAR with the wrong labels and with the corrected ones, and how many looks it took."""
    csv = workspace / "kpi" / "testing_set.csv"
    table = read_pairs(csv)
    rows = book_of(workspace).rows("kpi")
    half = len(rows.naming.suffixes)
    files = [rows.files(row) for row in range(len(table))]
    encoder = get_encoder("auto")
    pictures, goldens = (encoder.encode([f[at] for f in files]) for at in (0, half))
    both = with_differences(pictures, goldens)
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
        is_pass = np.array([label == PASS for label in wrong])
        votes = model_votes(scores, is_pass)
        codes = np.unique(np.array(wrong), return_inverse=True)[1]
        ranked = rank_suspects(
            both,
            names,
            wrong,
            rows_to_judge(votes, codes),
            scores,
            weakness(scores, is_pass, 0.5),
            misclassified(scores, is_pass, 0.5),
            model=votes,
        )
        left, words, looks = {names[row] for row in flipped}, [], 0
        for suspect in ranked:
            if not left:
                break
            looks += 1
            if suspect.filepath in left:
                left.remove(suspect.filepath)
                right = table.label[names.index(suspect.filepath)]
                words.append(Word(suspect.filepath, "mislabeled", "reader", to=right, set="kpi"))
        labels.say(workspace, words)
        found = corrections.read(workspace)
        done = corrections.apply(found, "kpi", table.input_path, table.object_name, wrong, rows.pictures)
        after = np.array([label == PASS for label in done.labels])
        fars = [far_at_recall(scores, known, RECALL) for known in (truth, is_pass, after)]
        shown = ", ".join("none" if f is None else f"{100 * f.far:.1f} %" for f in fars)
        print(f"seed {seed}: FAR {shown}; {len(words)} of {FLIPS} found in {looks} looks of {len(ranked)} ranked")
    write_pairs(csv, table.columns)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", nargs="?", type=Path, help="a copy is used")
    parser.add_argument("--quick", action="store_true", help="one seed instead of five")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "workspace"
        if given.workspace is None:
            make_demo_workspace(copy)
        else:
            shutil.copytree(given.workspace, copy)
        main(copy, 1 if given.quick else 5)
