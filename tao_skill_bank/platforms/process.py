"""Who a process is: its id alone is not identity, because ids are used again. Standard library only."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_PROC = os.path.exists("/proc/self/stat")


def process_identity(pid: int) -> str | None:
    """When the living process `pid` started, in a form that is compared only for equality; None if it is gone.

    On Linux the kernel's start tick and boot id, elsewhere what `ps` prints. A zombie counts as gone.
    """
    if pid <= 0:
        return None
    if _PROC:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return None
        fields = stat[stat.rfind(")") + 2 :].split()
        return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return None if not shown or shown.startswith("Z") else shown.split(maxsplit=1)[-1]


def is_alive(pid: int, identity: str | None) -> bool:
    """Whether the very process that was recorded as (`pid`, `identity`) still runs."""
    return identity is not None and process_identity(pid) == identity


def own_identity() -> tuple[int, str]:
    """(pid, identity) of this process."""
    return os.getpid(), process_identity(os.getpid()) or "unknown"
