"""What a stranger's run folder may have built: known by what each class is, not by what it is called."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import FunctionType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from torch import nn
from torchmetrics import Metric

from copycat.config.allowed import PART, Refuse
from copycat.config.errors import UserError
from copycat.config.places import CONF
from copycat.config.targets import find
from copycat.config.trusted import file_of_trust, is_inside, may_be_trusted, trusted_packages
from copycat.models.losses import Loss

_TARGET = re.compile(r"^\s*_target_:\s*([\w.]+)", re.MULTILINE)
LIGHTNINGS = "pytorch_lightning.callbacks."


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What may stand in a slot."""

    words: str
    bases: tuple[type, ...] = (object,)
    defined_in: tuple[str, ...]
    """Modules, or packages by their name and a dot, in which it must be defined, wherever it was found."""
    public_in: Sequence[str] = ()
    """Modules whose public classes are allowed beside the options of the packaged conf/."""
    also: Sequence[str] = ()
    never: Sequence[str] = ()

    def allows_name(self, target: str, *, packaged: bool) -> bool:
        if target in self.never or any(part.startswith("_") for part in target.split(".")):
            return False
        return target.rpartition(".")[0] in self.public_in or target in self.also or packaged

    def allows(self, found: Any, *, packaged: bool) -> bool:
        if isinstance(found, type):
            if not issubclass(found, self.bases):
                return False
        elif not (packaged and isinstance(found, FunctionType)):
            return False
        return any(f"{found.__module__}.".startswith(f"{place}.") for place in self.defined_in)


KINDS: Mapping[str, Kind] = {
    "model": Kind(
        words="a network of torch.nn or Copycat",
        bases=(nn.Module,),
        defined_in=("torch.nn.modules", "copycat.models.networks", "copycat.models.transfer"),
        public_in=("torch.nn",),
    ),
    "activation": Kind(
        words="an activation of torch.nn",
        bases=(nn.Module,),
        defined_in=("torch.nn.modules.activation",),
        public_in=("torch.nn",),
    ),
    PART: Kind(
        words="a module of torch.nn, or a metric of torchmetrics.classification",
        bases=(nn.Module, Metric),
        defined_in=("torch.nn.modules", "torchmetrics.classification"),
        public_in=("torch.nn", "torchmetrics.classification"),
    ),
    "loss": Kind(
        words="a loss of copycat.models.losses",
        bases=(Loss,),
        defined_in=("copycat.models.losses",),
        public_in=("copycat.models.losses",),
    ),
    "optimizer": Kind(
        words="an optimizer of torch.optim",
        bases=(torch.optim.Optimizer,),
        defined_in=("torch.optim",),
        public_in=("torch.optim",),
    ),
    "scheduler": Kind(
        words="a scheduler of torch.optim.lr_scheduler",
        bases=(torch.optim.lr_scheduler.LRScheduler, torch.optim.lr_scheduler.ReduceLROnPlateau),
        defined_in=("torch.optim.lr_scheduler",),
        public_in=("torch.optim.lr_scheduler",),
    ),
    "data": Kind(words="a source of Copycat", defined_in=("copycat.data",)),
    "augmentation": Kind(words="an augmentation of Copycat", defined_in=("copycat.data",)),
    "trainer": Kind(
        words="pytorch_lightning.Trainer", bases=(pl.Trainer,), defined_in=("pytorch_lightning.trainer.trainer",)
    ),
    # not all of Lightning's: some take a function, some write where their arguments say, some delete
    "callbacks": Kind(
        words="a callback of Copycat, or EarlyStopping, LearningRateMonitor, StochasticWeightAveraging or Timer",
        bases=(pl.Callback,),
        defined_in=("pytorch_lightning.callbacks", "copycat.runs", "copycat.inspection"),
        also=[
            LIGHTNINGS + name for name in ("EarlyStopping", "LearningRateMonitor", "StochasticWeightAveraging", "Timer")
        ],
    ),
    "logger": Kind(
        words="TensorBoard or CSV",
        bases=(Logger,),
        defined_in=("pytorch_lightning.loggers", "copycat.inspection"),
        also=("pytorch_lightning.loggers.TensorBoardLogger",),
        never=("pytorch_lightning.loggers.MLFlowLogger",),  # talks to a server
    ),
}


def refuse_strangers() -> Refuse:
    """What may be built from a folder that is not the user's, by the packages that they trust.

    Raises:
        UserError: where the list of those cannot be read.
    """
    packages = trusted_packages()

    def refuse(slot: str, target: str) -> str | None:
        kind = KINDS[slot]
        if is_inside(target, packages):
            return _refuse_trusted(target, packages)
        packaged = target in _packaged().get(slot, ())
        if kind.allows_name(target, packaged=packaged) and kind.allows(_found(target), packaged=packaged):
            return None
        got = f"expected {kind.words}; got {target!r:.80}, and this folder is not sealed by you."
        if may_be_trusted(target):
            package = target.rpartition(".")[0]
            return f"{got} If you trust it, add {package} to packages in {file_of_trust()}."
        return f"{got} Write another, or take what you need of it into a conf/ of your own."

    return refuse


def _refuse_trusted(target: str, packages: Sequence[str]) -> str | None:
    """A trusted package is trusted with what it defines, not with all that it imports."""
    tops = [package.partition(".")[0] for package in packages]
    if any(part.startswith("_") for part in target.split(".")):
        return f"expected a public name; got {target!r:.80}."
    try:
        found: Any = find("", target)
    except UserError as error:
        return str(error).removeprefix("._target_: ")
    defined = str(getattr(found, "__module__", None)).partition(".")[0]
    if isinstance(found, (type, FunctionType)) and defined in tops:
        return None
    return (
        f"expected a class or function that {one_package(target, packages)} defines; got {target!r:.80}, which it"
        " only imports. Write one of its own."
    )


def one_package(target: str, packages: Sequence[str]) -> str:
    return next(package for package in packages if is_inside(target, [package]))


def _found(target: str) -> Any:
    module, _, name = target.rpartition(".")
    return getattr(import_module(module), name, None)  # one of the few modules that are listed here


@cache
def _packaged() -> Mapping[str, frozenset[str]]:
    """Targets by group that the packaged conf/ names; the user's own conf/ is no measure for a stranger's folder."""
    return {
        group.name: frozenset(
            target for file in group.glob("*.yaml") for target in _TARGET.findall(file.read_text(encoding="utf-8"))
        )
        for group in CONF.iterdir()
        if group.is_dir()
    }
