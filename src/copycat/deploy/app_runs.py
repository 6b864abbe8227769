"""The runs behind the page of `copycat app`: their predictions and saliency maps."""

import tempfile
import threading
from base64 import b64encode
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from copycat.config.errors import UserError
from copycat.data.decode import decode
from copycat.data.loaders import to_float
from copycat.deploy.predictor import Predictor, open_predictor
from copycat.inspection.callbacks.contact_sheet import Picture, encode_png
from copycat.inspection.callbacks.saliency import heatmap, saliency
from copycat.records.run_loader import Opened

MAX_NETWORKS = 4
"""Networks in memory at once, at most."""
MAX_PIXELS = 50_000_000
"""Default limit on the pixels of an image."""
DISPLAY_SIDE = 192
"""Side of a displayed image in pixels."""


class AppRuns:
    """Hold runs, or why they are refused, by the page's names for them; their networks are loaded when they are used.

    An image of more than `max_pixels` is refused before its pixels are decoded.
    """

    def __init__(self, opened: Mapping[str, Opened | str], *, max_pixels: int = MAX_PIXELS) -> None:
        """Hold the runs; none is loaded yet."""
        self.opened, self.max_pixels = opened, max_pixels
        self._open: dict[str, tuple[ExitStack, Predictor]] = {}
        self._inputs: dict[str, tuple[int, str]] = {}
        self._lock = threading.Lock()

    def read(self, name: str, content: bytes | bytearray) -> Tensor:
        """Decode an image for a run, while other requests are predicted.

        Returns:
            uint8 [3, size, size].

        Raises:
            UnreadableImage: where the content is no image, or has too many pixels.
            UserError: where the run cannot predict.
        """
        if name not in self._inputs:
            with self._lock:
                predictor = self._predictor(name)
                self._inputs[name] = predictor.size, predictor.fit
        size, fit = self._inputs[name]
        with tempfile.TemporaryDirectory(prefix="copycat-app-") as folder:
            file = Path(folder) / "image"  # never under a name that a client chose
            file.write_bytes(content)
            return decode(file, size=size, fit=fit, max_pixels=self.max_pixels)

    def predict(self, name: str, image: Tensor) -> dict[str, Any]:
        """Classify an image that was decoded for the run, and draw its saliency map.

        Raises:
            UserError: where the run cannot predict.
        """
        with self._lock:  # torch's thread count is set for one run at a time
            predictor = self._predictor(name)
            probabilities = predictor(image[None])[0].tolist()
            saliency_map = saliency(predictor.network, to_float(image)[None])
        ranked = sorted(zip(predictor.classes, probabilities, strict=True), key=lambda pair: -pair[1])
        return {
            "class": ranked[0][0],
            "probabilities": [{"name": one, "probability": probability} for one, probability in ranked],
            "image": _data_url(image.permute(1, 2, 0).numpy()),
            "looked": None if saliency_map is None else _data_url(heatmap(saliency_map[0])),
        }

    def _predictor(self, name: str) -> Predictor:
        if name not in self._open:
            opened = self.opened[name]
            if isinstance(opened, str):
                raise UserError(opened)
            while len(self._open) >= MAX_NETWORKS:
                self._open.pop(next(iter(self._open)))[0].close()
            stack = ExitStack()
            self._open[name] = stack, stack.enter_context(open_predictor(opened))
        return self._open[name][1]

    def close(self) -> None:
        """Unload all networks."""
        while self._open:
            self._open.popitem()[1][0].close()


def _data_url(picture: Picture) -> str:
    larger = max(1, DISPLAY_SIDE // max(picture.shape[:2]))
    image = Image.fromarray(picture)
    image = image.resize((image.width * larger, image.height * larger), Image.Resampling.NEAREST)
    image.thumbnail((DISPLAY_SIDE, DISPLAY_SIDE))
    content = b64encode(encode_png(np.asarray(image)))
    return f"data:image/png;base64,{content.decode()}"
