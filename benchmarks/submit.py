#!/usr/bin/env python3
"""What does submitting an action cost over what the engine's own command costs?

Bare `sbatch` of an empty script and the platform's `submit` (record, script, fsyncs, `sbatch`, number noted) in turns,
on a one-node SLURM that is started for it in a temporary folder (root on Debian with slurm-wlm and munge; skipped
elsewhere). The exit status is 1 when the median adds 0.2 s or more.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

LIMIT_SEC = 0.2


def main() -> int:
    """Measure what can be measured here; 1 if the promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="five of each")
    args = parser.parse_args()
    return slurm(5 if args.quick else args.repeats)


def slurm(repeats: int) -> int:
    """The SLURM half."""
    from slurm_cluster import running_cluster, why_not

    reason = why_not()
    if reason is not None:
        print(f"slurm: skipped ({reason})")
        return 0
    from tao_skill_bank.platforms.base import new_record
    from tao_skill_bank.platforms.slurm.client import SlurmClient
    from tao_skill_bank.platforms.slurm.platform import SlurmPlatform
    from tao_skill_bank.platforms.slurm.script import SlurmSettings

    with running_cluster() as cluster, tempfile.TemporaryDirectory() as name:
        os.environ.update(cluster.environment)
        folder = Path(name)
        script = folder / "bare.sh"
        script.write_text("#!/bin/sh\nexit 0\n")
        bare = ["sbatch", "--parsable", "--output=/dev/null", str(script)]
        platform = SlurmPlatform(SlurmSettings(), SlurmClient())

        def submit() -> None:
            command = ["tmm", "--help"]
            platform.submit(
                new_record(key="bench", platform="slurm", command=command, outputs=[], cwd=folder, results_dir=folder)
            )

        submit()
        floor, ours = [], []
        for _ in range(repeats):
            floor.append(timed(lambda: subprocess.run(bare, check=True, stdout=subprocess.DEVNULL)))
            ours.append(timed(submit))
        cluster.ask("scancel", "--user=root")
    base, own = statistics.median(floor), statistics.median(ours)
    print(f"bare sbatch          {base * 1000:7.1f} ms (median of {repeats})")
    over = f"{(own - base) * 1000:+.1f} ms over it (limit {LIMIT_SEC * 1000:.0f})"
    print(f"submit on slurm      {own * 1000:7.1f} ms, {over}")
    return int(own - base >= LIMIT_SEC)


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
