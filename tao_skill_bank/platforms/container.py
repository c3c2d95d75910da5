"""What runs in a container, planned without any engine: image, mounts, user, devices, and the `docker run` line.

- The workspace is mounted at its own path, so every path means the same inside; a path outside it and outside the
  configured mounts is refused.
- The job runs as the host's user and group, so that what it writes belongs to who started it.
- A credential is never part of a plan: only its name is.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tao_skill_bank.bank.versions import image_of_release, load_versions, resolve_image
from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.threads import SINGLE_THREAD, kernels
from tao_skill_bank.data.releases.facts import newest, package_of, release_named, runs_elsewhere
from tao_skill_bank.platforms.base import JobRecord, Platform, jobs_dir
from tao_skill_bank.platforms.memory import Memory, memory_of
from tao_skill_bank.platforms.work import Work

WRAPPER = Path(__file__).with_name("in_container.sh")
JOB_LABEL = "org.tao-skill-bank.job"
RUN_LABEL = "org.tao-skill-bank.run"
COSMOS_TRAIN = "cosmos-rl"
COSMOS_EMBED = "cosmos-embed1"
COSMOS = frozenset({COSMOS_TRAIN, "cosmos-rl-evaluate", COSMOS_EMBED})
TRAIN = frozenset({"visual_changenet"}) | COSMOS
DATA_SERVICES = frozenset({"gap_analysis", "embedding", "tmm", "auto_label"})
GENERATOR = frozenset({"prep_testcase.sh", "run_sdg.sh"})
GENERATOR_HOME = "/workspace/paidf-anomalygen"
# The hook is a file of the image's own package: found by its interpreter, and tested to be there.
_HOOKED = """\
hook=$(python3 -c 'import os, cosmos_rl; print(os.path.join(os.path.dirname(cosmos_rl.__file__), "'"$3"'"))') || exit 1
[ -f "$hook" ] || { echo "the image's cosmos_rl has no $3" >&2; exit 1; }
exec "$0" "$1" "$2" "$hook"
"""
# Hydra in the data-services image looks for this folder in the working directory.
_HYDRA_FOLDER = "experiment_specs"
HUB_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
_IMAGE_KEYS = ("images.", "releases.")
_PYT, _DATA, _DEPLOY = "pyt", "data_services", "deploy"
_TOOLKIT = "images.tao_toolkit."
# What hands a container the machine: the root, the kernel's own trees, and what engines are driven through.
_NEVER = tuple(map(Path, ("/proc", "/sys", "/dev", "/boot", "/etc", "/var/lib/docker")))
_NEVER_WHOLE = tuple(map(Path, ("/", "/run", "/var", "/var/run", "/usr", "/home", "/root")))
_MEMORY = Path("/dev/shm")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Variables of the wrapper's own shell, and words that stand for other variables than the one of that name.
_NO_VARIABLE = frozenset(
    ("job", "secrets", "child", "stopped", "started", "line", "read_so_far", "code", "IFS", "ALL", "NIL", "NONE")
)
# [HOST[:PORT]/]NAME[/NAME…][:TAG][@sha256:…], or an image's own id.
_NAME = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:(?:localhost|(?=[^/]*[.:])[A-Za-z0-9][A-Za-z0-9.-]*)(?::\d+)?/)?{_NAME}(?:/{_NAME})*(?::\w[\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?"
    r"|sha256:[0-9a-f]{64}"
)


@dataclass(frozen=True)
class Bind:
    """A host path seen inside."""

    source: str
    target: str
    read_only: bool = False

    def option(self) -> str:
        """As `--mount` takes it."""
        return f"type=bind,source={self.source},target={self.target}" + (",readonly" if self.read_only else "")


@dataclass(frozen=True)
class ContainerSettings:
    """What a run's configuration says about containers.

    Attributes:
        workspace: Mounted read-write at its own path.
        train_image, data_image, generator_image: References, resolved from `versions.yaml` where it was a key; empty
            where no image of `release` was seen.
        embed_image: What embeds videos for a run's own stages; None where none of them does.
        release: The TAO release that is asked for, None for that of the images.
        own_image: One image for every TAO line; it runs on the CPU unless `gpus` says otherwise.
        host: The engine's address; None for the environment's.
        network: The containers' network; None for the engine's default.
        mounts: Further folders, read-only.
        base_checkpoints: The generator's base models.
        gpus: `auto` (every GPU for TAO's images, none for an own image), `none`, `all`, or device numbers `0,1`.
        secrets: Names of environment variables that are passed on where they are set.
        offline: Containers get no network.
    """

    workspace: Path
    train_image: str
    data_image: str
    generator_image: str
    embed_image: str | None = None
    release: str | None = None
    own_image: str | None = None
    host: str | None = None
    network: str | None = None
    mounts: tuple[Bind, ...] = ()
    base_checkpoints: Path | None = None
    gpus: str = "auto"
    secrets: tuple[str, ...] = ("HF_TOKEN",)
    offline: bool = False

    def image_for(self, command: str, action: str = "") -> str:
        """The image that runs a TAO command; an action that only the deploy image has runs there.

        Raises:
            InputError: No image is known to have it, or none of the release that is asked for.
        """
        if command in GENERATOR:
            return self.generator_image
        if not in_an_image(command):
            known = {*TRAIN, *DATA_SERVICES, *GENERATOR, *release_named(newest()).commands}
            raise InputError(f"no image has {command!r}", where="docker", fix=did_you_mean(command, known))
        if self.own_image is not None:
            return self.own_image
        if command == COSMOS_EMBED:
            return self.embed_image or reference_of(f"{_TOOLKIT}cosmos_embed")
        if runs_elsewhere(command, action):
            return _of_release(f"{_TOOLKIT}deploy", self.release, "deploy") or image_of_release(
                str(self.release), "deploy"
            )
        data = is_data_service(command)
        image = self.data_image if data else self.train_image
        return image or image_of_release(str(self.release), _DATA if data else _PYT)

    def images(self, *, generator: bool) -> list[str]:
        """Every image a run needs, each once."""
        needed = [self.image_for("visual_changenet"), self.image_for("gap_analysis")]
        if self.embed_image is not None:
            needed.append(self.image_for(COSMOS_EMBED))
        return list(dict.fromkeys([*needed, *([self.generator_image] if generator else [])]))

    def gpus_for(self, command: str) -> str | None:
        """`all`, device numbers, or None for no GPU."""
        if self.gpus == "none":
            return None
        if self.gpus == "auto":
            return None if self.own_image is not None and command not in GENERATOR else "all"
        return self.gpus


@dataclass(frozen=True)
class ContainerPlan:
    """One job's container.

    Attributes:
        name: The job's uid.
        program: What the wrapper starts: the image's own entrypoint and the TAO command line.
        job: The job record's path without its suffix.
        gpus: As `ContainerSettings.gpus_for`.
        memory: Shared memory and limits; None for the engine's own.
        secrets: Names; the values arrive on standard input.
    """

    name: str
    image: str
    program: tuple[str, ...]
    job: str
    wrapper: str
    binds: tuple[Bind, ...]
    workdir: str
    user: str
    env: Mapping[str, str]
    labels: Mapping[str, str]
    gpus: str | None = None
    memory: Memory | None = None
    network: str | None = None
    secrets: tuple[str, ...] = field(default=())

    @property
    def arguments(self) -> list[str]:
        """What follows the image: the wrapper's arguments."""
        return [self.wrapper, self.job, str(len(self.secrets)), *self.program]

    def argv(self) -> list[str]:
        """The `docker run` line that does the same; without credentials it can be run by hand."""
        out = ["docker", "run", "--detach", "--name", self.name]
        for key, value in self.labels.items():
            out += ["--label", f"{key}={value}"]
        out += ["--user", self.user]
        for key, value in self.env.items():
            out += ["--env", f"{key}={value}"]
        for bind in self.binds:
            out += ["--mount", bind.option()]
        out += ["--workdir", self.workdir]
        if self.gpus is not None:
            out += ["--gpus", "all" if self.gpus == "all" else f'"device={self.gpus}"']
        if self.memory is not None:
            out += ["--shm-size", self.memory.shm_size]
            for name, limit in self.memory.ulimits.items():
                out += ["--ulimit", f"{name}={limit}"]
        if self.network is not None:
            out += ["--network", self.network]
        if self.secrets:
            out.append("--interactive")
        return [*out, "--entrypoint", "/bin/sh", self.image, *self.arguments]


@dataclass(frozen=True)
class Inside:
    """A job's program inside a container, the folder it runs in, and the variables it needs there."""

    program: tuple[str, ...]
    workdir: str
    env: Mapping[str, str]


def is_data_service(command: str) -> bool:
    """Whether the data-services image has a command."""
    return command in DATA_SERVICES or package_of(command) == "nvidia-tao-ds"


def needs_gpu(command: str) -> bool:
    """Whether a cluster is asked for GPUs: for every network, what embeds and the generator; tables need none."""
    return command == "embedding" or not is_data_service(command)


def in_an_image(command: str) -> bool:
    """Whether an image is known to have a command: those of a loop, the generator's, and every network of a release."""
    return command in TRAIN | DATA_SERVICES | GENERATOR or package_of(command) is not None


class ContainerPlatform(Platform):
    """A platform that runs every command line in an image."""

    settings: ContainerSettings

    def can_run(self, command: str) -> bool:
        """Whether an image is known to have it."""
        return in_an_image(command)

    def tao_own(self, command: str) -> bool:
        """Unless an image of one's own runs every line."""
        return self.settings.own_image is None or command in GENERATOR


def settings_of(config: Work) -> ContainerSettings:
    """The container settings of what is to run.

    Raises:
        InputError: An unknown image key, a mount that is not absolute or not there, a bad GPU list or variable name.
    """
    own, generator = config.docker, config.generator()
    gpus = own.gpus
    if not re.fullmatch(r"auto|none|all|\d+(,\d+)*", gpus):
        raise InputError(f"not GPUs: {gpus!r}", where="docker.gpus", fix="write auto, none, all, or numbers: '0,1'")
    secrets = tuple(own.secrets)
    check_names(secrets, "docker.secrets")
    workspace = Path(config.workspace or "/")
    base = generator.base_checkpoints
    if config.workspace:
        _refuse_machine(str(workspace), "the workspace")
    return ContainerSettings(
        workspace=workspace,
        train_image=_of_release(config.train_container, config.release, _PYT),
        data_image=_of_release(config.data_services_container, config.release, _DATA),
        embed_image=None if (embeds := config.embeds_with()) is None else reference_of(embeds),
        release=config.release,
        generator_image=reference_of(generator.image),
        own_image=None if own.image is None else reference_of(own.image),
        host=own.host,
        network=own.network,
        mounts=tuple(_mount(text) for text in own.mounts),
        base_checkpoints=Path(base) if base else workspace / "augmentation" / "anomalygen" / "base_checkpoints",
        gpus=gpus,
        secrets=secrets,
        offline=config.offline,
    )


def plan_container(
    settings: ContainerSettings,
    record: JobRecord,
    *,
    entrypoint: Sequence[str] = (),
    user: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> ContainerPlan:
    """The container of a job. Touches nothing.

    Args:
        settings: The run's container settings.
        record: The job.
        entrypoint: The image's own entrypoint; it goes before the command line, as `docker run IMAGE …` would.
        user: `uid:gid` inside; default: this process's.
        environment: Where credentials are looked for by name; default: this process's.

    Raises:
        InputError: A path of the job lies outside the workspace and the mounts.
    """
    environment = os.environ if environment is None else environment
    command = record.command[0]
    gpus = settings.gpus_for(command)
    binds = [Bind(str(settings.workspace), str(settings.workspace)), *settings.mounts]
    env = {"HOME": "/tmp", "USER": user_name()}
    secrets = [name for name in settings.secrets if environment.get(name)]
    if gpus is None:
        env |= SINGLE_THREAD | kernels(environment)
    line = inside(record, entrypoint)
    env |= line.env
    if command in GENERATOR and (base := settings.base_checkpoints) is not None:
        # Filled by the container on first use; from then on nothing may change it.
        filled = base.is_dir() and any(base.iterdir())
        binds.append(Bind(str(base), f"{GENERATOR_HOME}/checkpoints", read_only=filled))
    if settings.offline:
        env |= HUB_OFFLINE
    _refuse_outside(record, line.workdir, binds)
    jobs = jobs_dir(Path(record.results_dir))
    return ContainerPlan(
        name=record.uid,
        image=settings.image_for(command, record.command[1] if len(record.command) > 1 else ""),
        program=line.program,
        job=str(jobs / record.uid),
        wrapper=str(jobs / WRAPPER.name),
        binds=tuple(binds),
        workdir=line.workdir,
        user=user or f"{os.getuid()}:{os.getgid()}",
        env=env,
        labels={JOB_LABEL: record.uid, RUN_LABEL: record.results_dir},
        gpus=gpus,
        memory=None if gpus is None and settings.own_image is not None else memory_of(command),
        network="none" if settings.offline else settings.network,
        secrets=tuple(secrets),
    )


def inside(record: JobRecord, entrypoint: Sequence[str] = ()) -> Inside:
    """What runs inside a container for a job's command line, whatever starts the container. Touches nothing."""
    command = record.command[0]
    program, workdir = [*entrypoint, *record.command], record.cwd
    env: dict[str, str] = {}
    if command in GENERATOR:
        env["HF_HUB_DISABLE_XET"] = "1"
        program = [*entrypoint, "/bin/sh", "-c", 'exec "${ANOMALYGEN_SCRIPTS}/$0" "$@"', *record.command]
        workdir = GENERATOR_HOME
    elif is_data_service(command):
        workdir = str(data_services_folder(record))
    elif command in COSMOS and record.outputs:
        out = Path(record.outputs[0])
        # `status.json` lies in their join.
        env = {"TAO_API_RESULTS_DIR": str(out.parent), "TAO_API_JOB_ID": out.name, "WANDB_MODE": "disabled"}
        if command == COSMOS_TRAIN:
            program = [*entrypoint, "/bin/sh", "-c", _HOOKED, *record.command]
        elif command == COSMOS_EMBED:
            # The image's own protobuf is one that its model's loader refuses.
            line = f'python -m pip install "protobuf<7" && {shlex.join(record.command)}'
            program = [*entrypoint, "bash", "-lc", line]
    return Inside(tuple(program), workdir, env)


def data_services_folder(record: JobRecord) -> Path:
    """The working folder of data-services lines: one of the run's own, not the user's workspace."""
    return jobs_dir(Path(record.results_dir)) / "cwd"


def folders_of(record: JobRecord) -> list[Path]:
    """Folders that must be there before the container is made: an engine would make a missing one as root."""
    outputs = [Path(p) for p in record.outputs]
    found = [jobs_dir(Path(record.results_dir)), *(p.parent if p.suffix else p for p in outputs)]
    if is_data_service(record.command[0]):
        found.append(data_services_folder(record) / _HYDRA_FOLDER)
    return found


def user_name() -> str:
    """The host's user name; a made-up one where the id has none (PyTorch asks for it)."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "user"


def paths_in(command: Sequence[str]) -> list[str]:
    """The absolute paths a command line names: as an argument, or as the value of `key=…`."""
    found = []
    for token in command:
        head, equals, tail = token.partition("=")
        value = tail if equals and not head.startswith("/") else token
        value = value.strip("'\"")
        if value.startswith("/"):
            found.append(value)
    return found


def _refuse_outside(record: JobRecord, workdir: str, binds: Sequence[Bind]) -> None:
    """Every path of a job must mean the same inside: below a mount that keeps its path, also behind links."""
    same = [Path(b.source) for b in binds if b.source == b.target]
    writable = [Path(b.source) for b in binds if b.source == b.target and not b.read_only]
    own = [] if workdir == GENERATOR_HOME else [workdir]
    for text in [*paths_in(record.command), *record.outputs, record.results_dir, *own]:
        path = Path(os.path.normpath(text))
        roots = writable if text in record.outputs or text == record.results_dir else same
        for place in (path, Path(os.path.realpath(path))):
            if not any(root == place or root in place.parents for root in roots):
                behind = "" if place == path else f" (a link to {place})"
                raise InputError(
                    f"lies outside the workspace and the container's mounts{behind}",
                    where=text,
                    fix="move it into the workspace, or --set docker.mounts=[FOLDER]",
                )


def _of_release(text: str, release: str | None, name: str) -> str:
    """The image a setting names; left at its default, that of the release asked for, empty where none was seen."""
    default = f"{_TOOLKIT}{name}"
    if text != default or not release:
        return reference_of(text)
    seen = load_versions().by_release().get(release_named(release, "--set release").version, {})
    return resolve_image(seen[name]) if name in seen else ""


def reference_of(text: str) -> str:
    """An image reference; a key of `versions.yaml` is looked up.

    Raises:
        InputError: An unknown key, or an empty reference.
    """
    if not text.strip():
        raise InputError("no image is named", where="image", fix="name one, or leave the setting away")
    return resolve_image(text) if text.startswith(_IMAGE_KEYS) else text


def check_images(settings: ContainerSettings) -> None:
    """Every image is named as engines and clusters name images.

    Raises:
        InputError: One is not.
    """
    for text in settings.images(generator=True):
        if not _IMAGE.fullmatch(text):
            raise InputError(
                f"not an image's name: {text!r}", where="image", fix="write registry/name:tag, small letters"
            )


def check_names(names: Sequence[str], where: str) -> None:
    """What is handed over by name is named, and its value stands nowhere.

    Raises:
        InputError: Something that is no variable's name; a value behind `=` is not repeated.
    """
    for name in names:
        if not _VARIABLE.fullmatch(name) or name in _NO_VARIABLE:
            shown = name.partition("=")[0]
            raise InputError(f"{shown!r} is no variable's name", where=where, fix="give names, never values")


def _mount(text: str) -> Bind:
    """`/folder` or `/folder:/inside`, read-only; `:ro` behind it says the same."""
    source, _, target = text.removesuffix(":ro").partition(":")
    bind = Bind(os.path.normpath(source), os.path.normpath(target or source), read_only=True)
    if not (source.startswith("/") and bind.target.startswith("/")) or "," in text or ":" in target:
        raise InputError(
            "not an absolute folder", where=f"docker.mounts {text}", fix="write /folder or /folder:/inside"
        )
    if not Path(bind.source).exists():
        raise InputError("is not there", where=f"docker.mounts {text}", fix="name a folder that exists")
    _refuse_machine(bind.source, f"docker.mounts {text}")
    return bind


def _is_a_persons_own(path: Path) -> bool:
    """Keys, settings and histories lie in the hidden folders of a home; caches and `.local` hold data, too."""
    home = Path.home()
    first = path.relative_to(home).parts[:1] if home in path.parents else ()
    return bool(first) and first[0].startswith(".") and first[0] not in (".cache", ".local")


def _refuse_machine(folder: str, where: str) -> None:
    """A container gets data, never the machine: not `/`, a system folder, a home as a whole, or a socket."""
    for path in dict.fromkeys((Path(folder), Path(os.path.realpath(folder)))):
        system = any(never in (path, *path.parents) for never in _NEVER) and _MEMORY not in path.parents
        whole = path in _NEVER_WHOLE or path == Path.home()
        if system or whole or _is_a_persons_own(path) or path.is_socket() or (path / "docker.sock").exists():
            shown = f" ({path})" if str(path) != folder else ""
            raise InputError(f"would hand the machine to a container{shown}", where=where, fix="name a folder of data")
