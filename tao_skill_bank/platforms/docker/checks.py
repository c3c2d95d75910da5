"""What can be said of a Docker engine before a run: the engine, its images, its GPUs, the workspace seen from inside.

Nothing is pulled and nothing is written; one small container looks at the workspace and is removed again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tao_skill_bank.bank.versions import load_versions
from tao_skill_bank.core.errors import BankError, EngineUnreachableError, InputError, InputErrors
from tao_skill_bank.core.overrides import leaves
from tao_skill_bank.platforms.base import PlatformCheck
from tao_skill_bank.platforms.container import GENERATOR, Bind, ContainerSettings
from tao_skill_bank.platforms.docker.engine import Engine, ImageFacts, missing_image, refusal
from tao_skill_bank.platforms.gpu_rules import check_batch, spec_batch_size
from tao_skill_bank.platforms.memory import check_engine_memory
from tao_skill_bank.platforms.work import Work

AMD64_ONLY = ("images.metropolis_sdg.paidf_anomalygen",)
"""Images that exist for one architecture only: compared before anything is downloaded."""
_REHEARSE = "run where there is one, or rehearse on the CPU: --set docker.image=IMAGE with the bank's own image"
_MEMORY_SIZES = (16, 24, 32, 40, 48, 80, 96, 141, 192)
_PROBE = """test -r "$1" || { echo "cannot read $1"; exit 1; }
test -w "$2" || { echo "cannot write to $2"; exit 1; }
shift 2
for path; do test -r "$path" || { echo "cannot read $path"; exit 1; }; done"""


@dataclass(frozen=True)
class Gpu:
    """A GPU as `nvidia-smi` names it; memory in GB as it is sold."""

    name: str
    memory_gb: int


def check_docker(
    engine: Engine, settings: ContainerSettings, config: Work, only: str | None = None
) -> list[PlatformCheck]:
    """Every check, in order; each fault is a line.

    Raises:
        EngineUnreachableError: The engine does not answer, so nothing else can be said.
        InputErrors: What is missing or does not fit.
    """
    facts = engine.facts
    rootless = ", rootless" if facts.rootless else ""
    text = f"Docker {facts.version} ({facts.architecture}{rootless}), {engine.shown}"
    out = [PlatformCheck(name="platform", status="ok", text=text)]
    faults: list[str] = []

    def check(made: Callable[[], PlatformCheck]) -> None:
        try:
            out.append(made())
        except EngineUnreachableError:
            raise
        except InputErrors as error:
            faults.extend(error.faults)
        except BankError as error:
            faults.append(error.line())

    alone = only in GENERATOR
    inline = alone or config.generator().runs
    needed = settings.images(generator=inline) if only is None else [settings.image_for(only)]
    check(lambda: _images(engine, settings, needed))
    check(lambda: _gpus(engine, settings, config))
    if settings.own_image is None:
        out.append(check_engine_memory(facts.memory))
    check(lambda: _paths(settings, config))
    check(lambda: _credentials(settings))
    base = settings.base_checkpoints
    if alone and settings.offline and base is not None and not (base.is_dir() and any(base.iterdir())):
        what = "the generator would download its base models, and the run is offline"
        faults.append(InputError(what, where=base, fix="put them there, or leave --offline away").line())
    if not faults:
        check(lambda: _inside(engine, settings, config, needed[0]))
    if faults:
        raise InputErrors(faults[0], faults)
    return out


def not_made_for(engine: Engine, reference: str) -> InputError | None:
    """Why an image does not exist for the engine's architecture, None if it does."""
    found = load_versions().resolved()
    if engine.facts.architecture == "amd64" or reference not in {found.get(key) for key in AMD64_ONLY}:
        return None
    what = f"this image is for amd64 only, and the engine's machine is {engine.facts.architecture}"
    return InputError(what, where=reference, fix="use an engine on an amd64 machine")


def image_fault(engine: Engine, reference: str) -> str | None:
    """Why an image cannot run on an engine, None if it can.

    Where an image exists for one architecture only, that is said before it is looked for.
    """
    if (error := not_made_for(engine, reference)) is not None:
        return error.line()
    image = engine.image(reference)
    if image is None:
        return missing_image(reference).line()
    return fault_of(image, reference, engine.facts.architecture)


def fault_of(image: ImageFacts, reference: str, architecture: str) -> str | None:
    """Whether an image that is there is of another architecture, or not what its pin names."""
    if image.architecture != architecture:
        what = f"the image is for {image.architecture}, and the engine's machine is {architecture}"
        return InputError(what, where=reference, fix=f"pull it for {architecture}").line()
    pinned = reference.partition("@")[2]
    if pinned and pinned not in image.digests:
        return InputError("the image is not the pinned one", where=reference, fix="tao-skills images pull").line()
    return None


def gpus_here() -> list[Gpu]:
    """This machine's NVIDIA GPUs, as `nvidia-smi` tells; none where there is no such command."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    argv = [command, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    found = []
    for line in done.stdout.splitlines() if done.returncode == 0 else ():
        name, _, mebibytes = line.rpartition(",")
        if mebibytes.strip().isdigit():
            found.append(Gpu(name.strip(), sold_as(int(mebibytes))))
    return found


def sold_as(mebibytes: int) -> int:
    """The GB a GPU is sold with: the driver's figure is a few per cent off (46,068 MiB of a 48 GB card)."""
    gigabytes = mebibytes * 1.048576 / 1000
    return next((size for size in _MEMORY_SIZES if abs(gigabytes - size) / size < 0.09), int(gigabytes))


def _images(engine: Engine, settings: ContainerSettings, needed: list[str]) -> PlatformCheck:
    faults = [fault for reference in needed if (fault := image_fault(engine, reference)) is not None]
    if faults:
        raise InputErrors(faults[0], faults)
    offline = "; the containers have no network" if settings.offline else ""
    return PlatformCheck(name="images", status="ok", text=f"on the engine: {', '.join(needed)}{offline}")


def _gpus(engine: Engine, settings: ContainerSettings, config: Work) -> PlatformCheck:
    wanted = settings.gpus_for("visual_changenet")
    if wanted is None:
        return PlatformCheck(name="GPU", status="skip", text="the containers run on the CPU")
    if not engine.local:
        said = "it knows NVIDIA's runtime" if engine.facts.gpus else "it does not name NVIDIA's runtime"
        return PlatformCheck(name="GPU", status="warn", text=f"not looked at on another machine's engine; {said}")
    found = gpus_here()
    if not found:
        raise InputError("no NVIDIA GPU is here (nvidia-smi names none), and TAO's images need one", fix=_REHEARSE)
    count = len(found) if wanted == "all" else wanted.count(",") + 1
    if wanted != "all" and max(map(int, wanted.split(","))) >= len(found):
        raise InputError(f"there are {len(found)} GPUs", where=f"docker.gpus={wanted}", fix="name those from 0 on")
    if config.num_gpus > count:
        raise InputError(f"the plan wants {config.num_gpus} GPUs, and {count} are here", fix=f"--set num_gpus={count}")
    batch = config.batch_size or spec_batch_size(config.specs_file)
    smallest = min(found, key=lambda g: g.memory_gb)
    if batch is not None:
        check_batch(batch, smallest.memory_gb, config.specs_file)
    text = f"{count} × {smallest.name}, {smallest.memory_gb} GB, batch size {batch or 'of TAO'}"
    if not engine.facts.gpus:
        text += "; the engine does not name NVIDIA's runtime: the NVIDIA Container Toolkit may be missing"
        return PlatformCheck(name="GPU", status="warn", text=text)
    return PlatformCheck(name="GPU", status="ok", text=text)


def _paths(settings: ContainerSettings, config: Work) -> PlatformCheck:
    """Inputs must mean the same inside, also those that the spec names and those behind links."""
    roots = [settings.workspace, *(Path(b.source) for b in settings.mounts if b.source == b.target)]
    faults = []
    for key, text in [*config.inputs(), *_spec_paths(config.specs_file)]:
        if text is None or not os.path.exists(text):
            continue
        real = Path(os.path.realpath(text))
        if not any(real == root or root in real.parents for root in map(_real, roots)):
            what = f"{real} lies outside the workspace and the container's mounts"
            faults.append(InputError(what, where=key, fix=f"--set docker.mounts=[{real.parent}]").line())
    if faults:
        raise InputErrors(faults[0], faults)
    shown = ", ".join(b.source for b in settings.mounts)
    return PlatformCheck(name="mounts", status="ok", text="the workspace" + (f"; read-only: {shown}" if shown else ""))


def _credentials(settings: ContainerSettings) -> PlatformCheck:
    there = [name for name in settings.secrets if os.environ.get(name)]
    absent = [name for name in settings.secrets if name not in there]
    text = f"handed to containers, by name: {', '.join(there) or 'none'}"
    return PlatformCheck(name="secrets", status="ok", text=text + (f"; not set: {', '.join(absent)}" if absent else ""))


def _inside(engine: Engine, settings: ContainerSettings, config: Work, reference: str) -> PlatformCheck:
    """A container of the training image looks at the workspace, as the user that jobs will be."""
    from docker.errors import APIError

    workspace = str(settings.workspace)
    binds = [Bind(workspace, workspace), *settings.mounts]
    script = [_PROBE, "probe", str(config.specs_file) or workspace, workspace, *(b.target for b in settings.mounts)]
    user = "0:0" if engine.facts.rootless else f"{os.getuid()}:{os.getgid()}"
    try:
        code, said = engine.try_out(f"tao-probe-{uuid.uuid4().hex[:12]}", reference, script, binds, user)
    except APIError as error:
        raise InputError(
            f"the engine cannot run it: {refusal(error)}",
            where=reference,
            fix="the workspace must be at the same path on the engine's machine, and the image needs /bin/sh",
        ) from None
    if code != 0:
        raise InputError(
            f"a container as user {user} {said or f'ended with status {code}'}",
            where=workspace,
            fix="the workspace must be yours, and at the same path on the engine's machine",
        )
    return PlatformCheck(name="workspace inside", status="ok", text=f"readable and writable as user {user}")


def _spec_paths(specs_file: str) -> list[tuple[str, str]]:
    """(key, path) of every absolute path in the spec."""
    from tao_skill_bank.core.yamlio import read_yaml

    try:
        spec = read_yaml(Path(specs_file))
    except InputError:
        return []
    named = leaves(spec) if isinstance(spec, dict) else []
    return [(key, value) for key, value in named if isinstance(value, str) and value.startswith("/")]


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
