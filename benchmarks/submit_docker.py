"""What submitting a job through the bank costs beyond `docker run --detach` itself, side by side on one engine.

    python benchmarks/submit_docker.py [--quick] [--image IMAGE]

Needs a Docker engine (DOCKER_HOST, else this machine's) that has the image, by default `busybox:test`; says so and
ends with 0 where there is none. Both ways start a container of the same image with the same mount that does nothing.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from tao_skill_bank.core.errors import BankError
from tao_skill_bank.platforms.base import ENDED, new_record
from tao_skill_bank.platforms.container import ContainerSettings
from tao_skill_bank.platforms.docker.platform import DockerPlatform

LIMIT_SEC = 0.2


def main() -> int:
    """Measure in pairs; print the medians and their difference; 1 if it is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="5 pairs instead of 20")
    parser.add_argument("--image", default="busybox:test")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        (workspace / "run").mkdir()
        settings = ContainerSettings(workspace, "none", "none", "none", own_image=args.image, network="none")
        platform = DockerPlatform(settings)
        try:
            lacking = platform.engine.image(args.image) is None
        except BankError as error:
            print(f"not measured: {error.line()}")
            return 0
        if lacking or shutil.which("docker") is None:
            print(f"not measured: no image {args.image}, or no docker command")
            return 0
        ours, plain = [], []
        for _ in range(5 if args.quick else 20):
            plain.append(_docker_run(workspace, args.image))
            ours.append(_submit(platform, workspace))
    added = statistics.median(ours) - statistics.median(plain)
    print(f"docker run --detach   {statistics.median(plain):.3f} s (median of {len(plain)})")
    print(f"submit                {statistics.median(ours):.3f} s")
    print(f"beyond docker run     {added:+.3f} s (limit {LIMIT_SEC} s)")
    return int(added > LIMIT_SEC)


def _docker_run(workspace: Path, image: str) -> float:
    name = f"bench-{uuid.uuid4().hex[:12]}"
    argv = ["docker", "run", "--detach", "--name", name, "--network", "none", "--workdir", str(workspace)]
    argv += ["--mount", f"type=bind,source={workspace},target={workspace}", "--entrypoint", "/bin/sh", image, "-c", ":"]
    began = time.perf_counter()
    subprocess.run(argv, check=True, capture_output=True)
    took = time.perf_counter() - began
    subprocess.run(["docker", "rm", "--force", name], check=True, capture_output=True)
    return took


def _submit(platform: DockerPlatform, workspace: Path) -> float:
    run = workspace / "run"
    record = new_record(
        key="bench.train",
        platform="docker",
        command=["visual_changenet", "train"],
        outputs=[run / "out"],
        cwd=workspace,
        results_dir=run,
    )
    began = time.perf_counter()
    full = platform.submit(record)
    took = time.perf_counter() - began
    while platform.status(full) not in ENDED:
        platform.wait(full, 0.1)
    return took


if __name__ == "__main__":
    sys.exit(main())
