"""A platform of another package: every command line is a child process with a nice value."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.process import is_alive, process_identity
from tao_skill_bank.platforms.base import (
    ExitRecord,
    JobRecord,
    JobState,
    Platform,
    PlatformCheck,
    ended_state,
    write_record,
)  # fmt: skip
from tao_skill_bank.platforms.settings import PlatformSettings
from tao_skill_bank.platforms.work import Work
from tao_skill_bank.platforms.worker import beside, claim, now

RUN = """
import json, os, subprocess, sys
stem, argv = sys.argv[1], sys.argv[2:]
try:
    with open(stem + ".claim.json", "x") as claimed:
        json.dump({"pid": os.getpid(), "identity": None, "claimed_at": ""}, claimed)
except FileExistsError:
    sys.exit(0)
with open(stem + ".log", "ab") as log:
    code = subprocess.run(argv, stdout=log, stderr=log).returncode
with open(stem + ".exit.tmp", "w") as ended:
    json.dump({"exit_code": code, "started_at": "", "ended_at": ""}, ended)
os.replace(stem + ".exit.tmp", stem + ".exit.json")
"""


_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}


class Settings(PlatformSettings):
    """How gentle it is."""

    nice: int = Field(default=0, ge=0, le=19)


class Toy(Platform):
    """Children of this machine."""

    name = "toy"
    aliases = ("playpen",)
    text = "children of this machine"
    Settings = Settings

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @classmethod
    def of(cls, config: Work) -> Self:
        return cls(Settings.model_validate(config.platforms.get(cls.name, {})))

    def checks(self, config: Work, only: str | None = None) -> list[PlatformCheck]:
        return [PlatformCheck(name="platform", status="ok", text=f"{self.text}, nice {self.settings.nice}")]

    def submit(self, record: JobRecord) -> JobRecord:
        stem = str(record.path.with_suffix(""))
        own = [sys.executable, "-P", "-m", "tao_skill_bank.actions", *record.command]
        full = record.model_copy(update={"argv": ["nice", "-n", str(self.settings.nice), *own]})
        write_record(full)
        child = subprocess.Popen([sys.executable, "-c", RUN, stem, *full.argv], start_new_session=True)
        _CHILDREN[child.pid] = child
        fsio.write_json(_note(full), {"pid": child.pid, "identity": process_identity(child.pid)})
        return full

    def status(self, record: JobRecord) -> JobState:
        state = self.peek(record)
        if state == "pending":
            claim(record.path, {"pid": 0, "identity": None, "claimed_at": now()})
            state = self.peek(record)
        return state

    def peek(self, record: JobRecord) -> JobState:
        ended = ended_state(record)
        if ended is not None:
            return ended
        if _lives(record):
            return "running"
        begun = guard.exists(beside(record.path, "claim.json"))
        return ended_state(record) or ("lost" if begun else "pending")

    def cancel(self, record: JobRecord) -> None:
        guard.open_write(beside(record.path, "cancel"), "ab").close()
        if _lives(record):
            os.killpg(_started(record)["pid"], 15)
        while _lives(record):
            time.sleep(0.01)
        if ended_state(record) is None:
            ended = ExitRecord(exit_code=143, started_at="", ended_at=now(), canceled=True)
            fsio.write_json(beside(record.path, "exit.json"), ended.model_dump())


def _note(record: JobRecord) -> Path:
    return beside(record.path, "toy.json")


def _started(record: JobRecord) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(guard.read_text(_note(record)))
    return found


def _lives(record: JobRecord) -> bool:
    try:
        who = _started(record)
    except FileNotFoundError:
        return False
    own = _CHILDREN.get(who["pid"])
    return own.poll() is None if own is not None else is_alive(who["pid"], who["identity"])
