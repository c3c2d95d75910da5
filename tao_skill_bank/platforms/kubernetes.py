"""The Kubernetes platform: each command line is one `batch/v1` Job whose container sees the workspace at its own path.

The manifests are checked against the published schema; no cluster has ever run them here. Submitting takes the official
client, the extra `kubernetes`. The record, the claim, the log and the exit record are those of the container platform:
they lie in the run folder, so the folder must be on the volume that the Jobs mount.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, Self

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import BankError, EngineUnreachableError, InputError
from tao_skill_bank.platforms.base import (
    JobRecord,
    JobState,
    PlatformCheck,
    ended_state,
    new_record,
    read_process,
    write_record,
)
from tao_skill_bank.platforms.container import (
    JOB_LABEL,
    WRAPPER,
    ContainerPlan,
    ContainerPlatform,
    check_images,
    folders_of,
    needs_gpu,
    plan_container,
    reference_of,
    settings_of,
)
from tao_skill_bank.platforms.gpu_rules import check_batch, spec_batch_size
from tao_skill_bank.platforms.kubernetes_settings import KubernetesConfig
from tao_skill_bank.platforms.machine import Machine
from tao_skill_bank.platforms.memory import TRAINER, memory_of
from tao_skill_bank.platforms.work import Work
from tao_skill_bank.platforms.worker import ask_to_cancel, beside, claim_for_nobody

SECRET_NAMES = ("HF_TOKEN", "NGC_KEY")
_LONGEST_NAME = 63
_GRACE_SEC = 15.0


class JobApi(Protocol):
    """What the platform asks of a cluster. `read` gives None for a Job that is not there."""

    def create(self, namespace: str, body: dict[str, Any]) -> None:
        """Make the Job."""

    def read(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The Job's `status`."""

    def delete(self, namespace: str, name: str) -> None:
        """Remove the Job and its pods."""


class KubernetesPlatform(ContainerPlatform):
    """Runs command lines as Jobs.

    Args:
        config: The run's configuration, of which `kubernetes` says how.
        api: The cluster; None: the official client, loaded when it is first needed.
        monotonic: The clock that the grace of a Job nobody knows is measured by.
    """

    name = "kubernetes"
    Settings = KubernetesConfig
    concurrent = True

    def __init__(
        self, config: Work, api: JobApi | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.config = config
        self.given = config.kubernetes
        self._api = api
        self._monotonic = monotonic
        self._unknown_since: dict[str, float] = {}
        shared = replace(settings_of(config), secrets=())
        self.settings = replace(shared, own_image=reference_of(self.given.image)) if self.given.image else shared
        check_images(self.settings)

    @classmethod
    def of(cls, config: Work) -> Self:
        """As `config.kubernetes` says.

        Raises:
            InputError: Both a claim and a host path, or a label that is none.
        """
        given = config.kubernetes
        if given.claim and given.host_path:
            raise InputError("both a claim and a host path", where="kubernetes.claim", fix="name one of them")
        wrong = [text for text in given.node_selector if "=" not in text]
        if wrong:
            raise InputError(f"not a label: {wrong[0]!r}", where="kubernetes.node_selector", fix="write key=value")
        return cls(config)

    @property
    def api(self) -> JobApi:
        """The cluster.

        Raises:
            InputError: The official client is not installed.
            BankError: No kubeconfig can be read.
        """
        if self._api is None:
            self._api = official_api(self.given.context)
        return self._api

    @classmethod
    def reach(cls) -> str:
        """Manifests need nothing."""
        return "manifests are written here; kubectl applies them" + ("" if shutil.which("kubectl") else " (not here)")

    @classmethod
    def remedy(cls, text: str, machine: Machine, source: str) -> str:
        """The official client is an extra of the bank."""
        return machine.pip(source) if "client" in text else ""

    def checks(self, config: Work, only: str | None = None) -> list[PlatformCheck]:
        """What the Jobs will ask for; no cluster is reached."""
        sample = self.manifest(_sample(config))
        container = sample["spec"]["template"]["spec"]["containers"][0]
        volume = "claim " + self.given.claim if self.given.claim else f"host path {self._host_path()}"
        text = f"one batch/v1 Job an action in namespace {self.given.namespace}; {volume} at {config.workspace}"
        out = [PlatformCheck(name="platform", status="warn", text=f"{text}; no test of this project runs one")]
        images = ", ".join(self.settings.images(generator=config.generator().runs))
        out.append(PlatformCheck(name="images", status="ok", text=images))
        batch = config.batch_size or spec_batch_size(config.specs_file)
        gpus = container["resources"]["limits"].get("nvidia.com/gpu", "0")
        if batch and self.given.gpu_memory_gb and gpus != "0":
            check_batch(batch, self.given.gpu_memory_gb, "batch_size")
        out.append(PlatformCheck(name="gpu", status="ok", text=f"{gpus} for a Job that trains, infers or embeds"))
        if not self.given.secret:
            text = f"none named: --set kubernetes.secret=NAME gives Jobs {', '.join(SECRET_NAMES)}"
            out.append(PlatformCheck(name="secret", status="skip", text=text))
        # Without the client, or with no cluster named, nothing could be submitted after the approval.
        _ = self.api
        return out

    def manifest(self, record: JobRecord) -> dict[str, Any]:
        """The Job of a record.

        Raises:
            InputError: A path of the job lies outside the workspace and the mounts.
        """
        plan = plan_container(self.settings, record)
        given = self.given
        labels = {"app.kubernetes.io/managed-by": "tao-skill-bank", JOB_LABEL: label_value(record.uid)}
        pod: dict[str, Any] = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": _user(plan.user),
            "containers": [self._container(plan, record.command[0])],
            "volumes": [*self._volumes(plan)],
        }
        if given.service_account:
            pod["serviceAccountName"] = given.service_account
        if given.pull_secret:
            pod["imagePullSecrets"] = [{"name": given.pull_secret}]
        if given.node_selector:
            pod["nodeSelector"] = dict(text.split("=", 1) for text in given.node_selector)
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": job_name(record.uid),
                "namespace": given.namespace,
                "labels": labels,
                "annotations": {f"{JOB_LABEL}.uid": record.uid, f"{JOB_LABEL}.run": record.results_dir},
            },
            "spec": {
                # A second pod would be a second run: what failed is looked at by a person.
                "backoffLimit": 0,
                "completions": 1,
                "parallelism": 1,
                "activeDeadlineSeconds": given.time_limit_sec,
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }

    # -- the four verbs ------------------------------------------------------------------------------------------

    def submit(self, record: JobRecord) -> JobRecord:
        """Write the record and the manifest, then make the Job.

        Raises:
            InputError: The official client is not installed; nothing was written.
            EngineUnreachableError: The cluster does not answer.
            BankError: It refuses the Job.
        """
        api = self.api
        body = self.manifest(record)
        container = body["spec"]["template"]["spec"]["containers"][0]
        secrets = [entry["name"] for entry in container["env"] if "valueFrom" in entry]
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
        argv = ["kubectl", "create", "-f", str(beside(record.path, "yaml"))]
        full = record.model_copy(
            update={"argv": argv, "image": container["image"], "mounts": mounts, "secrets": secrets}
        )
        for folder in folders_of(full):
            guard.make_folder(folder)
        fsio.write_text(full.path.with_name(WRAPPER.name), WRAPPER.read_text(encoding="utf-8"))
        write_record(full)
        fsio.write_text(beside(full.path, "yaml"), manifest_yaml(body))
        try:
            api.create(self.given.namespace, body)
        except BankError:
            # It may have arrived all the same; then it finds the claim taken.
            claim_for_nobody(full.path)
            raise
        return full

    def status(self, record: JobRecord) -> JobState:
        """The job's state now.

        Raises:
            EngineUnreachableError: The cluster is needed for the answer and does not give one.
        """
        settled = self._settled(record)
        if settled is not None:
            return settled
        found = self.api.read(self.given.namespace, job_name(record.uid))
        settled = self._settled(record)
        if settled is not None:
            return settled
        if found is not None and found.get("failed"):
            return self._given_up(record, "failed")
        if found is not None and not found.get("succeeded"):
            self._unknown_since.pop(record.uid, None)
        else:
            since = self._unknown_since.setdefault(record.uid, self._monotonic())
            if self._monotonic() - since >= _GRACE_SEC:
                return self._given_up(record, "lost")
        return "running" if guard.exists(beside(record.path, "claim.json")) else "pending"

    def cancel(self, record: JobRecord) -> None:
        """Delete the Job; one that nobody began cannot begin any more."""
        ask_to_cancel(record.path)
        self.api.delete(self.given.namespace, job_name(record.uid))

    def _settled(self, record: JobRecord) -> JobState | None:
        ended = ended_state(record)
        if ended is not None:
            return ended
        if guard.exists(beside(record.path, "cancel")):
            return "canceled"
        if guard.exists(beside(record.path, "kubernetes.json")):
            noted: JobState = json.loads(guard.read_text(beside(record.path, "kubernetes.json")))["ended"]
            return noted
        claimed = read_process(beside(record.path, "claim.json"))
        return "lost" if claimed is not None and claimed[0] == 0 else None

    def _given_up(self, record: JobRecord, state: JobState) -> JobState:
        """The Job has ended without an exit record; a pod that is only late finds the claim taken."""
        fsio.write_json(beside(record.path, "kubernetes.json"), {"ended": state})
        claim_for_nobody(record.path)
        return self._settled(record) or state

    # -- the manifest --------------------------------------------------------------------------------------------

    def _container(self, plan: ContainerPlan, command: str) -> dict[str, Any]:
        given = self.given
        gpus = given.gpus if given.gpus is not None else (0 if given.image else self.config.num_gpus)
        limits = {"cpu": given.cpus, "memory": given.memory}
        if gpus and needs_gpu(command):
            limits["nvidia.com/gpu"] = str(gpus)
        env: list[dict[str, Any]] = [{"name": name, "value": _literal(value)} for name, value in plan.env.items()]
        for name in SECRET_NAMES if given.secret else ():
            reference = {"name": given.secret, "key": name, "optional": True}
            env.append({"name": name, "valueFrom": {"secretKeyRef": reference}})
        mounts: list[dict[str, Any]] = [{"name": "shm", "mountPath": "/dev/shm"}]
        for number, bind in enumerate(plan.binds):
            if ":" in bind.target:
                raise InputError("Kubernetes mounts no path with a colon", where=bind.target, fix="rename the folder")
            mount: dict[str, Any] = {"name": f"data-{number}", "mountPath": bind.target, "readOnly": bind.read_only}
            sub = self._sub_path(bind.source)
            mounts.append({**mount, "subPath": sub} if sub else mount)
        return {
            "name": "action",
            "image": plan.image,
            **({"imagePullPolicy": "Never"} if self.settings.offline else {}),
            "command": ["/bin/sh"],
            "args": [_literal(text) for text in plan.arguments],
            "workingDir": plan.workdir,
            "env": env,
            "resources": {"limits": limits, "requests": dict(limits)},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": mounts,
        }

    def _volumes(self, plan: ContainerPlan) -> list[dict[str, Any]]:
        size = f"{(plan.memory or memory_of(TRAINER)).shm_gib}Gi"
        out: list[dict[str, Any]] = [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": size}}]
        for number, bind in enumerate(plan.binds):
            if self.given.claim:
                source: dict[str, Any] = {"persistentVolumeClaim": {"claimName": self.given.claim}}
            else:
                source = {"hostPath": {"path": self._on_host(bind.source), "type": "Directory"}}
            out.append({"name": f"data-{number}", **source})
        return out

    def _host_path(self) -> str:
        return self.given.host_path or str(self.settings.workspace)

    def _on_host(self, path: str) -> str:
        inside = self._inside(path)
        return path if inside is None else str(Path(self._host_path()) / inside)

    def _sub_path(self, path: str) -> str | None:
        """A folder within the claim.

        Raises:
            InputError: It is not below the workspace, so it is not on the claim.
        """
        if not self.given.claim:
            return None
        inside = self._inside(path)
        if inside is None:
            raise InputError(
                "is not on the claim", where=path, fix="move it into the workspace, or use kubernetes.host_path"
            )
        parts = [part for part in (self.given.sub_path or "", str(inside)) if part and part != "."]
        return "/".join(parts) or None

    def _inside(self, path: str) -> Path | None:
        try:
            return Path(path).relative_to(self.settings.workspace)
        except ValueError:
            return None


def job_name(uid: str) -> str:
    """A uid as the name of a Job: small letters, digits and `-`, at most 63; the random end of a uid is kept."""
    plain = re.sub(r"[^a-z0-9-]+", "-", uid.lower()).strip("-")
    return plain if len(plain) <= _LONGEST_NAME else f"{plain[:50].rstrip('-')}-{plain[-12:]}"


def label_value(uid: str) -> str:
    """A uid as a label: as it is where it fits, else as the Job's name."""
    return uid if len(uid) <= _LONGEST_NAME else job_name(uid)


def manifest_yaml(body: dict[str, Any]) -> str:
    """A manifest as `kubectl create -f` reads it."""
    import yaml

    return str(yaml.safe_dump(body, sort_keys=False))


def official_api(context: str | None) -> JobApi:
    """The official client, by the kubeconfig or, inside a cluster, the service account.

    Raises:
        InputError: It is not installed.
        BankError: Nothing says where the cluster is.
    """
    try:
        from kubernetes import client, config
        from kubernetes.config.config_exception import ConfigException
    except ImportError:
        raise InputError(_NO_CLIENT, where="--platform kubernetes", fix=_INSTALL) from None
    try:
        try:
            config.load_kube_config(context=context)
        except ConfigException:
            config.load_incluster_config()
    except ConfigException as error:
        raise BankError(
            f"no cluster is named: {str(error).splitlines()[0]}", where="kubeconfig", fix="set KUBECONFIG"
        ) from None
    return OfficialApi(client.BatchV1Api())


class OfficialApi:
    """`JobApi` through the official client."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def create(self, namespace: str, body: dict[str, Any]) -> None:
        """Make the Job; one of that name is there already when an earlier answer was lost."""
        self._call(lambda: self._batch.create_namespaced_job(namespace, body), fine=(409,))

    def read(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The Job's counts of pods."""
        found = self._call(lambda: self._batch.read_namespaced_job(name, namespace), fine=(404,))
        if found is None:
            return None
        status = found.status
        return {key: getattr(status, key, None) or 0 for key in ("active", "succeeded", "failed")}

    def delete(self, namespace: str, name: str) -> None:
        """Remove the Job and its pods."""
        self._call(
            lambda: self._batch.delete_namespaced_job(name, namespace, propagation_policy="Background"), fine=(404,)
        )

    def _call(self, call: Callable[[], Any], fine: tuple[int, ...]) -> Any:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return call()
        except ApiException as error:
            if error.status in fine:
                return None
            raise BankError(
                f"the cluster refuses it: {error.status} {error.reason}",
                where="kubernetes",
                fix="see what `kubectl auth can-i create jobs` says",
            ) from None
        except HTTPError as error:
            raise EngineUnreachableError(
                f"the cluster does not answer: {type(error).__name__}",
                where="kubernetes",
                fix="run again when kubectl reaches it",
            ) from None


_NO_CLIENT = "submitting needs the official client, which is not installed"
_INSTALL = "install the extra with pip install '.[kubernetes]' in the tao-skill-bank folder"


def _literal(text: str) -> str:
    """Text as a manifest's arguments and variables say it: `$(NAME)` would be replaced by a variable's value."""
    return text.replace("$(", "$$(")


def _user(user: str) -> dict[str, Any]:
    uid, _, gid = user.partition(":")
    return {"runAsUser": int(uid), "runAsGroup": int(gid), "fsGroup": int(gid)}


def _sample(config: Work) -> JobRecord:
    """A training's record, to see what its Job would ask for."""
    workspace = Path(config.workspace)
    return new_record(
        key="baseline.train.train",
        platform="kubernetes",
        command=["visual_changenet", "train", "-e", config.specs_file],
        outputs=[],
        cwd=workspace,
        results_dir=workspace / "results",
    )
