"""The first training images as the model receives them, before and after augmentation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakKeyDictionary

import numpy as np
import torch
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor

from copycat.data.datamodule import DataModule
from copycat.data.labels import label_names
from copycat.data.loaders import to_float, with_draws
from copycat.inspection.callbacks.contact_sheet import Picture, contact_sheet, image_summary
from copycat.inspection.callbacks.inspector import Inspector, summary_loggers
from copycat.training.run_context import RunContext


@dataclass(kw_only=True, eq=False)
class InputImages(Inspector):
    """Write the first training images to TensorBoard, before and after augmentation."""

    count: int = 16
    """Images of the first batch of the first epoch."""

    def on_run_start(self, context: RunContext) -> None:
        """Write the images before the first step."""
        if not (loggers := summary_loggers(context.loggers)):
            return
        summaries = _summaries_by_count.setdefault(context.data, {})
        if self.count not in summaries:
            summaries[self.count] = list(_summaries(context.data, self.count))
        for summary in summaries[self.count]:
            for logger in loggers:
                logger.write(summary)


_summaries_by_count: WeakKeyDictionary[DataModule, dict[int, list[Summary]]] = WeakKeyDictionary()
"""Summaries by number of images: the trials of a pack may share their data."""


def _summaries(data: DataModule, count: int) -> Iterator[Summary]:
    order = data.loader("train", shuffle=data.shuffle).batch_sampler
    order.set_epoch(0)
    index = order.sequence()[: order.batch_size]
    if data.mixing is None:  # mixing may add any image of the batch to the first ones
        index = index[:count]
    part = data.parts["train"]
    image, label = torch.stack([part.images[i] for i in index.tolist()]), part.labels[index]
    augments = data.augmentation is not None
    tag = "data/before_augmentation" if augments else "data/model_input"
    yield _sheet(tag, image[:count], label[:count], data.classes)
    if augments:
        batch = with_draws({"image": to_float(image), "label": label, "index": index}, order, 0)
        augment = data.augment(batch, 0)
        yield _sheet("data/after_augmentation", augment["image"][:count], augment["label"][:count], data.classes)


def _sheet(tag: str, image: Tensor, label: Tensor, classes: Sequence[str]) -> Summary:
    pictures, names = np.stack(to_pictures(image)), tuple(_class_names(one, classes) for one in label)
    return _draw_sheet(tag, pictures.tobytes(), pictures.shape, names)


@lru_cache(4)  # the runs of a sweep mostly begin with the same images
def _draw_sheet(tag: str, pixels: bytes, shape: tuple[int, ...], names: tuple[str, ...]) -> Summary:
    pictures = np.frombuffer(pixels, np.uint8).reshape(shape)
    return image_summary(tag, contact_sheet(list(pictures), names), photo=True)


def _class_names(label: Tensor, classes: Sequence[str]) -> str:
    """Return an image's class or classes; for a mixed image its two largest shares, one per line."""
    if not label.is_floating_point():
        return label_names(label[None], classes)[0]
    shares = sorted(zip(label.tolist(), classes, strict=True), reverse=True)[:2]
    return "\n".join(f"{name} {share:.2f}" for share, name in shares if share >= 0.005)


def to_pictures(image: Tensor) -> list[Picture]:
    """Convert images to arrays that Pillow can draw; a single channel becomes gray.

    Shapes: float [N, C, H, W] in [0, 1], or uint8 -> N of uint8 [H, W, 3].
    """
    pixels = image if image.dtype == torch.uint8 else (image.float() * 255).round().clamp(0, 255).byte()
    arrays = pixels.cpu().permute(0, 2, 3, 1).numpy()
    if arrays.shape[-1] != 3:
        arrays = np.repeat(arrays[..., :1], 3, axis=-1)
    return list(arrays)
