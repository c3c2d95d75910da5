"""Which operating systems the bank runs on."""

from __future__ import annotations

import os
import pwd
import sys

from tao_skill_bank.core.errors import BankError

# The set-up, which runs without the package, says the same (scripts/set_up.py); a test holds them together.
WINDOWS = "Windows itself is not supported: install WSL (`wsl --install`) and run the same command inside it"


def user_name() -> str:
    """Whoever runs this, as the system names them, not variables that anybody may set."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def refuse_windows() -> None:
    """End at once, in one line, where nothing would work.

    Raises:
        BankError: This is Windows, outside WSL.
    """
    if sys.platform == "win32":
        raise BankError(WINDOWS)
