"""Networks that fail, inspect the process, compute in float64 or write to their input: tests name them."""

import logging
import os
import random
import signal
import threading
import time
import warnings

import numpy as np
import torch
from torch import Tensor, nn


class FailingNetwork(nn.Module):
    """Fail at construction or in the first training step; a linear layer otherwise.

    Args:
        how: `built`, `crash`, `diverge`, `memory`, `slow` or `killed`; any other value does not fail.
    """

    def __init__(self, *, in_features: int, out_features: int, how: str) -> None:
        super().__init__()
        if how == "built":
            raise ValueError("expected another width")
        self.how = how
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x.flatten(1))
        if not self.training:
            return logits
        if self.how == "crash":
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        if self.how == "diverge":
            return logits * float("nan")
        if self.how == "memory":
            raise MemoryError("out of memory")
        if self.how == "slow":
            time.sleep(6)
        if self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return logits


class ProcessStateNetwork(nn.Module):
    """Record process-wide state in a buffer that is saved with the weights; or change that state, and fail.

    Args:
        how: `mess` to change the state and fail.
    """

    seen: Tensor

    def __init__(self, *, in_features: int, out_features: int, how: str) -> None:
        super().__init__()
        self.how = how
        self.linear = nn.Linear(in_features, out_features)
        self.register_buffer("seen", torch.zeros(12, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.how == "mess":
            _change_process_state()
        if self.training:
            self.seen.copy_(_read_process_state())
        logits: Tensor = self.linear(x.flatten(1))
        return logits


def _read_process_state() -> Tensor:
    root = logging.getLogger()
    found = [
        *(torch.get_num_threads(), torch.get_default_dtype().itemsize, torch.are_deterministic_algorithms_enabled()),
        *(torch.rand(()).item(), random.random(), np.random.rand()),
        *(len(warnings.filters), len(root.handlers), root.level, "MESS" in os.environ),
        *(threading.active_count(), _count_open_files()),
    ]
    return torch.tensor(found, dtype=torch.float64)


def _count_open_files() -> int:
    """Count open files, without those that the background writer opens for a moment."""
    found = []
    for _ in range(20):
        found.append(len(os.listdir("/proc/self/fd")))
        time.sleep(0.005)
    return min(found)


def _change_process_state() -> None:
    torch.set_num_threads(2 if torch.get_num_threads() == 1 else 1)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(9)
    random.seed(9)
    np.random.seed(9)
    warnings.simplefilter("error")
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger().setLevel(logging.ERROR)
    os.environ["MESS"] = "1"
    raise RuntimeError("a mess")


class DoubleNetwork(nn.Module):
    """A linear layer in float64, on images in any precision."""

    def __init__(
        self, *, in_features: int, out_features: int, hidden: object, style: object, activation: object
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x.flatten(1).double())
        return logits


class InplaceNetwork(nn.Module):
    """Write to the input, as an in-place activation in the first layer would."""

    def __init__(
        self, *, in_features: int, out_features: int, hidden: object, style: object, activation: object
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x.sub_(0.5).flatten(1))
        return logits
