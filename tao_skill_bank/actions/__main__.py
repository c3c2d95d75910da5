"""`python -m tao_skill_bank.actions CATEGORY ACTION …`: any TAO command line by its full name.

What the console commands `gap_analysis`, `visual_changenet`, … do, for callers that know only this interpreter: jobs
of the local platform, and the entrypoint of the bank's container image.
"""

from __future__ import annotations

import sys
from importlib import import_module

from tao_skill_bank.actions.console import report
from tao_skill_bank.bank.home import CATEGORIES
from tao_skill_bank.core.errors import InputError, did_you_mean


def main() -> None:
    """Hand the arguments to the category's own command."""
    if len(sys.argv) < 2 or sys.argv[1] not in CATEGORIES:
        given = sys.argv[1] if len(sys.argv) > 1 else ""
        error = InputError(f"unknown category {given!r}", where="command line", fix=did_you_mean(given, CATEGORIES))
        raise SystemExit(report("tao_skill_bank.actions", error))
    module, _, command = CATEGORIES[sys.argv.pop(1)].partition(":")
    getattr(import_module(module), command or "main")()


if __name__ == "__main__":
    main()
