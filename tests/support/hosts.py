"""Start `copycat train` on several ranks as torchrun and srun do, on this host and on two emulated ones."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

WAIT_SECONDS = 150
PORT, RAY_PORT = 29400, 29500
RAY_FOLDER = Path(tempfile.gettempdir(), f"ray{os.getpid()}")
"""Folder of the cluster, which names it to no other test; its path is short, as those of sockets must be."""
RAY_VARIABLES = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),  # Ray refuses other hosts that have none
    "RAY_TMPDIR": str(RAY_FOLDER),
}
LINK = "veth0"
"""Name of each end of the link between two hosts."""
COMMAND = ("-m", "copycat", "train")


class Host:
    """Start commands in a network namespace with an address and a host name of its own."""

    def __init__(self, namespace: str, name: str, address: str) -> None:
        self.namespace, self.name, self.address = namespace, name, address

    def words(self, *words: str) -> list[str]:
        """Return a command that runs others on this host."""
        named = f'hostname {self.name} && exec "$@"'
        return ["ip", "netns", "exec", self.namespace, "unshare", "--uts", "sh", "-c", named, "sh", *words]

    def holds(self, process: psutil.Process) -> bool:
        """Return whether a process runs on this host."""
        with suppress(OSError):
            return os.stat(f"/proc/{process.pid}/ns/net").st_ino == os.stat(f"/run/netns/{self.namespace}").st_ino
        return False

    def switch_link(self, state: str) -> None:
        """Set this end of the link `up` or `down`."""
        _ip("-n", self.namespace, "link", "set", LINK, state)


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Make two network namespaces with a link between them; skip the test, on CI fail it, where that is impossible."""
    _require_namespaces()
    hosts = tuple(Host(f"copycat{os.getpid()}{end}", f"host{end}", f"10.87.1.{1 + end}") for end in range(2))
    with ExitStack() as made:
        for host in hosts:
            _ip("netns", "add", host.namespace)
            made.callback(_ip, "netns", "del", host.namespace)
            _ip("-n", host.namespace, "link", "set", "lo", "up")
        one, two = hosts
        other = ("peer", "name", LINK, "netns", two.namespace)
        _ip("link", "add", LINK, "netns", one.namespace, "type", "veth", *other)
        for host in hosts:
            _ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", LINK)
            host.switch_link("up")
        yield one, two


def _require_namespaces() -> None:
    missing = [] if os.geteuid() == 0 else ["root"]
    missing += [f"{name} ({package})" for name, package in PROGRAMS.items() if not shutil.which(name)]
    if not missing:
        probe = f"copycat{os.getpid()}probe"
        if subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode == 0:
            _ip("netns", "del", probe)
            return
        missing = ["the right to make network namespaces (CAP_SYS_ADMIN)"]
    line = f"expected what makes two hosts of one; missing: {', '.join(missing)}"
    if os.environ.get("CI"):
        pytest.fail(line)
    pytest.skip(line)


PROGRAMS = {"ip": "apt-get install iproute2", "unshare": "apt-get install util-linux", "hostname": "hostname"}


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=30)


class Command:
    """Run a command whose output goes to files, and end it with all its processes."""

    def __init__(self, words: Sequence[str], *, at: Path, variables: Mapping[str, str] = {}) -> None:
        at.mkdir(parents=True, exist_ok=True)
        self._out, self._err = (tempfile.TemporaryFile("w+") for _ in range(2))  # noqa: SIM115
        environment = {**os.environ, "PYTHONWARNINGS": "", **variables}
        self.process = subprocess.Popen(words, cwd=at, env=environment, stdout=self._out, stderr=self._err)

    def wait(self, timeout: float = WAIT_SECONDS) -> tuple[int, str, str]:
        """Return exit status, standard output and standard error."""
        status = self.process.wait(timeout)
        return status, *self.read()

    def read(self) -> tuple[str, str]:
        """Return what went to standard output and to standard error."""
        texts = []
        for file in (self._out, self._err):
            file.seek(0)
            texts.append(file.read())
        return texts[0], texts[1]

    def __enter__(self) -> "Command":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with suppress(psutil.Error):
                    child.kill()
        self.process.kill()
        self.process.wait(30)
        self._out.close()
        self._err.close()


def torchrun(*words: str, host: Host | None = None, number: int = 0, meet: str = "static", at: Path) -> Command:
    """Start torchrun with two ranks on this host, or with one on one of two emulated hosts, of this number.

    Hosts meet by torchrun's static or its c10d rendezvous. By c10d the agent of the second host asks the first again
    and again, and where the link is cut it waits as long as TCP does, a quarter of an hour.
    """
    program = [sys.executable, "-m", "torch.distributed.run"]
    if host is None:
        return Command([*program, "--standalone", "--nproc-per-node=2", *COMMAND, *words], at=at)
    address = f"10.87.1.1:{PORT}"
    ways = {
        "static": [f"--node-rank={number}", f"--rdzv-endpoint={address}"],
        "c10d": [f"--rdzv-endpoint={address}", "--rdzv-id=copycat", f"--rdzv-conf=is_host={1 - number}"],
    }
    where = ["--nnodes=2", "--nproc-per-node=1", f"--rdzv-backend={meet}", f"--local-addr={host.address}", *ways[meet]]
    variables = {"GLOO_SOCKET_IFNAME": LINK}
    return Command(host.words(*program, *where, *COMMAND, *words), at=at, variables=variables)


def start_ray(host: Host, number: int, *, at: Path) -> Command:
    """Start a node of a Ray cluster, of one processor, on an emulated host; the first is the head."""
    address = f"10.87.1.1:{RAY_PORT}"
    role = ["--head", f"--port={RAY_PORT}", "--include-dashboard=false"] if number == 0 else [f"--address={address}"]
    node = [f"--node-ip-address={host.address}", "--num-cpus=1", "--block", "--disable-usage-stats"]
    ray = Path(sys.executable).with_name("ray")
    return Command(host.words(str(ray), "start", *role, *node), at=at, variables=RAY_VARIABLES)


def srun(*words: str, rank: int, job: int, at: Path) -> Command:
    """Start one of two tasks as SLURM's srun does within an interactive allocation, with its variables."""
    variables = {
        "SLURM_JOB_ID": str(job),
        "SLURM_JOB_NAME": "interactive",
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NUM_NODES": "1",
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_NTASKS": "2",
        "SLURM_NNODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
    }
    return Command([sys.executable, *COMMAND, *words], at=at, variables=variables)


def wait_until(condition: Callable[[], bool], *, timeout: float = WAIT_SECONDS) -> None:
    """Wait until a condition holds; fail the test where it does not in time."""
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until, "expected something that did not come"
        time.sleep(0.05)


def wait_for_rows(folder: Path, rows: int) -> Path:
    """Return the folder of the one run below a folder, once it has so many rows."""

    def find() -> list[Path]:
        return [file.parent for file in folder.rglob("metrics.csv") if file.read_bytes().count(b"\n") > rows]

    wait_until(lambda: bool(find()))
    return find()[0]
