"""What can be said of a SLURM cluster before a run: read from `sinfo`, and one look from a node."""

from __future__ import annotations

import hashlib
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError, EngineUnreachableError, InputError, did_you_mean
from tao_skill_bank.core.text import plural
from tao_skill_bank.platforms.base import PlatformCheck
from tao_skill_bank.platforms.gpu_rules import check_batch, memory_of, spec_batch_size
from tao_skill_bank.platforms.slurm.client import SlurmClient
from tao_skill_bank.platforms.slurm.script import SlurmSettings, resource_argv
from tao_skill_bank.platforms.work import Work

_COMMANDS = ("sbatch", "squeue", "scancel", "sinfo", "srun")
_NODE_WAIT_SEC = 10
# What says where the look at a node goes. Others name programs (`--prolog`, `--task-prolog`, `--container-image`), and
# a plan that nobody has approved yet starts none.
_WHERE_ONLY = frozenset(
    {"clusters", "constraint", "exclude", "licenses", "nodelist", "prefer", "qos", "reservation", "wckey"}
)
_USELESS = ("down", "drain", "drng", "drained", "draining", "fail", "not_responding", "maint", "inval", "unk")


@dataclass(frozen=True)
class Partition:
    """A line of `sinfo`: nodes of one state. `gres` is SLURM's text, such as `gpu:a100:8(S:0-1)`."""

    name: str
    default: bool
    up: bool
    nodes: int
    state: str
    gres: str
    time_limit: str

    @property
    def usable(self) -> bool:
        """Whether its nodes can run something, now or later."""
        return self.up and not any(self.state.lower().startswith(word) for word in _USELESS)

    def gpus(self) -> tuple[int, str]:
        """(GPUs a node, their name as far as it is told)."""
        for part in self.gres.split(","):
            fields = part.partition("(")[0].split(":")
            if fields[0] == "gpu" and len(fields) > 1 and fields[-1].isdigit():
                return int(fields[-1]), fields[1] if len(fields) > 2 else ""
        return 0, ""


def partitions(client: SlurmClient) -> list[Partition]:
    """Every partition, a line for each state its nodes are in.

    Raises:
        EngineUnreachableError: The controller does not answer.
    """
    out: list[Partition] = []
    for line in client.ask(["sinfo", "--noheader", "--format=%P|%a|%D|%T|%G|%l"]).splitlines():
        name, up, nodes, state, gres, limit = [*line.strip().split("|"), *[""] * 6][:6]
        if name:
            count = int(nodes) if nodes.isdigit() else 0
            out.append(Partition(name.rstrip("*"), name.endswith("*"), up == "up", count, state, gres, limit))
    return out


def chosen(found: list[Partition], name: str | None) -> list[Partition]:
    """The lines of the partition that jobs go to, of usable nodes.

    Raises:
        InputError: There is none of that name, no default one, or it takes or runs no jobs.
    """
    names = list(dict.fromkeys(p.name for p in found))
    mine = [p for p in found if (p.name == name if name else p.default)]
    if not mine:
        what = f"no partition {name!r}" if name else "no partition is named, and the cluster has no default one"
        fix = did_you_mean(name, names) if name else f"--set slurm.partition= one of {', '.join(names)}"
        raise InputError(what, where="slurm.partition", fix=fix)
    if not any(p.up for p in mine):
        raise InputError(
            f"partition {mine[0].name} is down", where="slurm.partition", fix=f"use another of {', '.join(names)}"
        )
    usable = [p for p in mine if p.usable and p.nodes]
    if not usable:
        states = ", ".join(sorted({p.state for p in mine}))
        raise BankError(
            f"no node of partition {mine[0].name} can run anything ({states})",
            where="slurm.partition",
            fix="ask the administrators, or use another partition",
        )
    return usable


def checks(client: SlurmClient, settings: SlurmSettings, config: Work) -> list[PlatformCheck]:
    """Every check, in order.

    Raises:
        BankError: The first thing without which the run must not begin.
    """
    out = [_credentials(client), _commands(client)]
    mine = chosen(partitions(client), settings.request.partition)
    nodes = sum(p.nodes for p in mine)
    text = f"{client.where} answers; partition {mine[0].name} is up, {plural(nodes, 'node')}"
    out += [_ok("platform", text), _gpus(mine, settings, config), _container(client, settings, config)]
    return [*out, _from_a_node(client, settings, config)]


def _commands(client: SlurmClient) -> PlatformCheck:
    missing = [name for name in _COMMANDS if not client.has(name)]
    if missing:
        raise BankError(
            f"not installed: {', '.join(missing)}",
            where=client.where,
            fix="run on a login node, or name one with --set slurm.host=NAME (SLURM_HOSTNAME)",
        )
    return _ok("slurm commands", ", ".join(_COMMANDS))


def _credentials(client: SlurmClient) -> PlatformCheck:
    """Presence only, by name."""
    if client.host is None:
        return PlatformCheck(name="slurm credentials", status="skip", text="none needed on this host")
    known = [name for name in ("SSH_KEY_PATH", "SSH_AUTH_SOCK") if os.environ.get(name)]
    if client.key and not Path(client.key).is_file():
        raise BankError("SSH_KEY_PATH names no file", where=client.where, fix="name the private key's file")
    text = f"login node {client.host}; set: {', '.join(known) or 'neither SSH_KEY_PATH nor SSH_AUTH_SOCK'}"
    return PlatformCheck(name="slurm credentials", status="ok" if known else "warn", text=text)


def _gpus(mine: list[Partition], settings: SlurmSettings, config: Work) -> PlatformCheck:
    if not settings.gpus:
        return PlatformCheck(name="gpu", status="skip", text="none asked for: the bank's own CPU implementation")
    kinds = [p.gpus() for p in mine]
    most, name = max(kinds)
    if most < settings.gpus:
        has = f"{most} GPUs a node" if most else "no node with a GPU"
        raise InputError(
            f"{settings.gpus} GPUs are asked for, and partition {mine[0].name} has {has}",
            where="slurm.gpus",
            fix="use another partition, or --set slurm.gpus=N",
        )
    batch = config.batch_size or spec_batch_size(config.specs_file)
    known = [m for count, n in kinds if count >= settings.gpus and (m := memory_of(n)) is not None]
    memory = config.slurm.gpu_memory_gb or (min(known) if known else None)
    if memory is None or batch is None:
        text = f"{settings.gpus} of {most} {name or 'unnamed'} GPUs a node; their memory is not told"
        return PlatformCheck(name="gpu", status="warn", text=f"{text}: --set slurm.gpu_memory_gb=N checks the batch")
    check_batch(batch, memory, "batch_size")
    return _ok("gpu", f"{settings.gpus} of {most} {name or 'GPU'}s a node, {memory} GB, batch {batch}")


def _container(client: SlurmClient, settings: SlurmSettings, config: Work) -> PlatformCheck:
    if settings.given.container == "none":
        return _ok("container", "none: the bank's own CPU implementation; its FAR is not TAO's")
    if settings.given.container == "pyxis":
        if "--container-image" not in client.run(["srun", "--help"]).stdout:
            raise BankError(
                "Pyxis is not installed: srun has no --container-image",
                where=client.where,
                fix="--set slurm.container=oci with a bundle, or ask the administrators for Pyxis and Enroot",
            )
        inline = config.generator().runs
        images = settings.containers.images(generator=inline) if settings.containers else []
        # Enroot imports what is no file: a download.
        pulled = [image for image in images if not image.startswith("/")]
        if config.offline and pulled:
            raise InputError(
                "Pyxis would pull this image, and the run is offline",
                where=pulled[0],
                fix="import it to a file and name that: --set slurm.image=/shared/IMAGE.sqsh",
            )
        return _ok("container", f"Pyxis: {', '.join(images)}")
    bundle = f"{settings.given.bundle}/config.json"
    if client.run(["test", "-f", bundle]).returncode != 0:
        raise InputError("the OCI bundle has no config.json", where=bundle, fix="name the bundle's folder")
    return _ok("container", f"OCI bundle {settings.given.bundle}")


def _from_a_node(client: SlurmClient, settings: SlurmSettings, config: Work) -> PlatformCheck:
    """A node sees this very workspace, and may write there: asked by a job of a second that changes nothing."""
    read = (path for _, path in config.inputs() if path and guard.is_file(path))
    spec = Path(config.specs_file or next(read, os.devnull))
    script = f"test -w {shlex.quote(config.workspace)} || {{ echo workspace; exit 9; }}\n"
    if settings.given.container == "none":
        script += f"test -x {shlex.quote(settings.python)} || {{ echo python; exit 9; }}\n"
    script += f"sha256sum < {shlex.quote(str(spec))} || {{ echo spec; exit 9; }}\n"
    argv = ["srun", f"--immediate={_NODE_WAIT_SEC}", "--quiet", "--nodes=1", "--ntasks=1", "--export=NIL", "--chdir=/"]
    request = settings.request
    argv += [a for a in resource_argv(request) if not a.startswith(("--time=", "--mem=", "--cpus", "--gres"))]
    extra = [text for text in request.extra if text.removeprefix("--").partition("=")[0] in _WHERE_ONLY]
    argv += ["--time=1", *extra, "/bin/sh", "-c", script]
    name = "workspace on a node"
    try:
        done = client.run(argv, seconds=_NODE_WAIT_SEC + 20.0)
    except EngineUnreachableError:
        return PlatformCheck(name=name, status="warn", text="no node answered in time; not looked at")
    said = done.stdout.strip().splitlines()
    if done.returncode == 0 and said and said[-1].split()[0] == hashlib.sha256(guard.read_bytes(spec)).hexdigest():
        return _ok(name, "there, the same, and writable")
    if done.returncode == 0:
        raise BankError(
            "a node has another file at the spec's path", where=spec, fix="put the workspace on the shared file system"
        )
    reason = said[-1] if said else ""
    shared = "put it on a file system that login and compute nodes share at the same path"
    refused: dict[str, tuple[str, str | Path, str]] = {
        "workspace": ("a node cannot write in the workspace", config.workspace, shared),
        "python": ("a node does not have this interpreter", settings.python, "--set slurm.python=PATH on the nodes"),
        "spec": ("a node cannot read the spec", spec, "put the workspace on the shared file system"),
    }
    if reason in refused:
        what, where, fix = refused[reason]
        raise BankError(what, where=where, fix=fix)
    if any(word in done.stderr for word in ("Unable to allocate", "unable to allocate", "immediate", "Immediate")):
        return PlatformCheck(name=name, status="warn", text="no node is free; not looked at")
    raise client.failure("srun", done.stderr)


def _ok(name: str, text: str) -> PlatformCheck:
    return PlatformCheck(name=name, status="ok", text=text)
