"""Decide which targets an untrusted run folder may build, by the class that a name leads to, not by the name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning import loggers
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor, StochasticWeightAveraging, Timer
from torch import nn
from torch.optim import lr_scheduler
from torchmetrics import Metric, classification

from copycat.config.errors import UserError
from copycat.config.extras import require_package
from copycat.config.moved_names import current_name
from copycat.config.options import PACKAGE, packaged_targets
from copycat.config.targets import import_target
from copycat.config.trusted import can_be_trusted, is_inside, read_trusted_packages, trusted_packages_file
from copycat.config.untrusted import NESTED_SLOT, TRANSFORM_SLOT, Refuse
from copycat.models import initialization, losses, metric_classes, networks, schedules, transfer

TORCH_LAYERS = nn.modules.__name__
TRANSFORMS = ("kornia.augmentation", "torchvision.transforms.v2")
"""Packages whose public classes may transform images, by arguments that are plain values or transforms."""
LIGHTNING_CALLBACKS = (EarlyStopping, LearningRateMonitor, StochasticWeightAveraging, Timer)
"""Allowed callbacks of Lightning: others take functions, write to paths in their arguments, or delete files."""


@dataclass(frozen=True, kw_only=True)
class SlotPolicy:
    """Describe the targets that are allowed in one slot of a configuration."""

    description: str
    bases: tuple[type, ...] = (object,)
    defined_in: tuple[str, ...]
    """Modules or packages that must define the object, wherever it was found."""
    public_in: Sequence[str] = ()
    """Modules whose public classes are allowed beside the options of the packaged conf/."""
    other_names: Sequence[str] = ()
    excluded_names: Sequence[str] = ()

    def allows_name(self, target: str, *, packaged: bool) -> bool:
        """Return whether a target's name is allowed, before it is imported."""
        if target in self.excluded_names or any(part.startswith("_") for part in target.split(".")):
            return False
        return target.rpartition(".")[0] in self.public_in or target in self.other_names or packaged

    def allows(self, target: Any, *, packaged: bool) -> bool:
        """Return whether the imported object is allowed."""
        if isinstance(target, type):
            if not issubclass(target, self.bases):
                return False
        elif not (packaged and isinstance(target, FunctionType)):
            return False
        return any(f"{target.__module__}.".startswith(f"{place}.") for place in self.defined_in)


def _allow_classes_of(module: ModuleType, description: str, *bases: type) -> SlotPolicy:
    """Allow the public classes of a module that it defines itself."""
    name = module.__name__
    return SlotPolicy(description=description, bases=bases, defined_in=(name,), public_in=(name,))


SLOT_POLICIES: Mapping[str, SlotPolicy] = {
    "model": SlotPolicy(
        description="a network of torch.nn or Copycat",
        bases=(nn.Module,),
        defined_in=(TORCH_LAYERS, networks.__name__, transfer.__name__),
        public_in=(nn.__name__,),
    ),
    "initialization": SlotPolicy(
        description="an initialization of Copycat",
        bases=(initialization.Initialization,),
        defined_in=(initialization.__name__,),
    ),
    "activation": SlotPolicy(
        description="an activation of torch.nn",
        bases=(nn.Module,),
        defined_in=(nn.modules.activation.__name__,),
        public_in=(nn.__name__,),
    ),
    NESTED_SLOT: SlotPolicy(
        description="a module of torch.nn, or a metric of torchmetrics.classification",
        bases=(nn.Module, Metric),
        defined_in=(TORCH_LAYERS, classification.__name__),
        public_in=(nn.__name__, classification.__name__),
    ),
    TRANSFORM_SLOT: SlotPolicy(
        description=f"a transform of {' or '.join(TRANSFORMS)}",
        bases=(nn.Module,),
        defined_in=TRANSFORMS,
        public_in=TRANSFORMS,
        excluded_names=(f"{TRANSFORMS[1]}.Lambda",),  # calls what it is given
    ),
    "loss": _allow_classes_of(losses, f"a loss of {losses.__name__}", losses.Loss),
    "optimizer": _allow_classes_of(torch.optim, "an optimizer of torch.optim", torch.optim.Optimizer),
    "scheduler": SlotPolicy(
        description="a scheduler of torch.optim.lr_scheduler or Copycat",
        bases=(lr_scheduler.LRScheduler, lr_scheduler.ReduceLROnPlateau),
        defined_in=(lr_scheduler.__name__, schedules.__name__),
        public_in=(lr_scheduler.__name__,),
    ),
    "data": SlotPolicy(description="a source of Copycat", defined_in=(PACKAGE,)),
    "augmentation": SlotPolicy(description="an augmentation of Copycat", defined_in=(PACKAGE,)),
    "trainer": SlotPolicy(
        description="pytorch_lightning.Trainer", bases=(pl.Trainer,), defined_in=(pl.Trainer.__module__,)
    ),
    "callbacks": SlotPolicy(
        description="a callback of Copycat, or EarlyStopping, LearningRateMonitor, StochasticWeightAveraging or Timer",
        bases=(pl.Callback,),
        defined_in=(pl.callbacks.__name__, PACKAGE),
        other_names=[f"{pl.callbacks.__name__}.{kind.__name__}" for kind in LIGHTNING_CALLBACKS],
    ),
    "metrics": SlotPolicy(
        description="a metric of torchmetrics.classification or Copycat",
        bases=(Metric,),
        defined_in=(classification.__name__, metric_classes.__name__),
        public_in=(classification.__name__,),
    ),
    "logger": SlotPolicy(
        description="TensorBoard or CSV",
        bases=(loggers.Logger,),
        defined_in=(loggers.__name__, PACKAGE),
        other_names=(f"{loggers.__name__}.TensorBoardLogger", f"{loggers.__name__}.CSVLogger"),
        excluded_names=(  # they connect to servers
            f"{loggers.__name__}.MLFlowLogger",
            "copycat.inspection.trackers.clearml.ClearMLLogger",
            "copycat.inspection.trackers.mlflow.MLflowLogger",
            "copycat.inspection.trackers.weights_and_biases.WandbLogger",
        ),
    ),
}


def make_untrusted_check() -> Refuse:
    """Return a check of untrusted targets, which allows the packages that the user trusts.

    Raises:
        UserError: where the list of trusted packages cannot be read.
    """
    packages = read_trusted_packages()

    def refuse(slot: str, target: str) -> str | None:
        policy, name = SLOT_POLICIES[slot], current_name(target)
        if is_inside(target, packages):
            return _refuse_trusted(target, packages)
        packaged = any(name in targets for targets in packaged_targets(slot).values())
        if policy.allows_name(name, packaged=packaged):
            module, _, attribute = name.rpartition(".")  # a module that SLOT_POLICIES lists
            if module in TRANSFORMS:
                require_package(module.partition(".")[0], wanted_by=target)
            if policy.allows(getattr(import_module(module), attribute, None), packaged=packaged):
                return None
        got = f"expected {policy.description}; got {target!r:.80}, and this folder is not signed by you."
        if can_be_trusted(target):
            package = target.rpartition(".")[0]
            return f"{got} If you trust it, add {package} to packages in {trusted_packages_file()}."
        return f"{got} Write another, or take what you need of it into a conf/ of your own."

    return refuse


def _refuse_trusted(target: str, packages: Sequence[str]) -> str | None:
    """Check a target in a trusted package: what it defines is allowed, what it only imports is not."""
    tops = [package.partition(".")[0] for package in packages]
    if any(part.startswith("_") for part in target.split(".")):
        return f"expected a public name; got {target!r:.80}."
    try:
        imported: Any = import_target("", target)
    except UserError as error:
        return str(error).removeprefix("._target_: ")
    defined = str(getattr(imported, "__module__", None)).partition(".")[0]
    if isinstance(imported, (type, FunctionType)) and defined in tops:
        return None
    package = next(package for package in packages if is_inside(target, [package]))
    return (
        f"expected a class or function that {package} defines; got {target!r:.80},"
        " which it only imports. Write one of its own."
    )
