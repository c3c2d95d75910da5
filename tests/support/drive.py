"""Take a run up in a process of its own, with the stand-in model: `drive.py RUN`. Prints `ready` before it begins."""

import sys
from pathlib import Path

import tiny

from tao_skill_bank import runs

tiny.fake_model().start()
print("ready", flush=True)
runs.run_loop(Path(sys.argv[1]))
