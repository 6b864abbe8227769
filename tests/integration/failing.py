"""Networks that fail in ways of their own; each is named in the options of a test."""

import os
import signal
import time

from torch import Tensor, nn


class Fails(nn.Module):
    """A linear layer until it is asked for the first logits in training.

    Args:
        how: `not`, or a way.
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
