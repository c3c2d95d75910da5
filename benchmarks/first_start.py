#!/usr/bin/env python3
"""From nothing to the first line, the environment and the demo's report, beside a plain pip install of the same lock.

Everything is fetched once into a wheelhouse (`--wheelhouse DIR` takes one that is there); then, in turns and by the
same pip, a new environment is made by `python -m venv` and one `pip install --no-deps --require-hashes`, and another
by `scripts/set_up.py`. After that the demo runs in it. The exit status is 1 when the set-up takes 1.5 times what the
plain install takes, or the first line comes later than a tenth of it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
MOST_RATIO = 1.5
MOST_FIRST_LINE = 0.1


def main() -> int:
    """Measure; 1 if a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheelhouse", type=Path, help="a folder that `make wheelhouse` filled")
    parser.add_argument("--quick", action="store_true", help="without the demo")
    args = parser.parse_args()
    # pip on both sides, and nothing that another run compiled or cached.
    env = {**os.environ, "TAO_SKILL_BANK_NO_UV": "1", "PIP_NO_CACHE_DIR": "1"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        house = args.wheelhouse or folder / "wheelhouse"
        if args.wheelhouse is None:
            fetch = [sys.executable, str(ROOT / "scripts/set_up.py"), "wheelhouse", str(house), "--lock", str(LOCK)]
            fetched = subprocess.run(fetch, env=env, capture_output=True, text=True, check=False)
            if fetched.returncode != 0:
                print(f"not measured: {fetched.stderr.strip().splitlines()[-1]}")
                return 0
        plain = plain_install(folder / "plain", house, env)
        first, ours = set_up(folder / "ours", house, env)
        print(f"plain pip install of the lock   {plain:6.1f} s")
        print(
            f"first line of the set-up        {first:6.2f} s, {first / plain:.3f} times that (limit {MOST_FIRST_LINE})"
        )
        print(f"set up, compared with the lock  {ours:6.1f} s, {ours / plain:.2f} times that (limit {MOST_RATIO})")
        if not args.quick:
            took = demo(folder / "ours", folder / "demo", env)
            print(f"the demo's report               {took:6.1f} s more, {(ours + took) / plain:.2f} times that in all")
        return int(first > MOST_FIRST_LINE * plain or ours > MOST_RATIO * plain)


def plain_install(folder: Path, house: Path, env: dict[str, str]) -> float:
    """Seconds of what somebody types who has the lock and no set-up."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, env=env)
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--no-index", "--find-links", str(house)]
    # What is published as source only needs what builds it, without which nobody's install ends.
    builder = house / "builder.txt"
    sys.path.insert(0, str(ROOT / "scripts"))
    from set_up import BUILDER, Lock

    builder.write_text(Lock(str(LOCK)).only(BUILDER))
    more = ["--no-deps", "--require-hashes", "--no-build-isolation"]
    for lock in (builder, LOCK):
        subprocess.run([*pip, *more, "-r", str(lock)], check=True, env=env)
    builder.unlink()
    return time.perf_counter() - began


def set_up(folder: Path, house: Path, env: dict[str, str]) -> tuple[float, float]:
    """Seconds to the first line, and to the end, as `make demo` sets up."""
    command = [sys.executable, str(ROOT / "scripts/set_up.py"), str(folder), "--lock", str(LOCK)]
    command += ["--wheelhouse", str(house), "--project", "copy"]
    began = time.perf_counter()
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        said = [process.stderr.readline()]
        first = time.perf_counter() - began
        said += process.stderr
    if process.returncode != 0:
        sys.exit("".join(said))
    return first, time.perf_counter() - began


def demo(environment: Path, workspace: Path, env: dict[str, str]) -> float:
    """Seconds to the report's path."""
    began = time.perf_counter()
    command = [str(environment / "bin/tao-skills"), "demo", str(workspace)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert Path(done.stdout.splitlines()[-1]).is_file()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
