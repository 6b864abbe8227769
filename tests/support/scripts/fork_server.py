"""Import the large packages once and fork for each command; tests/support/commands.py sends requests by a socket.

Commands run side by side. A fork continues as `python -m copycat` with the requested folder, environment, arguments and
standard streams, and exits like any interpreter: only the time of imports is saved. With a program of the test's, or
another PYTHONPATH, it imports all of Copycat anew.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType
from typing import Any

from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton

PACKAGES = (
    "copycat",  # first: it shortens the imports of Lightning and torchmetrics
    *("torch", "torch.utils.tensorboard", "pytorch_lightning", "torchmetrics", "safetensors.torch", "h5py"),
    *("tensorboard.plugins.hparams.metadata", "torch.utils.serialization", "numpy.ctypeslib", "google_crc32c"),
    *("hydra.main", "optuna", "platformdirs", "rich.progress", "rich.table", "jinja2", "pillow_heif"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg", "PIL.ImageCms", "PIL.ImageOps", "PIL.ImageDraw"),
)
LEFT_OUT = ("__main__", "operations", "ray_tasks", "app", "uploads")
"""Modules that each command imports where it uses them: their packages take long."""
PYTHONPATH = os.environ.get("PYTHONPATH")


def serve(requests: socket.socket) -> list[str] | None:
    """Fork for each request, send back its process id, and write its exit status to the last of the request's files.

    Returns: in a fork, the command's arguments; in the server, None once the socket is closed.
    """
    woken, wake = socket.socketpair()
    for end in (woken, wake):
        end.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    reports: dict[int, int] = {}
    while True:
        if woken in select.select([requests, woken], [], [])[0]:
            woken.recv(4096)
            for process in list(reports):
                ended, status = os.waitpid(process, os.WNOHANG)
                if ended:
                    with suppress(BrokenPipeError):  # of a test that failed
                        os.write(reports[process], json.dumps(os.waitstatus_to_exitcode(status)).encode())
                    os.close(reports.pop(process))
            continue
        text, files, _, _ = socket.recv_fds(requests, 2**20, 4)
        if not text:
            return None
        request = json.loads(text)
        *streams, report = files
        if (process := os.fork()) == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for end in (requests, woken, wake):
                end.close()
            for place, file in enumerate(streams):
                os.dup2(file, place)
            for file in [*files, *reports.values()]:
                os.close(file)
            return become(request)
        reports[process] = report
        for file in streams:
            os.close(file)
        requests.send(json.dumps(process).encode())


def become(request: dict[str, Any]) -> list[str]:
    """Take the folder, environment and module path of `python -m copycat` there; run the program; return the words."""
    if request["new_session"]:
        os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[0] = request["folder"]
    extra = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[1:1] = [path for path in extra if path and path not in sys.path]
    if not request["program"] and os.environ.get("PYTHONPATH") == PYTHONPATH:
        sys.modules.update(MODULES)
    exec(request["program"], {})
    arguments: list[str] = request["words"]
    return arguments


def import_copycat() -> dict[str, ModuleType]:
    """Import the modules of Copycat that need no extra beyond PACKAGES, and take them out of sys.modules again."""
    package = import_module("copycat")
    for module in walk_packages(package.__path__, "copycat."):
        if not module.name.endswith(LEFT_OUT):
            with suppress(ModuleNotFoundError):  # an extra that this environment lacks
                import_module(module.name)
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "copycat"}


signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the tests and the running command
sys.path.insert(1, str(Path(__file__).parents[3]))
imports = import_module("tests.support.imports")
imports.keep_entry_points()
imports.keep_code()
for package in PACKAGES:
    with suppress(ModuleNotFoundError):  # an extra, or of a newer torch
        import_module(package)
sys.modules["PIL.Image"].init()  # imports the readers of all formats
import_module("tests.support.hydra_speed").shorten_compositions()
import_module("tests.support.flushes").leave_out_flushes()
del sys.path[1]
for experiment in ("lecture", "cnn"):  # forks find most files parsed
    import_module("copycat.config.compose").compose([f"experiment={experiment}"])
for kind in (Plugins, SourcesRegistry):  # each fork looks for plugins itself
    del Singleton._instances[kind]
for name in [name for name in sys.modules if name.partition(".")[0] in ("copycat", "hydra_plugins", "tests")]:
    del sys.modules[name]
MODULES = import_copycat()
gc.freeze()  # otherwise each fork collects, and so copies, all of it at its exit
arguments = serve(socket.socket(fileno=int(sys.argv[1])))
if arguments is not None:
    sys.argv[1:] = arguments
    runpy.run_module("copycat", run_name="__main__", alter_sys=True)
