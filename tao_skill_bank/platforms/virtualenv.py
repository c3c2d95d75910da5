"""The virtualenv platform: the commands of a pip-installed TAO, in a folder the user names.

A command that is not in the folder runs as the bank's own, and the run says so. Everything else (records, claims, exit
records, detached workers) is the local platform's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from tao_skill_bank.bank.home import CATEGORIES
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.core.personal import virtualenv_bin
from tao_skill_bank.platforms.base import PlatformCheck
from tao_skill_bank.platforms.local import LocalPlatform, own_argv
from tao_skill_bank.platforms.machine import Complaint, Machine
from tao_skill_bank.platforms.memory import TRAINER, check_own_memory
from tao_skill_bank.platforms.settings import VirtualenvConfig
from tao_skill_bank.platforms.work import Work


class VirtualenvPlatform(LocalPlatform):
    """Runs `BIN/visual_changenet …` where it is there.

    Args:
        folder: The folder with the commands, usually `…/bin` of a virtual environment.

    Raises:
        InputError: The folder is not named or not there.
    """

    name = "virtualenv"
    concurrent = False  # TAO's own commands share one accelerator
    asks = True
    Settings = VirtualenvConfig

    def __init__(self, folder: str | None) -> None:
        super().__init__()
        if folder is None:
            raise InputError(
                "the folder with TAO's commands is not named",
                where="--platform virtualenv",
                fix="tao-skills platforms install virtualenv makes one, or add --set virtualenv.bin=FOLDER",
            )
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError("no such folder", where=folder, fix="set virtualenv.bin to the folder with TAO's commands")

    @classmethod
    def of(cls, config: Work) -> Self:
        """With the folder of `virtualenv.bin`, else the one that a person registered."""
        registered = None if config.virtualenv.bin else virtualenv_bin()
        return cls(config.virtualenv.bin or (None if registered is None else str(registered)))

    @classmethod
    def reach(cls) -> str:
        """The environment that is registered, or how one is made."""
        from tao_skill_bank.platforms.releases import installed_release

        try:
            folder = virtualenv_bin()
        except BankError as error:
            return error.line()
        if folder is None:
            return "none registered: tao-skills platforms install virtualenv, or --set virtualenv.bin=DIR"
        if not folder.is_dir():
            return f"the registered {folder} is gone: tao-skills platforms install virtualenv"
        return f"TAO {installed_release(folder) or 'of no known release'} in {folder}, registered"

    @classmethod
    def explained(cls, found: Complaint, machine: Machine, source: str) -> Complaint:
        """TAO's own commands are an option, and seldom there: no lack where nobody installed them."""
        if not found.lacks:
            return found
        other = machine.which("visual_changenet")
        if other is None or Path(other).resolve().parent == Path(machine.python).parent.resolve():
            text = "for TAO that is installed by pip on this machine; none is in the PATH"
            return replace(found, text=text, lacks=False)
        folder = Path(other).parent
        return Complaint(f"TAO's commands are in {folder}", f"add --set virtualenv.bin={folder}", lacks=False)

    def checks(self, config: Work, only: str | None = None) -> list[PlatformCheck]:
        """TAO's own Visual ChangeNet must be there; what else is not runs as the bank's own."""
        own = [name for name in CATEGORIES if not self.has(name)]
        needed = only or TRAINER
        if not (self.has(needed) or (needed != TRAINER and super().can_run(needed))):
            raise BankError(f"{needed} is not there", where=self.folder, fix="set virtualenv.bin to TAO's commands")
        text = f"TAO's commands in {self.folder}" + (f"; the bank's own run: {', '.join(own)}" if own else "")
        found = [PlatformCheck(name="platform", status="ok", text=text)]
        return [*found, check_own_memory(config.specs_file)] if config.specs_file else found

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
