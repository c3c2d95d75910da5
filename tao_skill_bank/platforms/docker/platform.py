"""The docker platform: every TAO command line in a container, on this machine's engine or another's.

The record is written first; its uid is the container's name and label. The engine is the truth for "running", the exit
record that the wrapper wrote inside the container for "finished". The claim file (made once, by the wrapper or by
whoever gives the job up) is why nothing ever runs twice, whatever is killed and whenever.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import BankError, EngineUnreachableError, InputError
from tao_skill_bank.platforms.base import (
    ENDED,
    ExitRecord,
    JobRecord,
    JobState,
    PlatformCheck,
    ended_state,
    read_exit,
    tail_of,
    write_record,
)
from tao_skill_bank.platforms.container import (
    WRAPPER,
    ContainerPlan,
    ContainerPlatform,
    ContainerSettings,
    check_images,
    folders_of,
    plan_container,
    settings_of,
)
from tao_skill_bank.platforms.docker.engine import Engine, missing_image, refusal
from tao_skill_bank.platforms.docker.settings import DockerConfig
from tao_skill_bank.platforms.machine import Complaint, Machine
from tao_skill_bank.platforms.work import Work
from tao_skill_bank.platforms.worker import ask_to_cancel, beside, claim_for_nobody, now, write_whole

GRACE_SEC = 10
PATIENCE_SEC = 60.0
"""How long an engine that does not answer (it restarts) is waited for before the stage fails."""
_LOOK_SEC = 0.02


class DockerPlatform(ContainerPlatform):
    """Runs a command line in a container that outlives the caller.

    Args:
        settings: Images, mounts, devices.
        engine: The engine; default: the one the settings name.
    """

    name = "docker"
    Settings = DockerConfig

    def __init__(self, settings: ContainerSettings, engine: Engine | None = None) -> None:
        self.settings = settings
        self.engine = engine or Engine(settings.host)
        # Containers share the GPUs; on the CPU they run side by side.
        self.concurrent = settings.gpus_for("visual_changenet") is None
        self._submitting: set[str] = set()
        self._removed: set[str] = set()
        self._swept: set[str] = set()
        self._silent_since: float | None = None

    @classmethod
    def of(cls, config: Work) -> Self:
        """With the settings below `docker.` and the images of the run."""
        settings = settings_of(config)
        check_images(settings)
        return cls(settings)

    @classmethod
    def reach(cls) -> str:
        """Whether an engine answers, and which GPUs are here."""
        from tao_skill_bank.platforms.docker.checks import gpus_here

        engine = Engine()
        try:
            facts = engine.facts
        except BankError as error:
            return error.line()
        cards = ", ".join(f"{g.name} {g.memory_gb} GB" for g in gpus_here()) if engine.local else "not looked at"
        return f"Docker {facts.version} ({facts.architecture}) answers, {engine.shown}; GPUs: {cards or 'none'}"

    @classmethod
    def remedy(cls, text: str, machine: Machine, source: str) -> str:
        """An engine is installed, started or opened to the user; empty where the check's own fix is the best."""
        if "does not answer" not in text or os.environ.get("DOCKER_HOST"):
            return ""
        if "Permission denied" in text:
            return "sudo usermod -aG docker $USER && newgrp docker"
        if machine.system == "Darwin":
            return "open -a Docker" if machine.which("docker") else machine.package("", "--cask docker")
        if not machine.which("dockerd"):
            return machine.package("docker.io" if machine.which("apt-get") else "docker")
        return machine.as_root("systemctl start docker" if machine.systemd else "service docker start")

    @classmethod
    def explained(cls, found: Complaint, machine: Machine, source: str) -> Complaint:
        """Without a socket nothing answers."""
        told = super().explained(found, machine, source)
        gone = "No such file" in found.text and cls.remedy(found.text, machine, source)
        return replace(told, text="no engine answers here: there is no socket") if gone else told

    def checks(self, config: Work, only: str | None = None) -> list[PlatformCheck]:
        """Engine, images, architecture, GPU and its memory, the workspace inside a container."""
        from tao_skill_bank.platforms.docker.checks import check_docker

        return check_docker(self.engine, self.settings, config, only)

    def plan(self, record: JobRecord) -> ContainerPlan:
        """The job's container; the engine is asked for the image's entrypoint and nothing is changed.

        Raises:
            InputError: The image is not on the engine, or a path lies outside.
            EngineUnreachableError: The engine does not answer.
        """
        reference = self.settings.image_for(*record.command[:2])
        image = self.engine.image(reference)
        if image is None:
            raise missing_image(reference)
        # For a rootless engine root inside is the caller outside.
        user = "0:0" if self.engine.facts.rootless else None
        return plan_container(self.settings, record, entrypoint=image.entrypoint, user=user)

    def submit(self, record: JobRecord) -> JobRecord:
        """Write the record, then make and start the container.

        Raises:
            InputError: As `plan`; nothing was written.
            EngineUnreachableError: The engine fell silent; whoever takes the run up asks it for the uid.
        """
        from docker.errors import APIError

        plan = self.plan(record)
        lines = secret_lines(plan.secrets)
        full = record.model_copy(
            update={
                "argv": plan.argv(),
                "env": dict(plan.env),
                "image": plan.image,
                "image_digest": self._digest(plan.image),
                "host": self.engine.facts.host,
                "mounts": [b.option() for b in plan.binds],
                "secrets": list(plan.secrets),
            }
        )
        self._sweep(full.results_dir)
        for folder in folders_of(full):
            guard.make_folder(folder)
        for bind in plan.binds:
            if not bind.read_only:
                guard.make_folder(Path(bind.source))
        _put_wrapper(Path(plan.wrapper))
        self._submitting.add(full.uid)
        try:
            write_record(full)
            found = self.engine.container(full.uid)
            made = self.engine.create(plan) if found is None else str(found["Id"])
            self.engine.start(made, lines)
        except APIError as error:
            self._give_up(full, refusal(error))
        finally:
            self._submitting.discard(full.uid)
        return full

    def _digest(self, reference: str) -> str | None:
        """What a reference is on this engine: the digest registries know it by, else that of its configuration."""
        found = self.engine.image(reference)
        return None if found is None else next(iter(found.digests), found.id)

    def status(self, record: JobRecord) -> JobState:
        """The job's state; one that nobody is about to start is given up as lost, an ended one's container removed.

        Raises:
            EngineUnreachableError: The engine has not answered for a minute.
        """
        try:
            state = self.peek(record)
            if state == "pending" and record.uid not in self._submitting:
                # Made and not started, or not made: whoever was about to is gone. The claim keeps a late start away.
                claim_for_nobody(record.path)
                state = self.peek(record)
            if state in ENDED:
                self._remove(record, state)
        except EngineUnreachableError:
            self._silent_since = self._silent_since or time.monotonic()
            if time.monotonic() - self._silent_since > PATIENCE_SEC:
                raise
            return "running"
        self._silent_since = None
        return state

    def peek(self, record: JobRecord) -> JobState:
        """The job's state, looked at without deciding anything.

        Raises:
            EngineUnreachableError: The engine is needed for the answer and does not give one.
        """
        ended = ended_state(record)
        if ended is not None:
            return ended
        claimed = _claimant(record.path)
        if claimed == 0:
            return "canceled" if guard.exists(beside(record.path, "cancel")) else "lost"
        found = self.engine.container(record.uid)
        state = {} if found is None else found["State"]
        kind = state.get("Status")
        if kind in ("running", "paused", "restarting", "removing"):
            return "running"
        # The exit record may have been written between the first look and now.
        ended = ended_state(record)
        if ended is not None:
            return ended
        if kind in ("exited", "dead"):
            return self._ended_without_record(record, state)
        if claimed is None and guard.exists(record.path):
            return "pending"
        return "lost"

    def logs(self, record: JobRecord, tail: int = 200) -> str:
        """The last lines of the job's output, which outlives its container."""
        text = tail_of(beside(record.path, "log"), tail)
        ended = read_exit(record)
        if ended is not None and ended.error and not text.endswith(ended.error):
            text = f"{text}\n{ended.error}" if text else ended.error
        return text

    def cancel(self, record: JobRecord) -> None:
        """Ask the container to end; after ten seconds it is killed. One that has not begun never begins."""
        if ended_state(record) is not None:
            return
        ask_to_cancel(record.path)
        found = self.engine.container(record.uid)
        if found is None:
            return
        if found["State"].get("Status") == "created":
            self.engine.remove(record.uid)
        else:
            self.engine.stop(record.uid, GRACE_SEC)

    def wait(self, record: JobRecord, seconds: float) -> bool:
        """Wait at most `seconds` for the job's exit record."""
        path = beside(record.path, "exit.json")
        until = time.monotonic() + seconds
        while not guard.exists(path) and (left := until - time.monotonic()) > 0:
            time.sleep(min(_LOOK_SEC, left))
        return True

    def _ended_without_record(self, record: JobRecord, state: dict[str, Any]) -> JobState:
        """The container ended, and its wrapper could not write how: it was killed, or the disk was full."""
        code = int(state.get("ExitCode") or 0)
        why = "out of memory" if state.get("OOMKilled") else str(state.get("Error") or "")
        error = f"the container ended with status {code} and left no exit record" + (f": {why}" if why else "")
        ended = ExitRecord(
            exit_code=code or 125,
            started_at=str(state.get("StartedAt", "")),
            ended_at=str(state.get("FinishedAt", "")),
            error=error,
        )
        with contextlib.suppress(OSError):
            # On a full disk the container stays, and says the same when it is asked again.
            write_whole(beside(record.path, "exit.json"), ended.model_dump())
        return "canceled" if guard.exists(beside(record.path, "cancel")) else "failed"

    def _give_up(self, record: JobRecord, reason: str) -> None:
        """The engine refused to make or start the container: the job has failed, unless it runs after all."""
        if not claim_for_nobody(record.path):
            return
        ended = ExitRecord(exit_code=125, started_at=now(), ended_at=now(), error=f"the engine refused: {reason}")
        write_whole(beside(record.path, "exit.json"), ended.model_dump())
        with contextlib.suppress(BankError):
            self.engine.remove(record.uid)

    def _remove(self, record: JobRecord, state: JobState) -> None:
        """Once the job's end is on disk its container is of no more use."""
        if record.uid in self._removed:
            return
        if read_exit(record) is None and _claimant(record.path) != 0 and state != "lost":
            return
        with contextlib.suppress(BankError):
            if self.engine.container(record.uid) is not None:
                self.engine.remove(record.uid)
            self._removed.add(record.uid)

    def _sweep(self, results_dir: str) -> None:
        """Remove what an earlier process of this run left: containers of jobs that have ended or were given up."""
        if results_dir in self._swept:
            return
        self._swept.add(results_dir)
        for uid, state in self.engine.of_run(results_dir):
            path = Path(results_dir) / "jobs" / f"{uid}.json"
            known = guard.exists(path)
            ended = guard.exists(beside(path, "exit.json"))
            if state in ("created", "exited", "dead") and (ended or not known or _claimant(path) == 0):
                self.engine.remove(uid)


def secret_lines(names: tuple[str, ...]) -> list[str]:
    """`NAME=value` of each credential, for the container's standard input.

    Raises:
        InputError: A value of several lines.
    """
    lines = []
    for name in names:
        value = os.environ.get(name, "")
        if "\n" in value or "\r" in value:
            raise InputError("the value has several lines", where=f"${name}", fix="set it to a single line")
        lines.append(f"{name}={value}")
    return lines


def _put_wrapper(path: Path) -> None:
    """The wrapper beside the records; replaced by rename, so that one that runs keeps its own."""
    text = WRAPPER.read_text(encoding="utf-8")
    try:
        if guard.read_text(path) == text:
            return
    except FileNotFoundError:
        pass
    fsio.write_text(path, text)


def _claimant(path: Path) -> int | None:
    """Who has the job: None nobody yet, 0 nobody ever, else its container (which writes its claim in two steps)."""
    try:
        text = guard.read_text(beside(path, "claim.json"))
    except FileNotFoundError:
        return None
    return 0 if '"pid": 0' in text else 1
