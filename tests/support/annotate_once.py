"""An annotation in a process that a test can kill: `annotate_once.py [--batch BACKEND] URL RESULTS VIDEOS [K=V …]`."""

import sys
from pathlib import Path

import annotation

from tao_skill_bank.annotate.batch import BatchPolicy
from tao_skill_bank.annotate.holder import folder_lock
from tao_skill_bank.annotate.prices import load_prices
from tao_skill_bank.annotate.run import annotate

words = sys.argv[1:]
batch = words[0] == "--batch"
backend = words[1] if batch else "openai"
url, results, videos, *more = words[2:] if batch else words
config = annotation.config_for(url, Path(results), Path(videos), *more, backend=backend)
print("ready", flush=True)
soon = BatchPolicy(settle=0.05, poll=0.02, look=0.02)
with folder_lock(config.results_dir, "test"):
    annotate(config, load_prices(), batch=batch, policy=annotation.QUICK, batch_policy=soon)
