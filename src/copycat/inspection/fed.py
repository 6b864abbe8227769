"""The first images as they are fed: before augmentation, and after."""

import numpy as np
import torch
from torch import Tensor

from copycat.data.loaders import Batch, to_float
from copycat.inspection.inspector import Inspector, boards
from copycat.inspection.sheet import Picture, sheet, summary_of
from copycat.runs.inspecting import View


class FedImages(Inspector):
    """Args:
    count: images of the first batch of the first epoch.
    """

    def __init__(self, *, count: int = 16) -> None:
        self.count = count

    def begun(self, view: View) -> None:
        if not (found := boards(view.loggers)):
            return
        data = view.data
        order = data.loader("train", shuffle=data.shuffle).batch_sampler
        order.set_epoch(0)
        index = order.indices()[: order.batch_size][: self.count]
        part = data.parts["train"]
        image = torch.stack([part.images[place] for place in index.tolist()])
        batch: Batch = {"image": to_float(image), "label": part.labels[index], "index": index}
        names = [data.classes[label] for label in batch["label"].tolist()]
        sheets = {"data/fed": pictures(batch["image"])}
        if data.augmentation is not None:
            sheets = {
                "data/before_augmentation": sheets["data/fed"],
                "data/after_augmentation": pictures(data.augmented(batch, 0)["image"]),
            }
        for tag, shown in sheets.items():
            summary = summary_of(tag, sheet(shown, names))
            for board in found:
                board.write(summary)


def pictures(image: Tensor) -> list[Picture]:
    """Float [N, C, H, W] in [0, 1], or uint8: as what Pillow draws; a single channel becomes grey."""
    whole = image if image.dtype == torch.uint8 else (image.float() * 255).round().clamp(0, 255).byte()
    found = whole.cpu().permute(0, 2, 3, 1).numpy()
    if found.shape[-1] != 3:
        found = np.repeat(found[..., :1], 3, axis=-1)
    return list(found)
