"""What SLURM is given: the script of a job and the command line of `sbatch`. Text only; nothing is run here.

The script is POSIX sh, because a node need not have this package: it claims the job (so that it runs once, whatever
the controller does), runs the command, and writes the exit record, each file whole and durable. No secret is in it.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.platforms.base import JobRecord
from tao_skill_bank.platforms.container import ContainerPlan, ContainerSettings, Inside
from tao_skill_bank.platforms.slurm.settings import SlurmConfig

# What decides where a job writes, what it is called and that it runs once belongs to the platform.
_OWN_LONG = frozenset(
    {
        "job-name",
        "comment",
        "output",
        "error",
        "array",
        "export",
        "export-file",
        "wrap",
        "requeue",
        "no-requeue",
        "parsable",
        "chdir",
        "open-mode",
        "input",
        "wait",
        "test-only",
        "partition",
        "account",
        "time",
        "mem",
        "cpus-per-task",
        "gres",
        "nodes",
        "ntasks",
        "clusters",
        "help",
        "version",
        "usage",
    }
)

_HEAD = """\
#!/bin/sh
# {uid}
# One action of a run, written by tao-skills. It runs once: whoever claims it first.
uid={uid_quoted}
jobs={jobs}
stem="$jobs/$uid"
"""

_BODY = """\
[ -e "$stem.json" ] || { echo "$uid was moved aside; not run" >&2; exit 0; }
now() { date -u +%Y-%m-%dT%H:%M:%S.000000Z; }
durable() { sync "$@" 2>/dev/null || sync; }
draft() {
    temp="$jobs/.$uid.$1.$$.tmp"
    printf '%s\\n' "$2" >"$temp" && durable "$temp" && return 0
    rm -f "$temp"
    return 1
}

if command -v flock >/dev/null 2>&1; then
    exec 9>>"$stem.alive" && flock -x 9
fi
claimed='{"pid": '"$$"', "identity": null, "host": "'"$(uname -n)"'", "job": "'"${SLURM_JOB_ID:-}"'", '
claimed="$claimed"'"claimed_at": "'"$(now)"'"}'
draft claim.json "$claimed" || { echo "cannot write in $jobs" >&2; exit 75; }
if ! ln "$temp" "$stem.claim.json" 2>/dev/null; then
    rm -f "$temp"
    [ -e "$stem.claim.json" ] && { echo "$uid was claimed before; not run again" >&2; exit 0; }
    echo "cannot claim $uid: no hard links in $jobs" >&2
    exit 75
fi
rm -f "$temp"
durable "$jobs"

child=
ended=
on_term() {
    ended=1
    [ -n "$child" ] && kill -TERM "$child" 2>/dev/null
}
trap on_term TERM INT
started=$(now)
code=127
"""

_TAIL = """\
if [ -n "$child" ]; then
    wait "$child"
    code=$?
    while kill -0 "$child" 2>/dev/null; do
        wait "$child"
        code=$?
    done
fi
canceled=false
error=null
if [ -n "$ended" ] && [ "$code" -eq 0 ]; then
    code=143
fi
# The command may have been signalled before this shell was.
if [ -n "$ended" ] || [ "$code" -gt 128 ]; then
    error='"ended by a signal"'
    [ -e "$stem.cancel" ] && canceled=true
fi
durable "$stem.log"
ended_at=$(now)
draft exit.json '{"exit_code": '"$code"', "started_at": "'"$started"'", "ended_at": "'"$ended_at"'", "canceled": '\
"$canceled"', "error": '"$error"'}' || { echo "cannot write the exit record in $jobs" >&2; exit 74; }
mv -f "$temp" "$stem.exit.json"
durable "$jobs"
exit "$code"
"""


@dataclass(frozen=True)
class Request:
    """What `sbatch` is asked for; None leaves it to the cluster. `pass_env` are names, never values."""

    partition: str | None = None
    account: str | None = None
    time_limit: str | None = None
    memory: str | None = None
    cpus: int | None = None
    gpus: int = 0
    pass_env: Sequence[str] = ()
    extra: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class SlurmSettings:
    """What jobs are submitted with: the settings of the group `slurm`, and what they come to here."""

    given: SlurmConfig = field(default_factory=SlurmConfig)
    request: Request = field(default_factory=Request)
    gpus: int = 0
    containers: ContainerSettings | None = None
    offline: bool = False
    python: str = sys.executable


def script_path(record: JobRecord) -> Path:
    """Where a job's script lies."""
    return record.path.with_suffix(".sh")


def job_script(record: JobRecord) -> str:
    """The script of a record whose `argv`, `env` and `cwd` are filled in."""
    head = _HEAD.format(uid=record.uid, uid_quoted=shlex.quote(record.uid), jobs=shlex.quote(str(record.path.parent)))
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in record.env.items())
    run = f"""\
if cd {shlex.quote(record.cwd)} && [ -z "$ended" ]; then
    {shlex.join(record.argv)} </dev/null &
    child=$!
fi
"""
    return head + _BODY + exports + run + _TAIL


def sbatch_argv(record: JobRecord, request: Request, tasks: int = 0) -> list[str]:
    """The command line that submits a record's script: its uid is name and comment, and it is never requeued.

    With `tasks` it is an array of so many, each with an output of its own, `<uid>.<task>.log`.
    """
    log = str(record.path.with_suffix("")).replace("%", "%%") + (".%a.log" if tasks else ".log")
    argv = ["sbatch", "--parsable", f"--job-name={record.uid}", f"--comment={record.uid}", "--no-requeue"]
    argv += [f"--output={log}", "--open-mode=append", "--input=/dev/null", f"--chdir={record.path.parent}"]
    # With names the variables of these names and SLURM's own go along, with NIL only SLURM's own.
    argv += [f"--export={','.join(record.secrets) or 'NIL'}", "--nodes=1", "--ntasks=1"]
    argv += [f"--array=0-{tasks - 1}"] if tasks else []
    return [*argv, *resource_argv(request), *request.extra, str(script_path(record))]


def resource_argv(request: Request) -> list[str]:
    """Partition, account and resources as `sbatch` and `srun` take them."""
    given = {
        "partition": request.partition,
        "account": request.account,
        "time": request.time_limit,
        "mem": request.memory,
        "cpus-per-task": request.cpus,
        "gres": f"gpu:{request.gpus}" if request.gpus else None,
    }
    return [f"--{name}={value}" for name, value in given.items() if value is not None]


def check_extra(extra: Sequence[str]) -> None:
    """Refuse arguments that would take a job's identity or output from the platform.

    Raises:
        InputError: Not a long option, or one that the platform sets.
    """
    for text in extra:
        name = text.removeprefix("--").partition("=")[0]
        if not text.startswith("--") or not name or any(c.isspace() for c in name):
            raise InputError(f"not a long option: {text!r}", where="slurm.extra", fix="write --name=value")
        # sbatch takes the beginning of a name for the whole: `--arr=0-9` is `--array=0-9`.
        own = next((own for own in sorted(_OWN_LONG) if own.startswith(name)), None)
        if own is not None:
            raise InputError(
                f"--{own} is set by the platform", where="slurm.extra", fix="use the slurm.* setting, or leave it out"
            )


def pyxis_argv(plan: ContainerPlan, names: Sequence[str]) -> list[str]:
    """The command line of a container's plan under Pyxis and Enroot; `names` are variables that go along.

    Raises:
        InputError: A mounted path that its grammar would take apart.
    """
    for path in (path for bind in plan.binds for path in (bind.source, bind.target)):
        if any(mark in path for mark in ":,"):
            raise InputError("Pyxis cannot mount a path with a colon or comma", where=path, fix="rename the folder")
    mounts = ",".join(f"{b.source}:{b.target}{':ro' if b.read_only else ''}" for b in plan.binds)
    argv = ["srun", "--nodes=1", "--ntasks=1", "--kill-on-bad-exit=1", "--export=ALL"]
    argv += [f"--container-image={enroot_image(plan.image)}", f"--container-mounts={mounts}"]
    argv += [f"--container-workdir={plan.workdir}", "--no-container-mount-home"]
    # Without this an image's own variables would win over the job's.
    kept = [*(name for name in plan.env if name not in ("HOME", "USER")), *names]
    return [*argv, *([f"--container-env={','.join(kept)}"] if kept else []), *plan.program]


def enroot_image(image: str) -> str:
    """An image reference as Enroot writes it: the registry ends with `#`; a file stays as it is."""
    first, slash, rest = image.partition("/")
    is_registry = bool(slash and first) and ("." in first or ":" in first or first == "localhost")
    return f"{first}#{rest}" if is_registry else image


def oci_argv(line: Inside, bundle: str, names: Sequence[str]) -> list[str]:
    """A job's program in a container that is an OCI bundle; what it mounts stands in the bundle's config.json.

    Args:
        line: What runs inside; SLURM starts it in the bundle's own folder.
        bundle: The folder of the bundle.
        names: Variables that go along; the batch job's own list would let none of them through.
    """
    argv = ["srun", "--nodes=1", "--ntasks=1", "--kill-on-bad-exit=1", f"--export={','.join(names) or 'NIL'}"]
    argv += [f"--container={bundle}", "/bin/sh", "-c", 'cd "$0" && exec "$@"', line.workdir, *line.program]
    return argv
