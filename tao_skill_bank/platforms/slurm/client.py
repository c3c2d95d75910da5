"""SLURM's commands, on this host or on a login node over ssh.

Nothing secret is in any argument vector: over ssh the command line and the values of passed variables go through the
standard input of one `sh -s`; on this host they are inherited.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tao_skill_bank.core.errors import BankError, EngineUnreachableError
from tao_skill_bank.platforms.base import JobState

COMMAND_SECONDS = 60.0
_SSH_FAILED = 255
# What SLURM's commands say when the controller, not the request, is at fault.
_DOWN = (
    "unable to contact slurm controller",
    "unable to establish controller",
    "connection refused",
    "connection reset",
    "connect failure",
    "communication",
    "timed out",
    "no route to host",
    "slurm controller not responding",
    "zero bytes were transmitted",
    "slurm backup controller",
    "unexpected message received",
    "munge",
    "authentication",
)
# What the controller says of a job that has ended, in the vocabulary of every platform. `COMPLETED` without an exit
# record means that the record did not reach the disk: never complete.
ENDED: dict[str, JobState] = {
    "COMPLETED": "lost",
    "FAILED": "failed",
    "TIMEOUT": "failed",
    "DEADLINE": "failed",
    "OUT_OF_MEMORY": "failed",
    "CANCELLED": "canceled",
    "NODE_FAIL": "lost",
    "BOOT_FAIL": "lost",
    "PREEMPTED": "lost",
    "REVOKED": "lost",
}


@dataclass(frozen=True)
class QueuedJob:
    """A job as `squeue` knows it: its number, its state in SLURM's words, and the reason it gives."""

    number: str
    state: str
    reason: str


@dataclass(frozen=True)
class SlurmClient:
    """Runs SLURM's commands.

    Attributes:
        host: The login node; None for this host.
        user: The name there; None for the one ssh chooses.
        key: Private key file for ssh; None for the agent's.
    """

    host: str | None = None
    user: str | None = None
    key: str | None = None
    _seconds: float = field(default=COMMAND_SECONDS, repr=False)

    @property
    def where(self) -> str:
        """What error messages call it."""
        return "SLURM" if self.host is None else f"SLURM on {self.host}"

    def ssh_argv(self) -> list[str]:
        """How the login node is reached: never asks for anything, and keeps one connection open for a minute."""
        argv = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
        argv += ["-o", "ControlMaster=auto", "-o", f"ControlPath={control_folder()}/%C", "-o", "ControlPersist=60"]
        argv += ["-i", self.key] if self.key else []
        return [*argv, "--", f"{self.user}@{self.host}" if self.user else str(self.host), "sh -s"]

    def run(
        self, argv: Sequence[str], *, passed: Mapping[str, str] | None = None, seconds: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one command line there; what it prints is text, its status is the caller's to judge.

        Args:
            argv: The command line.
            passed: Variables that it is to see; they stand in no argument vector.
            seconds: The longest it may take.

        Raises:
            EngineUnreachableError: The host or the command does not answer.
            BankError: The command (or ssh) is not installed.
        """
        try:
            if self.host is None:
                line, said, env = list(argv), "", {**_without_filters(os.environ), **(passed or {})}
            else:
                exports = [f"export {name}={shlex.quote(value)}" for name, value in (passed or {}).items()]
                line, said, env = self.ssh_argv(), "\n".join([*exports, f"exec {shlex.join(argv)}", ""]), None
            done = subprocess.run(
                line,
                input=said,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                env=env,
                timeout=seconds or self._seconds,
                # A Ctrl-C is for whoever asks, not for the question.
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise BankError(
                f"{error.filename} is not installed here",
                where=self.where,
                fix="run on a machine with SLURM's commands, or name the login node with --set slurm.host=NAME",
            ) from None
        except subprocess.TimeoutExpired:
            raise EngineUnreachableError(
                f"`{argv[0]}` does not answer", where=self.where, fix="try again when the cluster answers"
            ) from None
        if self.host is not None and done.returncode == _SSH_FAILED:
            raise EngineUnreachableError(
                f"ssh cannot reach the login node: {_last_line(done.stderr) or 'no reason given'}",
                where=self.where,
                fix="check slurm.host, slurm.user and that ssh logs in without asking (SSH_KEY_PATH or an agent)",
            )
        return done

    def ask(self, argv: Sequence[str]) -> str:
        """What a command prints.

        Raises:
            EngineUnreachableError: The controller does not answer.
            BankError: It answers with an error.
        """
        done = self.run(argv)
        if done.returncode != 0:
            raise self.failure(argv[0], done.stderr)
        return done.stdout

    def has(self, command: str) -> bool:
        """Whether a command is there."""
        if self.host is None:
            return shutil.which(command) is not None
        return self.run(["sh", "-c", f"command -v {shlex.quote(command)}"]).returncode == 0

    def jobs_named(self, names: Sequence[str]) -> dict[str, QueuedJob]:
        """Name → the job the controller knows under it, also one that ended a short while ago.

        A number is used again after a controller lost its state, so a job counts only if its comment says the
        same as its name.

        Raises:
            EngineUnreachableError: The controller does not answer; nothing is known about the jobs then.
        """
        form = "%i|%T|%r|%j|%k"
        done = self.run(["squeue", "--noheader", "--states=all", f"--name={','.join(names)}", f"--format={form}"])
        if done.returncode != 0:
            # The question is sound, so whatever failed, nothing was said about the jobs.
            raise self._away(done.stderr)
        found: dict[str, QueuedJob] = {}
        for line in done.stdout.splitlines():
            number, state, reason, name, comment = [*line.strip().split("|", 4), "", "", "", ""][:5]
            # An array is many lines: it has ended when every one has.
            ended = name in found and state in ENDED
            if name in names and comment.strip() == name and not ended:
                found[name] = QueuedJob(number, state, reason)
        return found

    def failure(self, command: str, said: str) -> BankError:
        """What a command's error output means: a controller that is away, or a request that is refused."""
        line = _last_line(said) or "no reason given"
        if any(mark in said.lower() for mark in _DOWN):
            return self._away(said)
        return BankError(f"{command}: {line}", where=self.where, fix="fix what it names (sinfo shows the partitions)")

    def _away(self, said: str) -> EngineUnreachableError:
        return EngineUnreachableError(
            f"the controller does not answer: {_last_line(said) or 'no reason given'}",
            where=self.where,
            fix="jobs go on running; run again when `scontrol ping` says UP",
        )


def control_folder() -> Path:
    """A folder for ssh's control sockets that only this user can use.

    Raises:
        BankError: Somebody else made it.
    """
    folder = Path(tempfile.gettempdir()) / f"tao-skills-ssh-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise BankError("belongs to somebody else, or others may use it", where=folder, fix="remove it")
    return folder


def _without_filters(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what narrows a user's own `squeue`: a job that it hides would look lost."""
    return {name: value for name, value in environment.items() if not name.startswith("SQUEUE_")}


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
