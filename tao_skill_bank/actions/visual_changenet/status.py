"""What a training says while it runs: `status.json` (JSON lines, as TAO writes them), the log, the console."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tao_skill_bank.core import guard
from tao_skill_bank.core.clock import Clock, SystemClock

STATUS_FILE = "status.json"


class Status:
    """Appends to `status.json` and to a log in `folder`, line by line, each flushed when it is written.

    Args:
        folder: Where to; it must exist.
        log_name: The log's file name.
        quiet: Do not print.
        clock: Time; the machine's by default.
    """

    def __init__(self, folder: Path, log_name: str, *, quiet: bool = False, clock: Clock | None = None) -> None:
        self.status_path = folder / STATUS_FILE
        self.log_path = folder / log_name
        self.quiet = quiet
        self.clock = clock or SystemClock()

    def say(self, text: str) -> None:
        """A line for the log and the console."""
        with guard.open_write(self.log_path, "ab") as log:
            log.write(f"{text}\n".encode())
        if not self.quiet:
            print(text, flush=True)

    def status(self, message: str, *, status: str = "RUNNING", kpi: dict[str, float] | None = None) -> None:
        """A line of `status.json`."""
        now = self.clock.now()
        line: dict[str, Any] = {
            "date": now.strftime("%m/%d/%Y"),
            "time": now.strftime("%H:%M:%S"),
            "status": status,
            "verbosity": "INFO",
            "message": message,
        }
        if kpi is not None:
            line["kpi"] = kpi
        with guard.open_write(self.status_path, "ab") as handle:
            handle.write(f"{json.dumps(line, allow_nan=False)}\n".encode())
