"""Make Linux refuse to Copycat what Windows or macOS lack: each interpreter with this folder on PYTHONPATH runs it.

COPYCAT_TEST_SYSTEM names the system. Names are missing in Copycat's modules alone, as other packages have their own
ways; what the system refuses is refused to all.
"""

import builtins
import ctypes
import errno
import fcntl
import multiprocessing
import os
import re
import shutil
import signal
import sys
from enum import IntEnum
from pathlib import Path, PurePath
from types import ModuleType, SimpleNamespace
from typing import Any

import filelock  # noqa: F401  before fcntl is hidden: its lock by flock stands for the one of Windows

SYSTEM = os.environ["COPYCAT_TEST_SYSTEM"]
FOLDER = os.environ["COPYCAT_TEST_FOLDER"]
"""The folder whose files follow Windows' rules."""
WINDOWS_SIGNALS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGBREAK": signal.SIGUSR2}
WINDOWS_OS = (
    *(
        "sched_.*",
        "sysconf.*",
        "confstr.*",
        "[gs]et(pg|s|u|g|eu|eg)id",
        "fork.*",
        "register_at_fork",
        "killpg",
        "nice",
    ),
    *(
        "O_(NOFOLLOW|NONBLOCK|DIRECTORY|CLOEXEC|D?SYNC)",
        "f?ch(own|root)",
        "lchown",
        "mkfifo",
        "mknod",
        "uname",
        "pipe2",
    ),
    *("f?statvfs", "getloadavg", "W[A-Z]+", "wait(id|3|4)", "P_[A-Z]+", "posix_.*", "sync", "preadv?", "pwritev?"),
    *("sendfile", "fdatasync", "memfd_.*", "eventfd.*", "openpty", "getrandom", "copy_file_range"),
)
WINDOWS_SIGNAL = (
    *("SIG(?!INT|TERM|ABRT|FPE|ILL|SEGV|_)[A-Z0-9]+", "alarm", ".etitimer", "ITIMER_.*", "pthread_.*"),
    *("sig(wait.*|pending|interrupt|timedwait)", "pause"),
)
MACOS_OS = ("sched_.*", "posix_fad.*", "memfd_.*", "eventfd.*", "fdatasync", "pipe2", "copy_file_range", "getrandom")
MISSING = {
    "win32": {"os": "|".join(WINDOWS_OS), "signal": "|".join(WINDOWS_SIGNAL)},
    "darwin": {"os": "|".join(MACOS_OS), "signal": "SIGRT.*|SIGPWR"},
}[SYSTEM]
"""Patterns of names of the modules that the system lacks."""
FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)


class Without(ModuleType):
    """Stand for a module, with other attributes in the place of some, and without those that a pattern matches."""

    def __init__(self, module: ModuleType, pattern: str = "(?!)", **changed: Any) -> None:
        super().__init__(module.__name__)
        vars(self).update(_module=module, _pattern=re.compile(pattern), **changed)

    def __getattr__(self, name: str) -> Any:
        if self._pattern.fullmatch(name):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on {SYSTEM}")
        return getattr(self._module, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._module, name, value)


def sysconf(name: str) -> int:
    if name == "SC_AVPHYS_PAGES":
        raise ValueError("unrecognized configuration name")
    return os.sysconf(name)


REPLACED: dict[str, ModuleType] = {
    "os": Without(os, MISSING["os"], **({"sysconf": sysconf} if SYSTEM == "darwin" else {})),
    "signal": Without(
        signal,
        MISSING["signal"],
        **(WINDOWS_SIGNALS | {"Signals": IntEnum("Signals", WINDOWS_SIGNALS)} if SYSTEM == "win32" else {}),
    ),
    "sys": Without(sys, platform=SYSTEM),
}
HIDDEN = ("fcntl", "resource", "termios", "pwd", "grp") if SYSTEM == "win32" else ()
import_module = builtins.__import__


def import_for_system(name: str, namespace: Any = None, *others: Any, **more: Any) -> Any:
    module = (namespace or {}).get("__name__", "")
    if module.partition(".")[0] in ("copycat", "hydra_plugins"):
        if name in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        # macOS has another struct flock, which Linux's fcntl cannot answer
        if name in REPLACED and not (name == "sys" and module == "copycat.records.lock"):
            return REPLACED[name]
    return import_module(name, namespace, *others, **more)


def make_error(code: int, winerror: int, path: object) -> OSError:
    error = OSError(code, os.strerror(code), path)
    vars(error)["winerror"] = winerror
    return error


def follows_rules(path: object) -> bool:
    return isinstance(path, (str, os.PathLike)) and os.path.abspath(path).startswith(FOLDER)


def check_closed(path: Any) -> None:
    """Refuse to move, replace or remove a file that this process has open or mapped, or a folder that holds one."""
    if not follows_rules(path) or PurePath(path).name == ".lock":
        return
    whole = os.path.realpath(path)
    opened = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            opened.add(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue
    opened |= {line.split(maxsplit=5)[-1].strip() for line in Path("/proc/self/maps").read_text().splitlines()}
    if any(name == whole or name.startswith(whole + os.sep) for name in opened if os.path.isfile(name)):
        raise make_error(errno.EACCES, 32, path)


def check_name(path: Any) -> None:
    if follows_rules(path):
        for part in PurePath(os.path.abspath(path)).relative_to(FOLDER).parts:
            if FORBIDDEN.search(part):
                raise make_error(errno.EINVAL, 123, path)


def refuse_as_windows(event: str, arguments: tuple[Any, ...]) -> None:
    if (event == "open" and arguments[2] & os.O_CREAT) or event == "os.mkdir":
        check_name(arguments[0])
    elif event == "os.rename":
        check_name(arguments[1])
        check_closed(arguments[0])
        check_closed(arguments[1])
    elif event in ("os.remove", "os.rmdir"):
        check_closed(arguments[0])
    elif event == "os.symlink":
        raise make_error(errno.EPERM, 1314, arguments[1])
    elif event == "os.fork":
        raise make_error(errno.ENOSYS, 50, None)
    elif event == "ctypes.dlopen" and arguments[0] is None:
        raise TypeError("expected str; got None")
    refuse_as_both(event, arguments)


def refuse_as_both(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str) and arguments[0] == "/proc/cpuinfo":
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), arguments[0])


def flush_writable(file: Any) -> None:
    """Refuse to flush a file that was opened to be read."""
    number = file if isinstance(file, int) else file.fileno()
    if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    fsync(number)


fsync = os.fsync
builtins.__import__ = import_for_system  # type: ignore[assignment]
multiprocessing.set_start_method("spawn")  # the default of both
if SYSTEM == "win32":
    os.fsync = flush_writable  # type: ignore[assignment]
    shutil._use_fd_functions = False  # type: ignore[attr-defined]
    kernel = SimpleNamespace(SetConsoleCtrlHandler=lambda handler, ignored: 1)
    ctypes.windll = SimpleNamespace(kernel32=kernel)  # type: ignore[attr-defined]
sys.addaudithook(refuse_as_windows if SYSTEM == "win32" else refuse_as_both)
