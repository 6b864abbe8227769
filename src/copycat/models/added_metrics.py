"""Build and compute the metrics of the group `metrics`, which a run measures beside the scores of every run."""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from math import isfinite, nan
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from copycat.config.errors import UserError
from copycat.config.metric_directions import is_higher_better
from copycat.config.metric_names import OWN_KEYS, metric_nodes
from copycat.config.rules import METRICS
from copycat.config.suggestions import describe_refusal, did_you_mean, one_of
from copycat.config.targets import HYDRA_KEYS, check_node, import_target, instantiate_target, signature_keys
from copycat.models.auroc import to_float

BASE_KEYS = ("compute_on_cpu", "sync_on_compute", "compute_with_cache")
"""Keys that each class of torchmetrics takes, and that have a meaning here."""
IMAGES_CHECKED_TOGETHER = 2**14


@dataclass(frozen=True, kw_only=True)
class AddedMetric:
    """Hold a metric: a class of torchmetrics, and how it is fed and named."""

    name: str
    metric: Metric
    takes_classes: bool
    """Whether it takes probabilities [N, classes] for two classes too, not [N] of class 1."""
    needs_all_classes: bool
    """Whether it is undefined where a class has no image."""
    higher_is_better: bool | None
    classes: Sequence[str]
    """Classes, as they stand in names of metrics."""
    multi_label: bool = False
    """Whether images may have several classes: probabilities and labels are [N, classes]."""

    @cached_property
    def columns(self) -> list[str]:
        """Return the names of its values: its own, or NAME/CLASS for each class.

        Raises:
            UserError: where it gives neither one number nor one for each class.
        """
        label = torch.arange(len(self.classes)).repeat(2)
        probability = torch.eye(len(self.classes))[label] / 2 + 0.5 / len(self.classes)
        if self.multi_label:
            label = torch.eye(len(self.classes), dtype=torch.long)[label]
        elif len(self.classes) == 2:
            probability = probability[:, 1]
        try:
            value = self._compute(probability, label)
        except Exception as error:  # whatever the class raises for such input
            raise UserError(
                f"metrics.{self.name}: {_describe(self.metric)} refuses this: {describe_refusal(error)}"
            ) from error
        if isinstance(value, Tensor) and value.numel() == 1:
            if self.name in METRICS:
                raise UserError(f"metrics.{self.name}: expected another name, as every run has {self.name}. Rename it.")
            return [self.name]
        if isinstance(value, Tensor) and value.shape == (len(self.classes),):
            return [f"{self.name}/{label}" for label in self.classes]
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise UserError(
            f"metrics.{self.name}: expected a metric that gives one number, or one for each class;"
            f" {_describe(self.metric)} gives {got}."
        )

    def compute(self, probability: Tensor, label: Tensor) -> dict[str, float]:
        """Return its values by name, in the precision of the probabilities; nan where they are undefined.

        Shapes: [N] of class 1 for two classes, else [N, classes]; and [N], or [N, classes] of several classes an image.
        """
        counts = label.sum(0) if self.multi_label else label.bincount(minlength=len(self.classes))
        is_whole = bool((counts > 0).all()) and not (self.multi_label and bool((counts == len(label)).any()))
        if (self.needs_all_classes and not is_whole) or not _is_finite(probability):
            return dict.fromkeys(self.columns, nan)
        values = self._compute(probability, label).reshape(-1).to(to_float(probability[:0]).dtype).tolist()
        # infinite values, which JSON lacks, are undefined as well
        return {name: value if isfinite(value) else nan for name, value in zip(self.columns, values, strict=True)}

    def _compute(self, probability: Tensor, label: Tensor) -> Any:
        probability = to_float(probability)
        if self.takes_classes and probability.ndim == 1:
            probability = torch.stack([1 - probability, probability], dim=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of undefined values, which docs/reference/metrics.md defines
            self.metric.reset()
            self.metric.update(probability, label)
            value = self.metric.compute()
            self.metric.reset()  # it would be part of a checkpoint, and hold the last predictions
        return value


def _is_finite(probability: Tensor) -> bool:
    """Return whether all probabilities are finite, without a mask of the size of all."""
    return all(bool(some.isfinite().all()) for some in torch.split(probability, IMAGES_CHECKED_TOGETHER))


def build_added_metrics(
    config: Mapping[str, Any], classes: Sequence[str], *, multi_label: bool = False
) -> list[AddedMetric]:
    """Build the metrics of a configuration for these classes; none for runs of earlier versions.

    `multi_label` is whether images may have several classes.

    Raises:
        UserError: where one cannot be built, or cannot measure a classifier of these classes.
    """
    tags = class_tags(classes)
    return [_build(name, node, tags, multi_label=multi_label) for name, node in metric_nodes(config).items()]


def _build(name: str, node: Mapping[str, Any], classes: Sequence[str], *, multi_label: bool) -> AddedMetric:
    key, count = f"metrics.{name}", len(classes)
    target = import_target(key, node["_target_"])
    if multi_label:
        target = _find_multi_label(target)
    takes = signature_keys(target)
    own = {name: value for name, value in node.items() if name not in OWN_KEYS}
    _check_keys(key, own, target, takes)
    if (top := own.get("top_k")) is not None and top >= count and top > 1:
        raise UserError(f"{key}.top_k: expected less than the {count} classes; got {top}.")
    task = own.get("task") or ("multilabel" if multi_label else "binary" if count == 2 else "multiclass")
    derived = {"task": task, "num_labels": count} if multi_label else {"task": task, "num_classes": count}
    if multi_label and not _takes_several(target, takes):
        raise UserError(
            f"{key}: expected a class that takes task or num_labels, as images may have several classes;"
            f" {node['_target_']} takes one class an image. Type metrics.{name}=null."
        )
    more = {name: value for name, value in derived.items() if name in takes and own.get(name) is None}
    own["_target_"] = f"{target.__module__}.{target.__qualname__}" if multi_label else own["_target_"]
    check_node(key, own, given=list(more))
    metric = instantiate_target(key, own, **more)
    if not isinstance(metric, Metric):
        raise UserError(f"{key}._target_: expected a class of torchmetrics; got {node['_target_']!r}.")
    added = AddedMetric(
        name=name,
        metric=metric,
        takes_classes="num_classes" in takes and not ("task" in takes and task == "binary"),
        needs_all_classes=bool(node.get("needs_all_classes")),
        higher_is_better=is_higher_better(name, node),
        classes=classes,
        multi_label=multi_label,
    )
    assert added.columns  # computed once with the checks of the class, which are slow
    for module in metric.modules():  # a metric may wrap others
        if isinstance(module, Metric):
            module.distributed_available_fn = bool  # False: of several ranks the first computes it, for all
    if hasattr(metric, "validate_args"):
        metric.validate_args = False
    return added


def _find_multi_label(target: Callable[..., Any]) -> Callable[..., Any]:
    """Return torchmetrics' class of a metric for several classes an image, where it has one: each has three."""
    name = target.__name__.replace("Multiclass", "Multilabel")
    found: Callable[..., Any] = getattr(import_module(target.__module__), name, target)
    return found


def _takes_several(target: Callable[..., Any], takes: Sequence[str]) -> bool:
    """Return whether a class measures images that may have several classes; of torchmetrics, each task has its own."""
    if "task" in takes and target.__module__.startswith("torchmetrics."):
        return hasattr(import_module(target.__module__), f"Multilabel{target.__name__}")
    return "task" in takes or "num_labels" in takes


def _check_keys(key: str, node: Mapping[str, Any], target: Callable[..., Any], takes: Sequence[str]) -> None:
    """Refuse keys that a class of torchmetrics does not take: its `**kwargs` hide them from `check_node`."""
    known = [*takes, *BASE_KEYS]
    for name in node:
        if target.__module__.startswith("torchmetrics.") and name not in (*known, *HYDRA_KEYS):
            raise UserError(
                f"{key}.{name}: {node['_target_']} takes {one_of(takes)}; got {name!r}."
                + did_you_mean(name, [*takes, *OWN_KEYS], before=f"{key}.")
            )


def _describe(metric: Metric) -> str:
    return f"{type(metric).__module__.partition('.')[0]}'s {type(metric).__name__}"


def class_tags(classes: Sequence[str]) -> list[str]:
    """Return the classes as parts of metrics' names: `_` for other characters than letters, digits, `.`, `+` and `-`.

    Where two classes would have the same tag, each gets its index added.
    """
    tags = [re.sub(r"[^\w.+-]|^\.+", "_", name) or "_" for name in classes]
    return tags if len(set(tags)) == len(tags) else [f"{tag}_{index}" for index, tag in enumerate(tags)]


def find_metric(metrics: Sequence[AddedMetric], name: str) -> AddedMetric | None:
    """Return the metric that a name such as `val/kappa` or `val/recall/cat` belongs to; None for one of every run."""
    quantity = name.partition("/")[2]
    return None if quantity in METRICS else next((m for m in metrics if quantity.partition("/")[0] == m.name), None)


def compute_all(metrics: Sequence[AddedMetric], probability: Tensor, label: Tensor) -> dict[str, float]:
    """Compute metrics of one set of images; nan where they are undefined.

    Shapes: [N, classes] and [N], or [N, classes] of several classes an image.
    """
    is_binary = probability.shape[1] == 2 and label.ndim == 1
    probability = (probability[:, 1] if is_binary else probability).float()
    return {name: value for metric in metrics for name, value in metric.compute(probability, label).items()}


def undefined_columns(metric: AddedMetric, label: Tensor) -> list[str]:
    """Return the values that even perfect predictions of these labels leave undefined."""
    perfect = label.float() if metric.multi_label else torch.eye(len(metric.classes))[label]
    found = compute_all([metric], perfect, label)
    return [name for name, value in found.items() if value != value]
