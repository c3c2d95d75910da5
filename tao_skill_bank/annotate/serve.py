"""A vision-language model of one's own: an OpenAI-compatible server (vLLM) in a container on this machine's GPU.

The plan is the very command line that `start` runs, so that it can be run by hand where this machine has no GPU. The
server listens on loopback only; its container is known by its name and a label.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from tao_skill_bank.annotate.config import SECTION
from tao_skill_bank.bank.versions import resolve_image
from tao_skill_bank.core.errors import BankError, InputError

IMAGE_KEY = "images.inference.vllm"
LABEL = "org.tao-skill-bank.serve-vlm"
_MODEL = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,60}", re.ASCII)
_POLL_SEC = 2.0
_HEALTH_TIMEOUT_SEC = 3.0
State = Literal["absent", "starting", "healthy", "exited"]


class ServicePlan(BaseModel):
    """What `start` runs.

    Attributes:
        argv: The command line; credentials go by name only.
        base_url, model_name: For `vlm.openai`.
        overrides: The same as arguments of an annotation run.
        missing: What this machine lacks; empty where `start` can run.
    """

    name: str
    image: str
    argv: list[str]
    base_url: str
    model_name: str
    overrides: list[str]
    missing: list[str]


class ServiceView(BaseModel):
    """A service at a glance."""

    name: str
    state: State
    base_url: str | None
    model_name: str | None
    next_step: str


class ServiceError(BankError):
    """The container engine refused, or the server ended before it was healthy."""

    exit_code = 1


def plan_service(
    model: str, *, port: int = 8000, gpus: str = "all", name: str | None = None, max_model_len: int | None = None
) -> ServicePlan:
    """Plan a server for a model of the Hugging Face hub. Starts nothing.

    Raises:
        InputError: A model, port, name or GPU list that cannot be.
    """
    if not _MODEL.fullmatch(model):
        raise InputError(f"not a model name: {model!r}", where="--model", fix="write ORGANISATION/NAME")
    if not 1 <= port <= 65535:
        raise InputError(f"not a port: {port}", where="--port", fix="give a number from 1024 to 65535")
    if not re.fullmatch(r"all|\d+(,\d+)*", gpus):
        raise InputError(f"not a list of GPUs: {gpus!r}", where="--gpus", fix="write all, or numbers such as 0,1")
    name = name or "serve-vlm-" + re.sub(r"[^a-z0-9.]+", "-", model.split("/")[-1].lower()).strip("-")
    if not _NAME.fullmatch(name):
        raise InputError(f"not a container name: {name!r}", where="--name", fix="use lower-case letters and hyphens")
    image = resolve_image(IMAGE_KEY)
    cache = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    count = 1 if gpus == "all" else gpus.count(",") + 1
    argv = ["docker", "run", "--detach", "--name", name, "--label", f"{LABEL}={port} {model}"]
    argv += ["--gpus", "all" if gpus == "all" else f'"device={gpus}"', "--shm-size", "16g"]
    argv += ["--publish", f"127.0.0.1:{port}:8000", "--volume", f"{cache}:/root/.cache/huggingface"]
    argv += ["--env", "HF_TOKEN", image, "--model", model, "--served-model-name", model]
    argv += ["--tensor-parallel-size", str(count)] if count > 1 else []
    argv += ["--max-model-len", str(max_model_len)] if max_model_len else []
    base_url = f"http://127.0.0.1:{port}/v1"
    overrides = [f"{SECTION}.vlm.backend=openai", f"{SECTION}.vlm.openai.base_url='{base_url}'"]
    overrides.append(f"{SECTION}.vlm.openai.model_name='{model}'")
    return ServicePlan(
        name=name,
        image=image,
        argv=argv,
        base_url=base_url,
        model_name=model,
        overrides=overrides,
        missing=_missing(),
    )


def start_service(plan: ServicePlan, *, wait_sec: float = 900.0) -> ServiceView:
    """Start the server and wait until it answers, at most `wait_sec` (0: do not wait).

    Raises:
        InputError: The machine lacks something.
        ServiceError: The engine refused, or the server ended.
    """
    if plan.missing:
        raise InputError(
            f"cannot start here: {', '.join(plan.missing)}",
            where=plan.name,
            fix=f"run the planned command line on a machine that has it: tao-skills serve-vlm plan {plan.model_name}",
        )
    cache = plan.argv[plan.argv.index("--volume") + 1].split(":")[0]
    Path(cache).mkdir(parents=True, exist_ok=True)
    done = _docker(plan.argv)
    if done.returncode != 0:
        raise ServiceError(_last_line(done.stderr) or "docker run failed", where=plan.name, fix="see serve-vlm status")
    end = time.monotonic() + wait_sec
    view = service_status(plan.name)
    while view.state == "starting" and time.monotonic() < end:
        time.sleep(_POLL_SEC)
        view = service_status(plan.name)
    if view.state in ("exited", "absent"):
        raise ServiceError("the server ended before it was healthy", where=plan.name, fix=f"docker logs {plan.name}")
    return view


def service_status(name: str) -> ServiceView:
    """Whether a service is there, runs and answers.

    Raises:
        InputError: The name belongs to another container.
        ServiceError: The engine does not answer.
    """
    done = _docker(["docker", "container", "inspect", name])
    if done.returncode != 0:
        if "no such container" not in done.stderr.lower():
            # An engine that does not answer says nothing of a container.
            said = _last_line(done.stderr) or "docker does not answer"
            raise ServiceError(said, where=name, fix="see that the Docker engine runs")
        return ServiceView(
            name=name, state="absent", base_url=None, model_name=None, next_step="tao-skills serve-vlm start MODEL"
        )
    found = json.loads(done.stdout)[0]
    label = (found.get("Config", {}).get("Labels") or {}).get(LABEL)
    port, _, model = (label or "").partition(" ")
    if not re.fullmatch(r"\d{1,5}", port, re.ASCII):
        raise InputError("is a container of somebody else", where=name, fix="give another --name")
    base_url = f"http://127.0.0.1:{port}/v1"
    if not found.get("State", {}).get("Running"):
        step = f"docker logs {name}; then tao-skills serve-vlm stop {name}"
        return ServiceView(name=name, state="exited", base_url=base_url, model_name=model, next_step=step)
    healthy = _answers(int(port))
    return ServiceView(
        name=name,
        state="healthy" if healthy else "starting",
        base_url=base_url,
        model_name=model,
        next_step="annotate with it" if healthy else "ask again: loading a model takes minutes",
    )


def stop_service(name: str) -> bool:
    """Stop and remove a service; False if there is none.

    Raises:
        InputError: The name belongs to another container.
        ServiceError: The engine refused.
    """
    if service_status(name).state == "absent":
        return False
    for words in (["docker", "stop", name], ["docker", "rm", name]):
        done = _docker(words)
        if done.returncode != 0:
            raise ServiceError(_last_line(done.stderr) or "docker refused", where=name, fix="see docker ps -a")
    return True


def _missing() -> list[str]:
    missing = [] if shutil.which("docker") else ["no docker command"]
    smi = shutil.which("nvidia-smi")
    listed = subprocess.run([smi, "-L"], capture_output=True, text=True, check=False).stdout if smi else ""
    return missing if "GPU 0" in listed else [*missing, "no NVIDIA GPU"]


def _docker(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(list(words), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise InputError("no docker command", where="PATH", fix="install Docker Engine") from None


def _answers(port: int) -> bool:
    """Whether the server on this machine answers by itself: no proxy is asked, no redirect followed."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=_HEALTH_TIMEOUT_SEC)) as asked:
        try:
            asked.request("GET", "/v1/models")
            return asked.getresponse().status == 200
        except (OSError, http.client.HTTPException, OverflowError):
            return False


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
