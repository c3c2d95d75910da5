"""Run an annotation in a process that a test can kill: `annotate_once.py URL RESULTS VIDEOS [KEY=VALUE …]`."""

import sys
from pathlib import Path

import annotation

from tao_skill_bank.annotate.holder import folder_lock

config = annotation.config_for(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
print("ready", flush=True)
with folder_lock(config.results_dir, "test"):
    annotation.run(config)
