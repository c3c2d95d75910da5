"""An annotation in a process that a test can kill.

    annotate_once.py [--batch BACKEND] [--backend BACKEND] [--prices FILE] [--max-calls N] URL RESULTS VIDEOS [K=V …]

Without `--prices` the shipped ones.
"""

import argparse
from pathlib import Path

import annotation

from tao_skill_bank.annotate.batch import BatchPolicy
from tao_skill_bank.annotate.holder import folder_lock
from tao_skill_bank.annotate.prices import load_prices
from tao_skill_bank.annotate.run import Limits, annotate

parser = argparse.ArgumentParser()
parser.add_argument("--batch")
parser.add_argument("--backend", default="openai")
parser.add_argument("--prices", type=Path)
parser.add_argument("--max-calls", type=int)
parser.add_argument("url")
parser.add_argument("results", type=Path)
parser.add_argument("videos", type=Path)
parser.add_argument("more", nargs="*")
asked = parser.parse_args()
config = annotation.config_for(
    asked.url, asked.results, asked.videos, *asked.more, backend=asked.batch or asked.backend
)
print("ready", flush=True)
soon = BatchPolicy(settle=0.05, poll=0.02, look=0.02)
limits = Limits(max_calls=asked.max_calls)
batch = asked.batch is not None
with folder_lock(config.results_dir, "test"):
    annotate(config, load_prices(asked.prices), limits, batch=batch, policy=annotation.QUICK, batch_policy=soon)
