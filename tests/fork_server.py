"""Imports the large packages once, and forks itself for each command; commands.py starts it, and asks by a socket.

A fork is `python -m copycat` from there on: a process of its own, with folder, environment, words and files as asked,
which imports all of Copycat, and ends as any interpreter does. It only saves the seconds that those packages take.
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


def serve(asked: socket.socket) -> list[str] | None:
    """Fork for each request, and tell its process and its exit status. In a fork: its words; at the end: None."""
    while True:
        text, files, _, _ = socket.recv_fds(asked, 2**20, 3)
        if not text:
            return None
        request = json.loads(text)
        if (process := os.fork()) == 0:
            asked.close()
            for place, file in enumerate(files):
                os.dup2(file, place)
                os.close(file)
            os.chdir(request["folder"])
            os.environ.clear()
            os.environ.update(request["environment"])
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.path[0] = request["folder"]
            found: list[str] = request["words"]
            return found
        for file in files:
            os.close(file)
        asked.send(json.dumps(process).encode())
        _, status = os.waitpid(process, 0)
        asked.send(json.dumps(os.waitstatus_to_exitcode(status)).encode())


signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, and for the command on its way
for package in PACKAGES:
    import_module(package)
gc.freeze()  # or each fork would go through all of it as it ends, and copy it for that
words = serve(socket.socket(fileno=int(sys.argv[1])))
if words is not None:
    sys.argv[1:] = words
    runpy.run_module("copycat", run_name="__main__", alter_sys=True)
