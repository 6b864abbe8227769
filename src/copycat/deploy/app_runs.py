"""The runs behind `copycat app` and `copycat serve`: their predictions, saliency maps and example images."""

import math
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.data.decode import decode
from copycat.data.loaders import to_float
from copycat.deploy.app_examples import Example, find_examples
from copycat.deploy.app_pictures import DISPLAY_SIDE, input_url, photo_url, saliency_url
from copycat.deploy.calibration_note import make_note
from copycat.deploy.decision import describe_set, join_names
from copycat.deploy.predict import Prediction, classify, make_row
from copycat.deploy.predictor import Predictor, open_predictor
from copycat.inspection.callbacks.saliency import saliency
from copycat.records.run_loader import Opened

MAX_NETWORKS = 4
"""Networks in memory at once, and runs side by side, at most."""


@dataclass(frozen=True)
class DecodedImage:
    """Hold an image as a run's network takes it, and larger as the page shows it, both cropped alike."""

    model_input: Tensor
    """uint8 [3, size, size]."""
    display: Tensor
    """uint8 [3, DISPLAY_SIDE, DISPLAY_SIDE]."""


class AppRuns:
    """Hold runs, or why they are refused, by the page's names for them; their networks are loaded when they are used.

    An image of more than `max_pixels` is refused before its pixels are decoded.
    """

    def __init__(self, opened: Mapping[str, Opened | str], *, max_pixels: int, calibrated: bool = True) -> None:
        """Hold the runs; none is loaded yet."""
        self.opened, self.max_pixels, self.calibrated = opened, max_pixels, calibrated
        self._open: dict[str, tuple[ExitStack, Predictor]] = {}
        self._inputs: dict[str, tuple[int, str]] = {}
        self._examples: dict[str, Sequence[Example]] = {}
        self._lock, self._examples_lock = threading.Lock(), threading.Lock()

    def load(self, name: str) -> None:
        """Load a run's network before it is used.

        Raises:
            UserError: where the run cannot predict.
        """
        with self._lock:
            self._predictor(name)

    def examples(self, name: str) -> Sequence[Example]:
        """Return a few validation images of a run; none where they cannot be read."""
        opened = self.opened[name]
        if isinstance(opened, str):
            return ()
        with self._examples_lock:
            if name not in self._examples:
                self._examples[name] = find_examples(opened, max_pixels=self.max_pixels)
            return self._examples[name]

    def read(self, name: str, content: bytes | bytearray) -> DecodedImage:
        """Decode an image for a run, while other requests are predicted.

        Raises:
            UnreadableImage: where the content is no image, or has too many pixels.
            UserError: where the run cannot predict.
        """
        size, fit = self._input(name)
        with _as_file(content) as file:
            model_input = decode(file, size=size, fit=fit, max_pixels=self.max_pixels)
            return DecodedImage(model_input, decode(file, size=DISPLAY_SIDE, fit=fit, max_pixels=self.max_pixels))

    def read_input(self, name: str, content: bytes | bytearray) -> Tensor:
        """Decode an image for a run's network alone, to uint8 [3, size, size].

        Raises:
            UnreadableImage: as `read` does.
            UserError: as `read` does.
        """
        size, fit = self._input(name)
        with _as_file(content) as file:
            return decode(file, size=size, fit=fit, max_pixels=self.max_pixels)

    def _input(self, name: str) -> tuple[int, str]:
        """Return the side of a run's images, and how they are made square."""
        if name not in self._inputs:
            with self._lock:
                predictor = self._predictor(name)
                self._inputs[name] = predictor.size, predictor.fit
        return self._inputs[name]

    def classify(self, name: str, images: Sequence[tuple[str, Tensor]]) -> list[dict[str, Any]]:
        """Classify images, by their names, that were decoded for the run: the rows of `copycat predict --json`.

        Raises:
            UserError: where the run cannot predict.
        """
        with self._lock:
            predictor = self._predictor(name)
            found = list(classify(predictor, torch.stack([image for _, image in images])))
        if not all(math.isfinite(probability) for probabilities, _, _ in found for probability in probabilities):
            raise UserError(f"{name}: expected probabilities; its network gives values that are no numbers.")
        rows = [make_row(Prediction(Path(), *one), predictor.classes) for one in found]
        return [{**row, "file": file} for row, (file, _) in zip(rows, images, strict=True)]

    def predict(self, name: str, image: DecodedImage) -> dict[str, Any]:
        """Classify an image that was decoded for the run, and draw its saliency map.

        Raises:
            UserError: where the run cannot predict.
        """
        with self._lock:  # torch's thread count is set for one run at a time
            predictor = self._predictor(name)
            found = predictor(image.model_input[None])
            decided, made = predictor.decide(found), predictor.calibration
            saliency_map = saliency(predictor.network, to_float(image.model_input)[None])
        probabilities = found[0].tolist()
        row = make_row(Prediction(Path(), probabilities, decided.labels[0].tolist()), predictor.classes)
        ranked = sorted(zip(predictor.classes, probabilities, strict=True), key=lambda pair: -pair[1])
        return {
            "class": row["class"] if "class" in row else join_names(row["classes"]),
            "probability": row.get("probability"),
            "calibration": None if made is None else make_note(made, predictor.classes),
            "set": None if decided.sets is None else describe_set(predictor.classes, decided.sets[0]),
            "probabilities": [{"name": one, "probability": probability} for one, probability in ranked],
            "image": photo_url(image.display),
            "input": input_url(image.model_input),
            "size": predictor.size,
            "saliency": saliency_url(None if saliency_map is None else saliency_map[0]),
        }

    def _predictor(self, name: str) -> Predictor:
        if name not in self._open:
            opened = self.opened[name]
            if isinstance(opened, str):
                raise UserError(opened)
            while len(self._open) >= MAX_NETWORKS:
                self._open.pop(next(iter(self._open)))[0].close()
            stack = ExitStack()
            self._open[name] = stack, stack.enter_context(open_predictor(opened, calibrated=self.calibrated))
        return self._open[name][1]

    def close(self) -> None:
        """Unload all networks."""
        while self._open:
            self._open.popitem()[1][0].close()


@contextmanager
def _as_file(content: bytes | bytearray) -> Iterator[Path]:
    """Yield a file of this content, never under a name that a client chose."""
    with tempfile.TemporaryDirectory(prefix="copycat-app-") as folder:
        file = Path(folder) / "image"
        file.write_bytes(content)
        yield file
