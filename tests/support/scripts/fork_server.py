"""Import the large packages once and fork for each command; tests/support/commands.py sends requests by a socket.

A fork continues as `python -m copycat` with the requested folder, environment, arguments and standard streams. It
imports all of Copycat and exits like any interpreter: only the import time of the large packages is saved.
"""

import gc
import json
import os
import runpy
import signal
import socket
import sys
from importlib import import_module

PACKAGES = (
    *("torch", "torch.utils.tensorboard", "pytorch_lightning", "torchmetrics", "safetensors.torch", "h5py"),
    *("hydra.main", "optuna", "rich.progress", "rich.table", "PIL.Image", "matplotlib.figure", "jinja2"),
)


def serve(requests: socket.socket) -> list[str] | None:
    """Fork for each request and send back its process id and exit status.

    Returns: in a fork, the command's arguments; in the server, None once the socket is closed.
    """
    while True:
        text, files, _, _ = socket.recv_fds(requests, 2**20, 3)
        if not text:
            return None
        request = json.loads(text)
        if (process := os.fork()) == 0:
            requests.close()
            for place, file in enumerate(files):
                os.dup2(file, place)
                os.close(file)
            os.chdir(request["folder"])
            os.environ.clear()
            os.environ.update(request["environment"])
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.path[0] = request["folder"]
            arguments: list[str] = request["words"]
            return arguments
        for file in files:
            os.close(file)
        requests.send(json.dumps(process).encode())
        _, status = os.waitpid(process, 0)
        requests.send(json.dumps(os.waitstatus_to_exitcode(status)).encode())


signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the tests and the running command
for package in PACKAGES:
    import_module(package)
gc.freeze()  # otherwise each fork collects, and so copies, all of it at its exit
arguments = serve(socket.socket(fileno=int(sys.argv[1])))
if arguments is not None:
    sys.argv[1:] = arguments
    runpy.run_module("copycat", run_name="__main__", alter_sys=True)
