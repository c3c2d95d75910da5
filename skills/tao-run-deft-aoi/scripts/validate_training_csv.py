#!/usr/bin/env python3
"""Check a ChangeNet training CSV: columns, labels, every image of every lighting, duplicates, leakage.

Exit status 0: it can be trained on. 2: it cannot, and every fault is named by its row on stderr.
"""

import argparse
import sys
from pathlib import Path

try:
    from tao_skill_bank.actions.console import run_script
    from tao_skill_bank.commands.scripted import add_request
    from tao_skill_bank.core.errors import InputErrors
    from tao_skill_bank.core.fsio import write_json
    from tao_skill_bank.core.text import plural
    from tao_skill_bank.data.changenet.validate import check_training, label_warnings
    from tao_skill_bank.tasks.asked import TrainingCheck
except ImportError as error:
    home = next((str(p) for p in Path(__file__).resolve().parents if (p / "tao_skill_bank").is_dir()), "THE-REPOSITORY")
    advice = f"run `pip install {home}`, or this script as `uv run --project {home} {__file__}`"
    print(f"{Path(__file__).name}: tao-skill-bank cannot be imported ({error}): {advice}", file=sys.stderr)
    raise SystemExit(2) from None


def main() -> int:
    """Parse, check, print."""
    parser = argparse.ArgumentParser(prog="validate_training_csv", description="Check a ChangeNet training CSV.")
    add_request(parser, TrainingCheck)
    parser.add_argument("--report-json", type=Path, help="also write what was found to this file")
    args = vars(parser.parse_args())
    report_json = args.pop("report_json")
    reports, leaks = check_training(**args)
    for report in reports:
        print(report.summary())
    for line in label_warnings(reports):
        print(f"warning: one defect under two names? {line}")
    faults = [f"{report.path}: {fault}" for report in reports for fault in report.faults]
    faults += [f"leakage: {leak}" for leak in leaks]
    if report_json:
        sets = [{"csv": str(r.path), "rows": r.rows, "labels": dict(r.labels)} for r in reports]
        write_json(report_json, {"ok": not faults, "sets": sets, "faults": faults})
    if faults:
        raise InputErrors(
            f"{plural(len(faults), 'fault')}, first: {faults[0]}", faults, fix="mend the rows named below"
        )
    print("ok: no fault found; whether the pictures decode was not looked at (tao-skills deft plan does)")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_script("validate_training_csv", main))
