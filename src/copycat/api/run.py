"""Train from Python, and use a recorded run: its metrics, network, predictions, evaluation, resume and rerun."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from html import escape
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from copycat.api.table import Table
from copycat.config.compose import Request, check_single_run, compose
from copycat.config.errors import UserError
from copycat.config.extras import require_package
from copycat.config.metric_names import with_mean_loss
from copycat.config.overrides import as_words
from copycat.config.process_lock import process_lock
from copycat.config.suggestions import did_you_mean, first_line, one_of
from copycat.data.sources.root import check_image_folder
from copycat.deploy.arguments import check_views
from copycat.records.lock import KILLED, current_status
from copycat.records.metrics_csv import read_history
from copycat.records.reader import check_run_folder
from copycat.records.run_folder import MANIFEST
from copycat.records.run_loader import check_has_weights, open_recorded, open_run

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure
    from torch import nn

    from copycat.api.images import ImageInput, Predictions
    from copycat.records.run_loader import Opened
    from copycat.reruns.rerun import Rerun

PathInput: TypeAlias = str | os.PathLike[str]


@process_lock()
def train(overrides: Sequence[str] | Request = (), **keys: Any) -> "Run":
    """Train a run, and return it from its new folder.

    A run that fails or is interrupted is returned too: see `Run.status` and `Run.error`.

    Args:
        overrides: as on the command line, such as `["model=shallow", "optimizer.lr=1e-3"]`, or what `compose` returns.
        keys: further overrides of keys without a dot, such as `model="shallow"` or `seed=1`.

    Raises:
        UserError: where the request cannot work; then no folder is left.
    """
    if isinstance(overrides, Request):
        if keys:
            raise UserError(f"train: expected a composed request alone; got {', '.join(keys)} too.")
        request = overrides
    else:
        request = compose(as_words(overrides, keys))
    check_single_run(request)
    check_image_folder(request.config)
    from copycat.training.train import train

    return load_run(train(request).folder)


def load_run(path: PathInput) -> "Run":
    """Read the folder of a run.

    Raises:
        UserError: where it is no run, its files are damaged, or it comes from somebody else and is refused.
    """
    return Run(path)


class Run:
    """Represent a recorded run. Everything is read from its folder, which may be moved or copied."""

    def __init__(self, folder: PathInput) -> None:
        """Read configuration and manifest; nothing is built yet. As `load_run`."""
        self._folder = Path(folder).absolute()  # a program may change its working directory
        self._written, self._last_opened = self._manifest_time(), open_recorded(self._folder)

    @property
    def folder(self) -> Path:
        """Return the folder."""
        return self._folder

    @property
    def _opened(self) -> "Opened":
        """Return the content of the folder, read again where the run has ended or was resumed since."""
        if (written := self._manifest_time()) not in (None, self._written):
            self._written, self._last_opened = written, open_recorded(self.folder)
        return self._last_opened

    def _manifest_time(self) -> int | None:
        with suppress(OSError):  # a folder that was moved: what was read of it stays
            return (self.folder / MANIFEST).stat().st_mtime_ns
        return None

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the whole resolved configuration."""
        return deepcopy(self._opened.config)  # a rerun and a prediction build what the run recorded

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Return the content of run.json."""
        return deepcopy(self._opened.manifest)

    @property
    def status(self) -> str:
        """Return `completed`, `failed`, `interrupted`, `pruned`, `running`, or `killed` where its process is gone."""
        status = current_status(self._opened.manifest["status"], self.folder)
        # one that ended between the look at its manifest and that at its lock was not killed
        return current_status(self._opened.manifest["status"], self.folder) if status == KILLED else status

    @property
    def error(self) -> str | None:
        """Return why the run failed; None where it did not."""
        error: str | None = self._opened.manifest["error"]
        return error

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the class names, by label."""
        return tuple(self._opened.manifest["data"]["classes"])

    @property
    def metrics(self) -> Table:
        """Return the metrics of every epoch.

        Raises:
            UserError: where metrics.csv is damaged, or the folder is no longer there.
        """
        try:
            return Table(read_history(self._opened.folder))
        except FileNotFoundError:
            check_run_folder(self.folder)
            return Table([])

    @property
    def final(self) -> Mapping[str, float]:
        """Return the metrics of the final weights; empty before the run has ended."""
        final: Mapping[str, float] = self._opened.manifest["results"].get("final", {})
        return dict(final)

    @property
    def best(self) -> Mapping[str, float]:
        """Return the metrics of the best epoch; empty where there is none."""
        best: Mapping[str, float] = self._opened.manifest["results"].get("best", {}).get("metrics", {})
        return dict(best)

    def plot(self, metrics: Sequence[str] = ("loss", "accuracy")) -> "Figure":
        """Draw metrics by epoch, training and validation in one panel, with the best epoch marked.

        A notebook shows the figure; elsewhere it has `savefig`.

        Args:
            metrics: names without their part, such as `loss` or `auroc`.

        Raises:
            UserError: where matplotlib is not installed, or no epoch has such a metric.
        """
        require_package("matplotlib", wanted_by="plot")
        from copycat.api.plots import plot_metrics

        return plot_metrics(self.metrics, metrics, best=self._opened.manifest["results"].get("best", {}).get("epoch"))

    def plot_confusion(self, part: str = "val") -> "Figure":
        """Draw the confusion matrix of the final weights: true classes in rows, predicted classes in columns.

        Args:
            part: `val`, or `test` of a run with `test=true`.

        Raises:
            UserError: where matplotlib is not installed, the run recorded no predictions of that part, or its images
                may have several classes.
        """
        require_package("matplotlib", wanted_by="plot_confusion")
        from copycat.api.plots import plot_confusion

        return plot_confusion(self._opened.folder, part, classes=self.classes)

    @process_lock()
    def model(self, device: "str | torch.device" = "cpu") -> "nn.Module":
        """Return the network with its final weights, in evaluation mode: plain PyTorch, float images [B, C, H, W] in.

        Raises:
            UserError: where there are no final weights, they are damaged, or torch has no such device here.
        """
        import torch

        from copycat.deploy.predictor import open_predictor

        self._check_weights()
        with open_predictor(self._opened) as predictor:
            try:
                return predictor.network.to(torch.device(device))
            except (AssertionError, RuntimeError, TypeError) as error:  # a build without CUDA asserts it
                problem = first_line(error)
                raise UserError(f"device: expected one that torch has here; got {str(device)!r}: {problem}.") from error

    @process_lock()
    def predict(self, images: "ImageInput | Sequence[ImageInput]", *, views: int = 1) -> "Predictions":
        """Classify images: paths, PIL images, uint8 arrays [H, W, 3] or uint8 tensors [3, H, W], of any size.

        Args:
            images: one image or several.
            views: number of augmented views of each image over which probabilities are averaged, from 1 to 1000.

        Raises:
            UserError: where there are no final weights, or an image cannot be read.
        """
        check_views(views)
        from copycat.api.images import predict_images
        from copycat.deploy.predictor import open_predictor

        self._check_weights()
        with open_predictor(self._opened, views=views) as predictor:
            return predict_images(predictor, images)

    @process_lock()
    def evaluate(self, overrides: Sequence[str] = (), *, views: int = 1) -> Table:
        """Evaluate the final weights: each metric of each part, with its 95 % interval.

        Args:
            overrides: which data, such as `["data=folder", "data.root=photos"]`; none for the run's own.
            views: as for `predict`.

        Raises:
            UserError: where there are no final weights, or the data cannot be read or have other classes.
        """
        check_views(views)
        from copycat.deploy.evaluation import evaluate_parts

        self._check_weights()
        return Table(evaluate_parts(self._opened, as_words(overrides), views=views).rows())

    @process_lock()
    def calibrate(
        self,
        *,
        on: Literal["validation", "half", "out of fold"] | None = None,
        coverage: float | None = None,
        recall: float | None = None,
        positive: str | None = None,
        costs: Sequence[Sequence[float]] | None = None,
        sets: Literal["lac", "aps"] | None = None,
    ) -> Table:
        """Fit a temperature, write it beside the weights, and return the figures by which it was checked.

        `predict`, `evaluate` and exports use it from then on.

        Args:
            on: the images to fit on; None: out-of-fold predictions where the run belongs to a sweep of folds, else the
                validation images.
            coverage: of conformal sets, as `Predictions.sets` has them.
            recall: of the class `positive`, by default the second of two, which a threshold is chosen for.
            positive: the name of a class.
            costs: of predicted classes (columns) by true class (rows); the cheapest is predicted.
            sets: kind of the sets; None: lac.

        Raises:
            UserError: where a value is not as expected, there are too few images, or the predictions cannot be read.
        """
        from copycat.deploy.calibrate import calibrate
        from copycat.deploy.calibration_plan import How, make_plans
        from copycat.deploy.calibration_request import PARAMETERS, make_request

        if on not in (None, *(kinds := get_args(How))):
            raise UserError(f"on: expected one of {one_of(kinds)}; got {on!r}.{did_you_mean(on, kinds)}")
        (plan,) = make_plans(self.folder, how=on)
        request = make_request(
            self.classes,
            multi_label=plan.is_multi_label,
            names=PARAMETERS,
            costs=costs,
            recall=recall,
            positive=positive,
            coverage=coverage,
            sets=sets,
        )
        return Table(calibrate(plan, request).rows())

    @process_lock()
    def resume(self, *, max_epochs: int | None = None, max_time: str | float | None = None) -> "Run":
        """Resume a run that was stopped, or train any run on to more epochs or for more time, and return it.

        Args:
            max_epochs: number of epochs in all.
            max_time: time in all, as `10m` or in seconds, for a run that ended by `trainer.max_time`; `inf`: no limit.

        Raises:
            UserError: where the run has all its epochs, or its data have changed.
        """
        check_image_folder(self.config)
        from copycat.training.extension import check_more
        from copycat.training.resume import resume

        more: dict[str, Any] = {"trainer.max_epochs": max_epochs, "trainer.max_time": max_time}
        more = {key: value for key, value in more.items() if value is not None}
        if max_time == inf:
            more["trainer.max_time"] = None
        check_more(more)
        resume(open_run(self.folder), notify=lambda _: None, more=more)
        return load_run(self.folder)

    @process_lock()
    def rerun(self, *, data: PathInput | None = None) -> "Rerun":
        """Train the run again from its folder alone, and compare both bit for bit.

        `rerun().comparison.differences` is empty where they are identical.

        Args:
            data: where the images lie now, if they were moved.

        Raises:
            UserError: where the run can no longer be built.
        """
        from copycat.reruns.rerun import rerun

        return rerun(self._opened, notify=lambda _: None, data=None if data is None else Path(data))

    def _check_weights(self) -> None:
        check_run_folder(self.folder)
        check_has_weights(self._opened)

    def __repr__(self) -> str:
        """Return folder and status."""
        return f"Run({str(self.folder)!r}, {self.status})"

    def _repr_html_(self) -> str:
        """Return status and metrics, for notebooks."""
        parts, metrics = (list(dict.fromkeys(name.partition("/")[at] for name in self.final)) for at in (0, 2))
        best = with_mean_loss(self.best)
        rows = [
            {"metric": metric}
            | {f"{part}, final": self.final.get(f"{part}/{metric}") for part in parts}
            | {f"{part}, best epoch": best.get(f"{part}/{metric}") for part in parts if best}
            for metric in metrics
        ]
        return f"<p>{escape(repr(self))}</p>{Table(rows)._repr_html_() if rows else ''}"
