"""The virtualenv platform: the commands of a pip-installed TAO, in a folder the user names.

A command that is not in the folder runs as the bank's own, and the run says so. Everything else (records, claims, exit
records, detached workers) is the local platform's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tao_skill_bank.bank.command_lines import CATEGORIES
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.platforms.base import PlatformCheck
from tao_skill_bank.platforms.local import LocalPlatform, own_argv
from tao_skill_bank.platforms.memory import check_own_memory


class VirtualenvPlatform(LocalPlatform):
    """Runs `BIN/visual_changenet …` where it is there.

    Args:
        folder: The folder with the commands, usually `…/bin` of a virtual environment.

    Raises:
        InputError: The folder is not named or not there.
    """

    name = "virtualenv"
    concurrent = False  # TAO's own commands share one accelerator

    def __init__(self, folder: str | None) -> None:
        super().__init__()
        if folder is None:
            raise InputError(
                "the folder with TAO's commands is not named",
                where="--platform virtualenv",
                fix="add --set virtualenv.bin=FOLDER",
            )
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError("no such folder", where=folder, fix="set virtualenv.bin to the folder with TAO's commands")

    @classmethod
    def of(cls, config: Any) -> Self:
        """With the folder of `virtualenv.bin`."""
        return cls(config.virtualenv.bin)

    def checks(self, config: Any) -> list[PlatformCheck]:
        """TAO's own Visual ChangeNet must be there; what else is not runs as the bank's own."""
        own = [name for name in CATEGORIES if not self.has(name)]
        if "visual_changenet" in own:
            raise BankError(
                "visual_changenet is not there", where=self.folder, fix="set virtualenv.bin to TAO's commands"
            )
        text = f"TAO's commands in {self.folder}" + (f"; the bank's own run: {', '.join(own)}" if own else "")
        found = [PlatformCheck(name="platform", status="ok", text=text)]
        return [*found, check_own_memory(config.specs_file)] if getattr(config, "specs_file", "") else found

    def has(self, command: str) -> bool:
        """Whether the installed TAO has the command."""
        path = self.folder / command
        return path.is_file() and os.access(path, os.X_OK)

    def can_run(self, command: str) -> bool:
        """Whether the folder or the bank has it."""
        return self.has(command) or super().can_run(command)

    def tao_own(self, command: str) -> bool:
        """Where the folder has it."""
        return self.has(command)

    def argv(self, command: Sequence[str]) -> list[str]:
        """TAO's own command, else the bank's."""
        if self.has(command[0]):
            return [str(self.folder / command[0]), *command[1:]]
        return own_argv(command)
