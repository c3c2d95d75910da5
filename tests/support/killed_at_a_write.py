"""Take a run up in a process that dies when NUMBER files have got their names: `killed_at_a_write.py RUN NUMBER`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tao_skill_bank import runs

real, left = os.replace, int(sys.argv[2])


def replace(*args: Any, **more: Any) -> None:
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    real(*args, **more)


with patch.object(os, "replace", replace):
    runs.run_loop(Path(sys.argv[1]))
