"""Run one stage of a run in a process of its own, with the stand-in model: `drive_step.py RUN`."""

import sys
from pathlib import Path

import tiny

from tao_skill_bank import runs
from tao_skill_bank.core.errors import BankError

tiny.fake_model().start()
try:
    runs.run_loop(Path(sys.argv[1]), once=True)
except BankError as error:
    sys.exit(error.line())
