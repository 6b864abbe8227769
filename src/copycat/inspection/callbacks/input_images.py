"""The first images as they are fed: before augmentation, and after."""

from collections.abc import Iterator, Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor

from copycat.data.datamodule import DataModule
from copycat.data.loaders import to_float
from copycat.inspection.callbacks.contact_sheet import Picture, sheet, summary_of
from copycat.inspection.callbacks.inspector import Inspector, boards
from copycat.training.run_context import RunContext


class FedImages(Inspector):
    """Args:
    count: images of the first batch of the first epoch.
    """

    def __init__(self, *, count: int = 16) -> None:
        self.count = count

    def on_run_start(self, context: RunContext) -> None:
        if not (found := boards(context.loggers)):
            return
        known = _known.setdefault(context.data, {})
        if self.count not in known:
            known[self.count] = list(_summaries(context.data, self.count))
        for summary in known[self.count]:
            for board in found:
                board.write(summary)


_known: WeakKeyDictionary[DataModule, dict[int, list[Summary]]] = WeakKeyDictionary()
"""By count: trials of a pack may be fed the same."""


def _summaries(data: DataModule, count: int) -> Iterator[Summary]:
    order = data.loader("train", shuffle=data.shuffle).batch_sampler
    order.set_epoch(0)
    index = order.indices()[: order.batch_size]
    if data.mixing is None:  # else any of the batch may be in the first images
        index = index[:count]
    part = data.parts["train"]
    image, label = torch.stack([part.images[place] for place in index.tolist()]), part.labels[index]
    augments = data.augmentation is not None
    yield _sheet("data/before_augmentation" if augments else "data/fed", image[:count], label[:count], data.classes)
    if augments:
        fed = data.augment({"image": to_float(image), "label": label, "index": index}, 0)
        yield _sheet("data/after_augmentation", fed["image"][:count], fed["label"][:count], data.classes)


def _sheet(tag: str, image: Tensor, label: Tensor, classes: Sequence[str]) -> Summary:
    names = [_name(one, classes) for one in label]
    return summary_of(tag, sheet(pictures(image), names), photo=True)


def _name(label: Tensor, classes: Sequence[str]) -> str:
    """Of its class; of a mixed image, of each that it has a share of, a line each."""
    if not label.is_floating_point():
        return classes[int(label)]
    shares = sorted(zip(label.tolist(), classes, strict=True), reverse=True)[:2]
    return "\n".join(f"{name} {share:.2f}" for share, name in shares if share >= 0.005)


def pictures(image: Tensor) -> list[Picture]:
    """Float [N, C, H, W] in [0, 1], or uint8: as what Pillow draws; a single channel becomes grey."""
    whole = image if image.dtype == torch.uint8 else (image.float() * 255).round().clamp(0, 255).byte()
    found = whole.cpu().permute(0, 2, 3, 1).numpy()
    if found.shape[-1] != 3:
        found = np.repeat(found[..., :1], 3, axis=-1)
    return list(found)
