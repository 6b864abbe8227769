"""Run a PostgreSQL server for one test: Debian's, on loopback, in a temporary folder."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest


def _programs() -> Path:
    """Return the folder of initdb and pg_ctl; skip the test where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not found:
        if os.environ.get("CI"):
            pytest.fail("expected PostgreSQL: apt-get install postgresql")
        pytest.skip("install PostgreSQL: apt-get install postgresql")
    return found[-1].parent


class Postgres:
    """Manage one server: `start` and `stop` it, then `remove` its folder."""

    def __init__(self) -> None:
        self._programs = _programs()
        self._folder = Path(tempfile.mkdtemp(prefix="copycat-postgres-"))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"postgresql+psycopg://tester@127.0.0.1:{self.port}/postgres"
        if os.geteuid() == 0:  # it refuses to run as root
            shutil.chown(self._folder, "postgres")
        self._run("initdb", "-D", str(self._folder / "data"), "-U", "tester", "-A", "trust", "--no-sync")

    def _run(self, program: str, *words: str) -> None:
        user = pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else None
        command = [str(self._programs / program), *words]
        # no pipes: the server would hold them open
        log = self._folder / "said.txt"
        with log.open("ab") as file:
            subprocess.run(command, user=user, cwd=self._folder, check=True, stdout=file, stderr=file, timeout=120)

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        options = f"-h 127.0.0.1 -p {self.port} -k {self._folder} -F"
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-o", options, "-l", f"{self._folder}/log", "start")

    def stop(self) -> None:
        """Stop the server at once, as a crash would; do nothing where it is not running."""
        if not (self._folder / "data" / "postmaster.pid").exists():
            return
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-m", "immediate", "stop")

    def remove(self) -> None:
        """Delete the server's folder."""
        shutil.rmtree(self._folder, ignore_errors=True)
