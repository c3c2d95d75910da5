"""The SLURM platform: each command line is a batch job, known by its uid and never by its number.

Who knows what: the controller is the truth for "running", the job's own exit record for "finished" (without accounting
a controller forgets finished jobs after minutes). A job that neither knows is `lost`; before that is said of a job that
nobody began, its claim is taken, so that it cannot begin later. A controller that does not answer says nothing: the
last known state stands until patience ends, and then an error says so.

Files beside a record: `<uid>.sh` (what runs), `<uid>.slurm.json` (number, and what the controller said at the end),
and those of every job: `claim.json`, `exit.json`, `log`, `cancel`, `alive`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from tao_skill_bank.bank.home import CATEGORIES
from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import BankError, EngineUnreachableError, InputError
from tao_skill_bank.core.threads import SINGLE_THREAD, kernels
from tao_skill_bank.platforms import local
from tao_skill_bank.platforms.base import (
    JobRecord,
    JobState,
    Platform,
    PlatformCheck,
    ended_state,
    read_exit,
    read_process,
    write_record,
)
from tao_skill_bank.platforms.container import (
    GENERATOR,
    HUB_OFFLINE,
    ContainerSettings,
    check_names,
    folders_of,
    inside,
    needs_gpu,
    plan_container,
    reference_of,
    settings_of,
)
from tao_skill_bank.platforms.machine import Machine
from tao_skill_bank.platforms.slurm.client import ENDED, QueuedJob, SlurmClient
from tao_skill_bank.platforms.slurm.script import (
    Request,
    SlurmSettings,
    check_extra,
    job_script,
    oci_argv,
    pyxis_argv,
    sbatch_argv,
    script_path,
)
from tao_skill_bank.platforms.slurm.settings import SlurmConfig
from tao_skill_bank.platforms.work import Work
from tao_skill_bank.platforms.worker import ask_to_cancel, beside, claim_for_nobody, is_held

LOGIN = "export SLURM_HOSTNAME=LOGIN-NODE"
CREDENTIALS = ("HF_TOKEN", "NGC_KEY")
_LOOK_FIRST_SEC = 0.2
_LOOK_MOST_SEC = 10.0

_WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"})


@dataclass
class _Look:
    """The last look at a job, and when the next is due."""

    job: QueuedJob | None
    at: float
    pause: float


class SlurmPlatform(Platform):
    """Runs command lines as batch jobs.

    Args:
        settings: What they are submitted with.
        client: SLURM's commands, here or on a login node.
        monotonic: The clock that patience is measured by.
    """

    name = "slurm"
    Settings = SlurmConfig
    concurrent = True
    shards = True

    def __init__(
        self, settings: SlurmSettings, client: SlurmClient, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings = settings
        self.client = client
        self._monotonic = monotonic
        self._looks: dict[str, _Look] = {}
        self._unknown_since: dict[str, float] = {}
        self._silent_since: float | None = None

    @classmethod
    def of(cls, config: Work) -> Self:
        """As `config.slurm` says, else SLURM_HOSTNAME, SLURM_USER, SLURM_PARTITION and SSH_KEY_PATH.

        Raises:
            InputError: An argument that the platform sets itself, a bundle that is not named.
        """
        given = config.slurm
        check_extra(given.extra)
        check_names(given.pass_env, "slurm.pass_env")
        if given.container == "oci" and not given.bundle:
            raise InputError("the OCI bundle is not named", where="slurm.bundle", fix="--set slurm.bundle=FOLDER")
        gpus = given.gpus if given.gpus is not None else (config.num_gpus if given.container != "none" else 0)
        host = given.host or os.environ.get("SLURM_HOSTNAME") or None
        request = Request(
            partition=given.partition or os.environ.get("SLURM_PARTITION") or None,
            account=given.account,
            time_limit=given.time_limit,
            memory=given.memory,
            cpus=given.cpus,
            pass_env=tuple(name for name in dict.fromkeys((*CREDENTIALS, *given.pass_env)) if os.environ.get(name)),
            extra=tuple(given.extra),
        )
        settings = SlurmSettings(
            given=given,
            request=request,
            gpus=gpus,
            containers=_containers(config) if given.container == "pyxis" else None,
            offline=config.offline,
            python=given.python or sys.executable,
        )
        user = (given.user or os.environ.get("SLURM_USER") or None) if host else None
        return cls(settings, SlurmClient(host, user, os.environ.get("SSH_KEY_PATH") or None))

    @classmethod
    def reach(cls) -> str:
        """Whether `sbatch` is here."""
        found = shutil.which("sbatch")
        return f"sbatch is {found}" if found else "no sbatch here; a login node is named by SLURM_HOSTNAME"

    @classmethod
    def remedy(cls, text: str, machine: Machine, source: str) -> str:
        """A cluster is seldom on the machine one works at: its login node is named."""
        here = ("not installed", "configuration source", "not found", "Unable to resolve")
        return LOGIN if any(mark in text for mark in here) else ""

    def checks(self, config: Work, only: str | None = None) -> list[PlatformCheck]:
        """Controller, partition, the workspace as a node sees it, GPUs, container support, credentials by name."""
        from tao_skill_bank.platforms.slurm.checks import checks

        return checks(self.client, self.settings, config)

    def can_run(self, command: str) -> bool:
        """Without containers what the bank has, with them everything."""
        return self.settings.given.container != "none" or command in CATEGORIES

    def tao_own(self, command: str) -> bool:
        """In TAO's images; what an OCI bundle holds is not known here."""
        containers = self.settings.containers
        return containers is not None and (containers.own_image is None or command in GENERATOR)

    def planned(self, record: JobRecord) -> JobRecord:
        """The record with all that its script needs.

        Raises:
            InputError: A path that the container would not see.
        """
        settings = self.settings
        names = list(settings.request.pass_env)
        env: dict[str, str] = {}
        if not self.request(record.command).gpus:
            env = self.arithmetic()
        update: dict[str, Any] = {"secrets": names, "env": env}
        if settings.given.container == "pyxis" and settings.containers is not None:
            container = replace(settings.containers, secrets=tuple(names))
            plan = plan_container(container, record)
            # Enroot keeps the user's own name and home.
            update["env"] = {k: v for k, v in plan.env.items() if k not in ("HOME", "USER")}
            update["image"] = plan.image
            update["mounts"] = [bind.source for bind in plan.binds]
            update["argv"] = pyxis_argv(plan, names)
        elif settings.given.container == "oci":
            line = inside(record)
            update["env"] = {**env, **line.env, **(HUB_OFFLINE if settings.offline else {})}
            update["argv"] = oci_argv(line, settings.given.bundle or "", [*update["env"], *names])
        else:
            update["argv"] = self.argv(record.command)
        return record.model_copy(update=update)

    def arithmetic(self) -> dict[str, str]:
        """Variables of CPU jobs; the nodes of a cluster elsewhere may have other processors than this machine."""
        return SINGLE_THREAD | (kernels(os.environ) if self.client.host is None else {})

    def argv(self, command: Sequence[str]) -> list[str]:
        """What runs `command` without a container: the bank's own, by the interpreter that the nodes have."""
        return [self.settings.python, *local.own_argv(command)[1:]]

    def request(self, command: Sequence[str]) -> Request:
        """What `sbatch` is asked for to run `command`."""
        return replace(self.settings.request, gpus=self.settings.gpus if needs_gpu(command[0]) else 0)

    # -- the four verbs ------------------------------------------------------------------------------------------

    def submit(self, record: JobRecord) -> JobRecord:
        """Write the record and the script, then hand the job to SLURM.

        Raises:
            EngineUnreachableError: The controller does not answer, and the job did not arrive.
            BankError: It refuses the job.
        """
        full = self.planned(record)
        if self.settings.given.container != "none":
            for folder in folders_of(full):
                guard.make_folder(folder)
        write_record(full)
        fsio.write_text(script_path(full), job_script(full))
        self.hand_over(full, sbatch_argv(full, self.request(full.command)))
        return full

    def hand_over(self, record: JobRecord, argv: Sequence[str], secrets: Mapping[str, str] | None = None) -> None:
        """Run `sbatch` for a job whose record and script are on disk; `secrets` are variables it passes on.

        Raises:
            EngineUnreachableError: The controller does not answer, and the job did not arrive.
            BankError: It refuses the job.
        """
        passed = {name: os.environ[name] for name in self.settings.request.pass_env if name in os.environ}
        try:
            done = self.client.run(argv, passed={**passed, **(secrets or {})})
            failure = None if done.returncode == 0 else self.client.failure("sbatch", done.stderr)
        except EngineUnreachableError as error:
            failure = error
        if failure is None:
            self._note(record, number=done.stdout.strip().partition(";")[0])
        elif not self._arrived(record):
            # Whatever of it may still be on its way finds the claim taken.
            claim_for_nobody(record.path)
            raise failure

    @staticmethod
    def is_over(job: QueuedJob) -> bool:
        """Whether the controller says that a job has ended."""
        return job.state in ENDED

    def status(self, record: JobRecord) -> JobState:
        """The job's state now.

        Raises:
            EngineUnreachableError: The controller has not answered for longer than patience allows.
        """
        settled = self._settled(record)
        if settled is not None:
            return settled
        try:
            job = self._look(record)
        except EngineUnreachableError:
            since = self._silent_since = self._silent_since or self._monotonic()
            if self._monotonic() - since >= self.settings.given.patience_sec:
                raise
            return self._last_known(record)
        self._silent_since = None
        if job is None:
            return self._unknown(record)
        self._unknown_since.pop(record.uid, None)
        if job.state in _WAITING:
            return "pending"
        verdict = ENDED.get(job.state)
        return "running" if verdict is None else self._over(record, verdict, job)

    def peek(self, record: JobRecord) -> JobState:
        """The job's state, looked at without deciding anything: a submission that is slow is not given up by a look.

        Raises:
            EngineUnreachableError: The controller has to be asked and does not answer.
        """
        settled = self._settled(record)
        if settled is not None:
            return settled
        job = self.client.jobs_named([record.uid]).get(record.uid)
        settled = self._settled(record)
        if settled is not None:
            return settled
        if job is not None:
            verdict = "pending" if job.state in _WAITING else ENDED.get(job.state, "running")
            # Its exit record may still become visible.
            return "running" if job.state == "COMPLETED" else verdict
        begun = guard.status(beside(record.path, "claim.json"))
        if begun is None:
            # One that the controller took, and knows no more, it has lost; any other may still be on its way.
            return "lost" if "number" in self._noted(record) else "pending"
        age = time.time() - begun.st_mtime
        return "running" if is_held(record.path) or age < self.settings.given.lost_grace_sec else "lost"

    def cancel(self, record: JobRecord) -> None:
        """Ask SLURM to end the job; one that nobody began cannot begin any more.

        Raises:
            EngineUnreachableError: The job runs, and the controller does not answer.
        """
        began = not ask_to_cancel(record.path)
        try:
            self.client.ask(["scancel", "--quiet", f"--name={record.uid}"])
        except EngineUnreachableError:
            if began and self._settled(record) is None:
                raise
        self._looks.pop(record.uid, None)

    # -- what is known -------------------------------------------------------------------------------------------

    def _settled(self, record: JobRecord) -> JobState | None:
        """How the job ended, by the disk alone; None while that says nothing."""
        asked = guard.exists(beside(record.path, "cancel"))
        ended = read_exit(record)
        if ended is not None:
            state = ended_state(record)
            # A signal from the cluster is its time limit or somebody's scancel: only the controller can tell.
            return self._why_signalled(record) if state == "failed" and ended.error else state
        claimed = read_process(beside(record.path, "claim.json"))
        if claimed is not None and claimed[0] == 0:
            return "canceled" if asked else "lost"
        verdict: JobState | None = self._noted(record).get("ended")
        if verdict is None and not guard.exists(record.path):
            return "lost"
        return verdict

    def _why_signalled(self, record: JobRecord) -> JobState:
        noted: JobState | None = self._noted(record).get("ended")
        if noted is not None:
            return noted
        try:
            job = self.client.jobs_named([record.uid]).get(record.uid)
        except BankError:
            return "failed"
        if job is not None and job.state not in ENDED:
            # It is still being cleaned up; what ended it is said afterwards.
            return "running"
        verdict: JobState = "canceled" if job is not None and job.state == "CANCELLED" else "failed"
        self._note(record, ended=verdict, said=None if job is None else job.state)
        return verdict

    def _unknown(self, record: JobRecord) -> JobState:
        """The controller answers and does not know the job."""
        settled = self._settled(record)
        if settled is not None:
            return settled
        if not guard.exists(beside(record.path, "claim.json")):
            if "number" not in self._noted(record) and record.age_sec < self.settings.given.lost_grace_sec:
                return "pending"
            if claim_for_nobody(record.path):
                return self._settled(record) or "lost"
        if is_held(record.path) or not self._patience_over(record):
            return "running"
        return self._verdict(record, "lost", "unknown to the controller")

    def _over(self, record: JobRecord, verdict: JobState, job: QueuedJob) -> JobState:
        """The controller says that the job has ended, and there is no exit record: it may still become visible."""
        settled = self._settled(record)
        if settled is not None:
            return settled
        # On a full disk nothing can be noted, and the controller's word stands as long as it remembers the job.
        if job.state == "CANCELLED":
            with contextlib.suppress(OSError):
                if claim_for_nobody(record.path):
                    return self._verdict(record, "canceled", job.state)
        if job.state == "COMPLETED" and not self._patience_over(record):
            return "running"
        with contextlib.suppress(OSError):
            claim_for_nobody(record.path)
        return self._verdict(record, verdict, f"{job.state} {job.reason}".strip())

    def _verdict(self, record: JobRecord, verdict: JobState, said: str) -> JobState:
        settled = read_exit(record)
        if settled is not None:
            return self._settled(record) or verdict
        if guard.exists(beside(record.path, "cancel")) and verdict != "lost":
            verdict = "canceled"
        with contextlib.suppress(OSError):
            self._note(record, ended=verdict, said=said)
        return verdict

    def _patience_over(self, record: JobRecord) -> bool:
        since = self._unknown_since.setdefault(record.uid, self._monotonic())
        return self._monotonic() - since >= self.settings.given.lost_grace_sec

    def _look(self, record: JobRecord) -> QueuedJob | None:
        """The job as the controller knows it; asked seldom while it runs long, and at once when it is not known."""
        last = self._looks.get(record.uid)
        if last is not None and last.job is not None and self._monotonic() - last.at < last.pause:
            return last.job
        job = self.client.jobs_named([record.uid]).get(record.uid)
        pause = _LOOK_FIRST_SEC if last is None else min(_LOOK_MOST_SEC, last.pause * 1.5)
        self._looks[record.uid] = _Look(job, self._monotonic(), pause)
        return job

    def _last_known(self, record: JobRecord) -> JobState:
        return "running" if guard.exists(beside(record.path, "claim.json")) else "pending"

    def _arrived(self, record: JobRecord) -> bool:
        """Whether a job whose submission failed is known to the controller all the same."""
        try:
            job = self.client.jobs_named([record.uid]).get(record.uid)
        except BankError:
            return False
        if job is not None:
            self._note(record, number=job.number)
        return job is not None

    def _noted(self, record: JobRecord) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(guard.read_text(_note_path(record)))
        except (FileNotFoundError, ValueError):
            return {}
        return found

    def _note(self, record: JobRecord, **more: str | None) -> None:
        if guard.exists(record.path):
            fsio.write_json(_note_path(record), {**self._noted(record), **more})


def _note_path(record: JobRecord) -> Path:
    return beside(record.path, "slurm.json")


def _containers(config: Work) -> ContainerSettings:
    """What every container platform shares, with SLURM's own image and GPUs."""
    shared = replace(settings_of(config), gpus="all" if config.slurm.gpus != 0 else "none")
    return replace(shared, own_image=reference_of(config.slurm.image)) if config.slurm.image else shared
