"""The Docker engine: found, asked, and its refusals as one line each. The SDK is imported when an engine is needed."""

from __future__ import annotations

import contextlib
import os
import socket
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tao_skill_bank.core.errors import BankError, EngineUnreachableError, InputError
from tao_skill_bank.core.redaction import redact
from tao_skill_bank.platforms.container import JOB_LABEL, RUN_LABEL, Bind, ContainerPlan

TIMEOUT_SEC = 60
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class EngineError(BankError):
    """The engine refused."""

    exit_code = 1


@dataclass(frozen=True)
class ImageFacts:
    """An image that is on the engine.

    Attributes:
        id: `sha256:…` of its configuration.
        architecture: `amd64`, `arm64`, …
        digests: `sha256:…` by which registries know it.
        size: Bytes.
    """

    id: str
    architecture: str
    entrypoint: tuple[str, ...]
    digests: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class EngineFacts:
    """The engine itself.

    Attributes:
        architecture: Of its machine, as images name it.
        rootless: Whether root inside is an ordinary user outside.
        gpus: Whether it knows NVIDIA's runtime or devices.
        memory: Bytes of its machine, None where it does not tell.
        host: The name of its machine, None where it does not tell.
    """

    version: str
    architecture: str
    rootless: bool
    gpus: bool
    memory: int | None = None
    host: str | None = None


class Engine:
    """One Docker engine.

    Args:
        host: Its address; None for DOCKER_HOST, else the current context's, else this machine's.
    """

    def __init__(self, host: str | None = None) -> None:
        self.host = host or os.environ.get("DOCKER_HOST") or None
        self._images: dict[str, ImageFacts] = {}

    @property
    def shown(self) -> str:
        """Its address, for messages: without the password that may stand in it."""
        return redact(self.host) if self.host else "this machine's Docker engine"

    @property
    def local(self) -> bool:
        """Whether it runs on this machine."""
        return self.host is None or self.host.startswith(("unix://", "npipe://"))

    @cached_property
    def address(self) -> str:
        """Where it is asked: as named, else the current context's, else the usual place."""
        from docker.constants import DEFAULT_UNIX_SOCKET
        from docker.context import ContextAPI

        found = self.host
        if found is None:
            with contextlib.suppress(Exception):
                # A broken context file is no reason to miss the engine at its usual place.
                context = ContextAPI.get_current_context()
                found = None if context is None else context.Host
        return (found or DEFAULT_UNIX_SOCKET).replace("http+unix://", "unix://")

    @cached_property
    def api(self) -> Any:
        """The SDK's client, connected.

        Raises:
            EngineUnreachableError: Nobody answers.
        """
        from docker import APIClient
        from docker.errors import DockerException

        host = self.address
        remote = host.startswith("ssh://")
        try:
            self._knock()
            client = APIClient(
                base_url=host, version="auto", timeout=TIMEOUT_SEC, use_ssh_client=remote, tls=self._tls()
            )
        except (DockerException, OSError) as error:
            raise self._unreachable(error) from None
        weakref.finalize(self, client.close)
        return client

    @cached_property
    def facts(self) -> EngineFacts:
        """What the engine says of itself."""
        with self.errors("info"):
            info = self.api.info()
        security = " ".join(info.get("SecurityOptions") or ())
        runtimes = info.get("Runtimes") or {}
        devices = " ".join(str(d) for d in info.get("DiscoveredDevices") or ())
        return EngineFacts(
            version=str(info.get("ServerVersion", "")),
            architecture=_architecture(str(info.get("Architecture", ""))),
            rootless="rootless" in security,
            gpus="nvidia" in runtimes
            or "nvidia" in devices
            or any("cdi" in str(d) for d in info.get("CDISpecDirs", ())),
            memory=int(info["MemTotal"]) if info.get("MemTotal") else None,
            host=str(info["Name"]) if info.get("Name") else None,
        )

    def image(self, reference: str) -> ImageFacts | None:
        """An image, None where the engine does not have it."""
        from docker.errors import NotFound

        if reference in self._images:
            return self._images[reference]
        try:
            with self.errors(reference, looking=True):
                found = self.api.inspect_image(reference)
        except NotFound:
            return None
        config = found.get("Config") or {}
        facts = ImageFacts(
            id=found["Id"],
            architecture=_architecture(found.get("Architecture", "")),
            entrypoint=tuple(config.get("Entrypoint") or ()),
            digests=tuple(d.partition("@")[2] for d in found.get("RepoDigests") or ()),
            size=int(found.get("Size") or 0),
        )
        self._images[reference] = facts
        return facts

    def container(self, uid: str) -> dict[str, Any] | None:
        """The container of a job, None where the engine does not know it.

        Raises:
            EngineError: A container of that name belongs to somebody else.
        """
        from docker.errors import NotFound

        try:
            with self.errors(uid, looking=True):
                found: dict[str, Any] = self.api.inspect_container(uid)
        except NotFound:
            return None
        if (found.get("Config", {}).get("Labels") or {}).get(JOB_LABEL) != uid:
            raise EngineError("a container of this name is not this job's", where=uid, fix="remove or rename it")
        return found

    def create(self, plan: ContainerPlan) -> str:
        """Make the container of a plan; returns its id."""
        from docker.types import DeviceRequest, LogConfig, Mount, Ulimit

        host: dict[str, Any] = {
            "mounts": [Mount(b.target, b.source, type="bind", read_only=b.read_only) for b in plan.binds],
            # The job's own output goes to its log file; what the engine keeps is the wrapper's few lines.
            "log_config": LogConfig(type="json-file", config={"max-size": "1m", "max-file": "1"}),
        }
        if plan.network is not None:
            host["network_mode"] = plan.network
        if plan.gpus is not None:
            ids = {"count": -1} if plan.gpus == "all" else {"device_ids": plan.gpus.split(",")}
            host["device_requests"] = [DeviceRequest(capabilities=[["gpu"]], **ids)]
        if plan.memory is not None:
            host["shm_size"] = plan.memory.shm_size
            host["ulimits"] = [Ulimit(name=n, soft=limit, hard=limit) for n, limit in plan.memory.ulimits.items()]
        with self.errors(plan.image):
            made = self.api.create_container(
                image=plan.image,
                name=plan.name,
                command=plan.arguments,
                entrypoint=["/bin/sh"],
                user=plan.user,
                working_dir=plan.workdir,
                environment=dict(plan.env),
                labels=dict(plan.labels),
                stdin_open=bool(plan.secrets),
                host_config=self.api.create_host_config(**host),
            )
        return str(made["Id"])

    def start(self, container: str, lines: list[str]) -> None:
        """Start a container; `lines` go to its standard input, which is closed behind them."""
        with self.errors(container):
            stream = self.api.attach_socket(container, params={"stdin": 1, "stream": 1}) if lines else None
            try:
                self.api.start(container)
                if stream is not None:
                    _send(stream, "".join(f"{line}\n" for line in lines).encode())
            finally:
                if stream is not None:
                    _hang_up(stream)

    def stop(self, container: str, grace_sec: int) -> None:
        """Ask a container to end; after `grace_sec` it is killed."""
        from docker.errors import NotFound

        with contextlib.suppress(NotFound), self.errors(container):
            self.api.stop(container, timeout=grace_sec)

    def remove(self, container: str) -> None:
        """Remove a container, whatever it does."""
        from docker.errors import APIError, NotFound

        # A removal that is under way is refused, and is as good.
        with contextlib.suppress(NotFound), self.errors(container):
            try:
                self.api.remove_container(container, force=True, v=True)
            except NotFound:
                raise
            except APIError as error:
                if error.status_code != 409:
                    raise

    def try_out(
        self, name: str, image: str, arguments: Sequence[str], binds: Sequence[Bind], user: str
    ) -> tuple[int, str]:
        """Run `/bin/sh -c ARGUMENTS…` in a container without network, and remove it; (exit status, output)."""
        from docker.types import Mount

        mounts = [Mount(b.target, b.source, type="bind", read_only=b.read_only) for b in binds]
        with self.errors(name):
            self.api.create_container(
                image=image,
                name=name,
                command=["-c", *arguments],
                entrypoint=["/bin/sh"],
                user=user,
                host_config=self.api.create_host_config(mounts=mounts, network_mode="none"),
            )
            try:
                self.api.start(name)
                code = int(self.api.wait(name, timeout=TIMEOUT_SEC)["StatusCode"])
                return code, self.api.logs(name).decode("utf-8", "replace").strip()
            finally:
                self.remove(name)

    def of_run(self, results_dir: str) -> list[tuple[str, str]]:
        """(uid, state) of every container of a run."""
        with self.errors(results_dir, looking=True):
            found = self.api.containers(all=True, filters={"label": f"{RUN_LABEL}={results_dir}"})
        return [(c["Labels"].get(JOB_LABEL, ""), c["State"]) for c in found]

    @contextlib.contextmanager
    def errors(self, what: str, *, looking: bool = False) -> Iterator[None]:
        """The SDK's errors as ours; `NotFound` and refusals of a request (`APIError`) keep their type.

        An engine that is about to end answers a look (`looking`) with an error of its own: it has said nothing.
        """
        from docker.errors import APIError, DockerException
        from requests.exceptions import RequestException

        try:
            self._knock()
            yield
        except APIError as error:
            if looking and error.is_server_error():
                raise self._unreachable(error) from None
            raise
        except (DockerException, RequestException, OSError) as error:
            raise self._unreachable(error) from None

    def _knock(self) -> None:
        """Meet a socket that is not there, or nobody listens on, before the SDK does: it says so in one word."""
        path = self.address.removeprefix("unix://")
        if path != self.address:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
                knock.settimeout(TIMEOUT_SEC)
                knock.connect(path)

    def _unreachable(self, error: Exception) -> EngineUnreachableError:
        reason = str(error)
        for plain in ("Permission denied", "No such file or directory", "Connection refused", "timed out"):
            if plain in reason:
                reason = plain
        fix = "add yourself to the group docker" if "Permission" in reason else "start Docker, or set DOCKER_HOST"
        return EngineUnreachableError(f"the engine does not answer: {redact(reason)[:200]}", where=self.shown, fix=fix)

    def _tls(self) -> Any:
        """The client certificates that DOCKER_TLS_VERIFY and DOCKER_CERT_PATH name, if they do."""
        if not (self.host and self.host.startswith("tcp://") and os.environ.get("DOCKER_TLS_VERIFY")):
            return None
        from docker.tls import TLSConfig

        folder = os.environ.get("DOCKER_CERT_PATH") or os.path.expanduser("~/.docker")
        pair = (os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem"))
        return TLSConfig(client_cert=pair, ca_cert=os.path.join(folder, "ca.pem"), verify=True)


def refusal(error: Exception) -> str:
    """An engine's refusal (`APIError`) in one line."""
    return str(getattr(error, "explanation", None) or error).strip().splitlines()[0]


def _architecture(name: str) -> str:
    return _ARCHITECTURES.get(name, name)


def _send(stream: Any, data: bytes) -> None:
    """Write to an attached container: a socket, or what the SDK wraps one in."""
    sender = getattr(stream, "sendall", None) or stream._sock.sendall
    sender(data)


def _hang_up(stream: Any) -> None:
    """Close an attached container's stream, so that what reads it sees its end."""
    response = getattr(stream, "_response", None)
    with contextlib.suppress(OSError):
        getattr(stream, "_sock", stream).shutdown(socket.SHUT_WR)
    (response or stream).close()


def missing_image(reference: str) -> InputError:
    """An image that is not on the engine: nothing is pulled by itself."""
    return InputError(
        "the image is not on this engine",
        where=reference,
        fix="pull it: tao-skills images pull; or rehearse with the bank's own: --set docker.image=IMAGE",
    )
