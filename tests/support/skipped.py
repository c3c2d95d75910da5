"""The last lines of a run: what was skipped, why, by count, and the one command that installs what lacks."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter

import pytest

# What stands in a reason → the programs that are looked for, Debian's packages, and Homebrew's.
PACKAGES = {
    "Docker engine": (("dockerd", "containerd", "runc", "busybox"), "docker.io busybox-static", "docker"),
    "slurm": (("slurmctld", "slurmd", "sbatch", "munged"), "slurm-wlm munge", ""),
    "Chromium": (("chromium",), "chromium", "chromium"),
    "npm": (("npm",), "nodejs npm", "node"),
    "C compiler": (("cc",), "gcc libc6-dev", ""),
    "git is": (("git",), "git", "git"),
    "ssh-keygen": (("ssh-keygen",), "openssh-client", "openssh"),
    "lsof": (("ps", "lsof"), "procps lsof", "lsof"),
}


def lacking(reasons: Counter[str]) -> str:
    """The command that installs what the reasons name and is not here; empty where nothing of it can be installed."""
    wanted = [
        (debian, brew)
        for mark, (programs, debian, brew) in PACKAGES.items()
        if any(mark.lower() in reason.lower() for reason in reasons)
        and any(shutil.which(program) is None for program in programs)
    ]
    if shutil.which("apt-get"):
        names = " ".join(debian for debian, _ in wanted)
        return f"{'' if os.geteuid() == 0 else 'sudo '}apt-get install -y {names}" if names else ""
    names = " ".join(brew for _, brew in wanted if brew)
    return f"brew install {names}" if names and shutil.which("brew") else ""


def counted(reports: list[pytest.TestReport]) -> Counter[str]:
    """How many tests were skipped for which reason."""
    found: Counter[str] = Counter()
    for report in reports:
        said = report.longrepr
        reason = said[2] if isinstance(said, tuple) else str(said)
        found[re.sub(r"^Skipped: ", "", reason).splitlines()[0]] += 1
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it, where anything was skipped."""
    reasons = counted(terminalreporter.stats.get("skipped", []))
    if not reasons:
        return
    terminalreporter.write_line(f"{reasons.total()} tests were skipped:")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"  {count:4d}  {reason}")
    if command := lacking(reasons):
        terminalreporter.write_line(f"to run them too: {command}")
