"""A real one-node SLURM in a temporary folder: its own munged, slurmctld and slurmd, ended by their process ids.

It needs root on a machine with Debian's packages `slurm-wlm` and `munge`; `why_not()` says what is missing.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ran import ran

CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0
SchedulerType=sched/backfill
SlurmdParameters=config_overrides
KillWait=2
SlurmdTimeout=6
SlurmctldTimeout=5
MessageTimeout=2
TCPTimeout=1
InactiveLimit=0
MinJobAge={min_job_age}
NodeName={host} NodeAddr=127.0.0.1 Port={d_port} CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=closed Nodes=ALL Default=NO MaxTime=INFINITE State=DOWN
"""


def why_not() -> str | None:
    """Why it cannot be started here; None if it can."""
    if os.geteuid() != 0:
        return "starting SLURM needs root"
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch", "squeue") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: apt-get install slurm-wlm munge)"
    try:
        pwd.getpwnam("munge")
    except KeyError:
        return "there is no user munge"
    return None


class SlurmCluster:
    """One controller and one node said to have four CPUs; partitions `main` (up) and `closed` (down)."""

    def __init__(self, folder: Path, min_job_age: int = 300) -> None:
        self.folder = folder
        self.host = socket.gethostname().partition(".")[0]
        self.conf = folder / "slurm.conf"
        self._min_job_age = min_job_age
        self._munged: subprocess.Popen[bytes] | None = None
        self.ctld: subprocess.Popen[bytes] | None = None
        self.node: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to find this cluster."""
        return {"SLURM_CONF": str(self.conf)}

    def start(self) -> None:
        """Start everything and wait until a job can start."""
        with contextlib.suppress(OSError):
            _name_this_host(self.host)
        ports = _free_ports(2)
        text = CONF.format(
            host=self.host, folder=self.folder, ctld_port=ports[0], d_port=ports[1], min_job_age=self._min_job_age
        )
        self.conf.write_text(text)
        for name in ("state", "spool"):
            (self.folder / name).mkdir(mode=0o755)
        self._start_munged()
        self.start_controller()
        self.start_node()
        self.until(self.is_up, "the node does not come up")

    def start_controller(self) -> None:
        """Start slurmctld, also after it was killed; what it saved is taken up."""
        self.ctld = self._daemon(["slurmctld", "-D", "-f", str(self.conf)])

    def start_node(self) -> None:
        """Start slurmd, with runc for OCI bundles."""
        runc = f"runc --root={self.folder}/runc"
        lines = {"Query": "state {}", "Kill": "kill --all {}", "Delete": "delete --force {}", "Run": "run {} -b %b"}
        said = [f'RunTime{name}="{runc} {line.format("%n.%u.%j.%s.%t")}"' for name, line in lines.items()]
        (self.folder / "oci.conf").write_text("\n".join(said) + "\n")
        self.node = self._daemon(["slurmd", "-D", "-f", str(self.conf), "-N", self.host])

    def mend(self) -> None:
        """Start again what a test has killed."""
        if self.ctld is None or self.ctld.poll() is not None:
            self.start_controller()
        if self.node is None or self.node.poll() is not None:
            self.start_node()
        self.until(lambda: self.ask("sinfo", "-h"), "the controller does not come up")
        # A controller that was killed while it started a job finds it twice afterwards, and drains the node.
        if "drain" in self.ask("sinfo", "-h", "-p", "main", "-o", "%T"):
            self.ask("scontrol", "update", f"nodename={self.host}", "state=resume")
        self.until(self.is_up, "the cluster does not come up")

    def is_up(self) -> bool:
        """Whether the node can take jobs."""
        return self.ask("sinfo", "-h", "-p", "main", "-o", "%T").strip() in ("idle", "mixed", "allocated")

    def forget_everything(self) -> None:
        """As a controller that lost its disk: it starts from nothing and gives the same numbers again."""
        self.kill_controller()
        _end(self.node, hard=True)
        for pid in self._steps():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        for name in ("state", "spool"):
            shutil.rmtree(self.folder / name)
            (self.folder / name).mkdir(mode=0o755)
        self.mend()

    def kill_controller(self) -> None:
        """`kill -9`."""
        _end(self.ctld, hard=True)

    def kill_node(self) -> None:
        """`kill -9` of slurmd and of the steps it supervises, as when a machine loses power."""
        steps = _descendants(self.node.pid) if self.node else []
        _end(self.node, hard=True)
        for pid in [*steps, *self._steps()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)

    def stop(self) -> None:
        """End what was started, and only that."""
        with contextlib.suppress(subprocess.SubprocessError):
            self.ask("scancel", "--full", "--user=root")
        for daemon in (self.node, self.ctld, self._munged):
            _end(daemon, hard=True)
        for pid in self._steps():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)

    def number_of(self, name: str) -> str:
        """The number of the job of that name."""
        return self.ask("squeue", "--noheader", "--states=all", "--format=%i", f"--name={name}").strip()

    def ask(self, *argv: str | Path) -> str:
        """What a SLURM command prints."""
        done = ran(argv, env={**os.environ, **self.environment}, timeout=60)
        return done.stdout

    def until(self, condition: object, what: str, seconds: float = 40.0) -> None:
        """Wait for something the cluster does by itself."""
        limit = time.monotonic() + seconds
        while not condition():  # type: ignore[operator]
            if time.monotonic() > limit:
                logs = "".join((self.folder / n).read_text()[-1500:] for n in ("slurmctld.log", "slurmd.log"))
                raise AssertionError(f"{what}\n{logs}")
            time.sleep(0.05)

    def _start_munged(self) -> None:
        user = pwd.getpwnam("munge")
        home = self.folder / "munge"
        home.mkdir(mode=0o755)
        key = home / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        for path in (home, key):
            os.chown(path, user.pw_uid, user.pw_gid)
        argv = ["munged", "--foreground", f"--key-file={key}", f"--socket={home}/socket", f"--pid-file={home}/pid"]
        argv += [f"--log-file={home}/log", f"--seed-file={home}/seed"]
        self._munged = subprocess.Popen(
            argv,
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        limit = time.monotonic() + 60
        while not (home / "socket").exists():
            if time.monotonic() > limit:
                raise AssertionError(f"munged does not start: {(home / 'log').read_text()}")
            time.sleep(0.02)

    def _daemon(self, argv: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _steps(self) -> list[int]:
        """Processes of this cluster that outlived slurmd: step daemons by their configuration, and what they run."""
        found = []
        mark = f"SLURM_CONF={self.conf}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    command = (entry / "cmdline").read_bytes()
                    environ = (entry / "environ").read_bytes()
                    if mark in environ and (b"slurmstepd" in command or b"SLURM_JOB_ID=" in environ):
                        found.append(int(entry.name))
        return found


@contextlib.contextmanager
def running_cluster(min_job_age: int = 300) -> Iterator[SlurmCluster]:
    """A cluster for the block."""
    # A short name: sockets allow about 100 characters, and munged wants a folder nobody else may write.
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    folder.chmod(0o755)
    cluster = SlurmCluster(folder, min_job_age)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _name_this_host(host: str) -> None:
    try:
        socket.gethostbyname(host)
    except OSError:
        with open("/etc/hosts", "a", encoding="utf-8") as hosts:
            hosts.write(f"127.0.0.1 {host}\n")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _descendants(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        children = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return [*children, *(d for c in children for d in _descendants(c))]
    return []


def _end(process: subprocess.Popen[bytes] | None, *, hard: bool) -> None:
    if process is None or process.poll() is not None:
        return
    process.kill() if hard else process.terminate()
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[SlurmCluster]:
    """One cluster for the whole session; the tests are skipped, with the reason, where it cannot be started."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def slurm(slurm_cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """The session's cluster, up, and found by SLURM's commands of this process."""
    for name in [n for n in os.environ if n.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_CONF", str(slurm_cluster.conf))
    slurm_cluster.mend()
    yield slurm_cluster
    slurm_cluster.ask("scancel", "--user=root")
