"""Check the metrics that a configuration monitors against those that the run will have."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytorch_lightning.callbacks import Checkpoint

from copycat.config.combinations import find_mode_conflicts
from copycat.config.errors import UserError
from copycat.config.suggestions import did_you_mean, one_of
from copycat.data.datamodule import DataModule
from copycat.models.added_metrics import AddedMetric, find_metric, undefined_columns
from copycat.models.metrics import ALL_CLASS_SCORES
from copycat.training.derived_settings import count_batches


def check_monitors(
    config: Mapping[str, Any],
    data: DataModule,
    *,
    added: Sequence[AddedMetric] = (),
    extra: Mapping[str, Sequence[str]] = {},
) -> None:
    """Check that the run will have the metrics that callbacks, the scheduler and extra keys monitor.

    Raises:
        UserError: for the first metric that no epoch of the run would have, or that is monitored in a wrong direction.
    """
    for problem in find_mode_conflicts(config):  # now with the directions that classes of metrics state
        raise UserError(problem)
    for key, metrics in {**_monitors(config), **extra}.items():
        for metric in metrics:
            if (own := find_metric(added, metric)) is not None:
                _check_added(key, metric, own, data)
            elif why := _why_missing(metric, config["trainer"], data):
                part, _, name = metric.partition("/")
                other = f"{part}/{'loss' if name.startswith('loss') else 'accuracy'}"
                raise UserError(f"{key}: expected a metric that the run has; got {metric}: {why}. Choose {other}.")


def _check_added(key: str, metric: str, own: AddedMetric, data: DataModule) -> None:
    part, _, quantity = metric.partition("/")
    if quantity not in own.columns:
        names = [f"{part}/{name}" for name in own.columns]
        raise UserError(f"{key}: expected one of {one_of(names)}; got {metric}.{did_you_mean(metric, names)}")
    if part in data.parts and quantity in undefined_columns(own, data.parts[part].labels):
        missing = data.classes_without_images(part)
        why = f"{part} has no image of {missing[0]}" if missing else f"it is undefined for the labels of {part}"
        raise UserError(f"{key}: expected a metric that the run has; got {metric}: {why}. Choose {part}/accuracy.")


def find_monitored(callbacks: Iterable[Any]) -> dict[str, Any]:
    """Return metric, mode and period of the best checkpoint; minimal val/loss where no checkpoint monitors a metric.

    Other callbacks that monitor a metric, such as early stopping, are ignored, in any order.
    """
    for callback in callbacks:
        if isinstance(callback, Checkpoint) and (monitor := getattr(callback, "monitor", None)):
            mode, every_n_epochs = getattr(callback, "mode", "min"), getattr(callback, "every_n_epochs", 1)
            return {"monitor": monitor, "mode": mode, "every_n_epochs": every_n_epochs}
    return {"monitor": "val/loss", "mode": "min", "every_n_epochs": 1}


def _monitors(config: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    nodes = {f"callbacks.{name}": node for name, node in (config["callbacks"] or {}).items()}
    nodes |= {"scheduler": config["scheduler"], "scheduler.second": config["scheduler"].get("second")}
    return {f"{key}.monitor": [node["monitor"]] for key, node in nodes.items() if node and node.get("monitor")}


def _why_missing(metric: str, trainer: Mapping[str, Any], data: DataModule) -> str | None:
    part, _, name = metric.partition("/")
    if metric == "train/loss_mean" and count_batches(trainer, data) == 1:
        return "an epoch has one batch, whose loss is train/loss"
    if name in ALL_CLASS_SCORES and part in data.parts:
        if missing := data.classes_without_images(part):
            return f"{part} has no image of {missing[0]}"
        if full := data.classes_of_all_images(part):
            return f"{part} has no image without {full[0]}"
    return None
