#!/usr/bin/env python3
"""Resolve the dependencies anew into the lock files, and measure what each lock costs.

    lock.py [--measure-only] [--only LOCK]

uv (TAO_LOCK_UV names another than that on the PATH), the network and a minute are needed.

Every lock holds names, versions and hashes for all platforms, no address, and says in its first line what it costs
here. The locks agree: the run-time lock is made first, the others keep to its versions. A version stays until it no
longer fits; delete a lock to take the newest of everything.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile

import set_up

KINDS = {
    "requirements.lock": ["pyproject.toml", "--group", "build"],
    "requirements-dev.lock": ["pyproject.toml", "--group", "build", "--group", "dev", "-c", "requirements.lock"],
    "requirements-video.lock": ["-", "-c", "requirements-dev.lock"],
    "requirements-audit.lock": ["--group", "audit", "-c", "requirements-dev.lock"],
}
FLAGS = ["--universal", "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-header"]
VIDEO = "video"
ADDITIONS = ("requirements-video.lock", "requirements-audit.lock")


def resolve(uv, name):
    """Write a lock anew, its first line kept."""
    given = {"input": extra(VIDEO)} if "-" in KINDS[name] else {}
    command = [uv, "pip", "compile", "--quiet", *FLAGS, "--no-annotate", "--python-version", "3.11", *KINDS[name]]
    subprocess.run([*command, "-o", name], cwd=set_up.ROOT, check=True, text=True, **given)


def extra(name):
    """The requirements of an extra of pyproject.toml, a line each."""
    import tomllib

    with open(os.path.join(set_up.ROOT, "pyproject.toml"), "rb") as handle:
        return "\n".join(tomllib.load(handle)["project"]["optional-dependencies"][name]) + "\n"


def size_mb(folder):
    """What lies in a folder, in megabytes as disks are sold (10^6)."""
    files = (os.path.join(top, name) for top, _, names in os.walk(folder) for name in names)
    return round(sum(os.lstat(path).st_size for path in files) / 1e6)


def measure(name):
    """Fetch and install a lock; the line that says what that took. An addition is measured as what it adds."""
    path, first = (os.path.join(set_up.ROOT, given) for given in (name, "requirements.lock"))
    with tempfile.TemporaryDirectory() as scratch:
        base, house, env = (os.path.join(scratch, folder) for folder in ("base", "house", "env"))
        before = 0
        if name in ADDITIONS:
            set_up.fill_wheelhouse(base, [first])
            set_up.set_up(env, [first], wheelhouse=base)
            before = size_mb(env)
        set_up.fill_wheelhouse(house, [path])
        set_up.set_up(env, [path], wheelhouse=house)
        return f"# {size_mb(house)} MB to fetch, {size_mb(env) - before} MB on disk (Linux x86_64, Python 3.11)"


def main(arguments):
    """Resolve, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure-only", action="store_true")
    parser.add_argument("--only", action="append", choices=KINDS, help="one lock; may be repeated")
    given = parser.parse_args(arguments)
    uv = os.environ.get("TAO_LOCK_UV") or shutil.which("uv")
    if not given.measure_only and not uv:
        sys.exit("uv is needed to resolve (pip install uv)")
    for name in given.only or KINDS:
        if not given.measure_only:
            resolve(uv, name)
        line = measure(name)
        path = os.path.join(set_up.ROOT, name)
        with open(path, encoding="utf-8") as handle:
            rest = [text for text in handle if not set_up.SIZE.match(text)]
        with open(path, "w", encoding="utf-8") as handle:
            handle.write(line + "\n" + "".join(rest))
        print(f"{name}: {line[2:]}")


if __name__ == "__main__":
    main(sys.argv[1:])
