"""Map dotted names that earlier versions recorded to their present names."""

from collections.abc import Mapping
from typing import Any

MOVED: Mapping[str, str] = {
    "copycat.data.drawn": "copycat.data.synthetic.dataset",
    "copycat.data.augmentation": "copycat.data.augmentation.transforms",
    "copycat.data.cats": "copycat.data.sources.cats",
    "copycat.data.folder": "copycat.data.sources.folder",
    "copycat.data.mixing": "copycat.data.augmentation.mixing",
    "copycat.data.randaugment": "copycat.data.augmentation.randaugment",
    "copycat.data.strong": "copycat.data.augmentation.strong",
    "copycat.inspection.embeddings": "copycat.inspection.callbacks.embeddings",
    "copycat.inspection.fed.FedImages": "copycat.inspection.callbacks.input_images.InputImages",
    "copycat.inspection.histograms": "copycat.inspection.callbacks.histograms",
    "copycat.inspection.judged.Judged": "copycat.inspection.callbacks.confusion.ConfusionMatrix",
    "copycat.inspection.mistakes": "copycat.inspection.callbacks.mistakes",
    "copycat.inspection.plotted.Plotted": "copycat.inspection.callbacks.classification_plots.ClassificationPlots",
    "copycat.inspection.profiler": "copycat.inspection.callbacks.profiler",
    "copycat.inspection.progress": "copycat.inspection.callbacks.progress_bar",
    "copycat.inspection.saliency": "copycat.inspection.callbacks.saliency",
    "copycat.inspection.statistics": "copycat.inspection.callbacks.layer_statistics",
    "copycat.inspection.tensorboard": "copycat.inspection.tensorboard.logger",
    "copycat.inspection.texts": "copycat.inspection.callbacks.texts",
    "copycat.inspection.weights": "copycat.inspection.callbacks.weights",
    "copycat.runs.averaging": "copycat.training.weight_averaging",
    "copycat.runs.checkpoints": "copycat.training.checkpoints",
    "copycat.runs.checkpoints.BestCheckpoint": "copycat.training.best_checkpoint.BestCheckpoint",
    "copycat.training.checkpoints.BestCheckpoint": "copycat.training.best_checkpoint.BestCheckpoint",
}
"""Old name of a module, class or function: its present name. A module's entry moves all that it holds."""


def current_name(target: str) -> str:
    """Return the present name of a `_target_`, itself where nothing moved."""
    if target in MOVED:
        return MOVED[target]
    module, _, name = target.rpartition(".")
    return f"{MOVED[module]}.{name}" if module in MOVED else target


def former_names(target: str) -> list[str]:
    """Return the names that earlier versions recorded for a present `_target_`."""
    module, _, name = target.rpartition(".")
    return [old if new == target else f"{old}.{name}" for old, new in MOVED.items() if new in (target, module)]


def with_current_names(value: Any) -> Any:
    """Return a node with every `_target_` in it under its present name."""
    if isinstance(value, Mapping):
        found = {name: with_current_names(inner) for name, inner in value.items()}
        if isinstance(target := found.get("_target_"), str):
            found["_target_"] = current_name(target)
        return found
    return [*map(with_current_names, value)] if isinstance(value, list) else value
