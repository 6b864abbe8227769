"""A run: its trainer, its records, and how it ends."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import Logger
from torch import Tensor

from copycat.config.errors import UserError
from copycat.config.hints import first_line
from copycat.config.targets import build
from copycat.data.streams import key
from copycat.models.classifier import DivergedError, Stage
from copycat.models.metrics import Row, columns
from copycat.runs.build import OF_RUN, Parts, placed
from copycat.runs.checkpoint_file import WholeCheckpoints
from copycat.runs.checkpoints import BEFORE, LastCheckpoint
from copycat.runs.disk import Disk
from copycat.runs.heap import give_back, keep_memory
from copycat.runs.history import History
from copycat.runs.inspecting import View, finish, predicted, show_begun, show_completed
from copycat.runs.limits import Limiter, Limits, PrunedRun, TimeLimitError
from copycat.runs.multi_step_loop import install
from copycat.runs.outcome import Ending, Outcome, best_metrics, close, conclude
from copycat.runs.predictions import write_predictions
from copycat.runs.reserve import release
from copycat.runs.seeds import StepSeeds, seed_everything
from copycat.runs.stop import InterruptedRun, Stop

log = logging.getLogger(__name__)


class Run:
    """Args:
    manifest: what run.json says as it starts.

    Raises:
        UserError: where a callback, a logger or the trainer cannot be made.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        parts: Parts,
        folder: Path,
        *,
        stop: Stop,
        manifest: dict[str, Any],
        watchers: Sequence[Logger] = (),
        limits: Limits = Limits(),  # noqa: B008, it is frozen
    ) -> None:
        self.config, self.parts, self.folder, self.stop, self.manifest = config, parts, folder, stop, manifest
        stages: list[Stage] = ["train", "val"]
        several = len(parts.data.train_dataloader()) > 1
        self.disk = Disk()
        self.history = History(folder, columns(stages, several_batches=several), self.disk)
        callbacks = built(config, "callbacks", folder)
        found = [callback for callback in callbacks if isinstance(callback, LastCheckpoint)]
        self.last = found[0] if found else LastCheckpoint(str(folder / "checkpoints"), every_n_epochs=None)
        self.last.files = WholeCheckpoints(self.disk)
        others = [callback for callback in callbacks if callback is not self.last]
        if limits.quiet:
            others = [callback for callback in others if not getattr(callback, "draws", False)]
        seeds, limiter = StepSeeds(config["seed"], parts.classifier.network), Limiter(limits, self.last)
        steps = config["trainer"].get("steps_per_execution")
        self.trainer = self._trainer(
            logger=[self.history, *watchers, *built(config, "logger", folder)],
            # what is saved before a step is saved before any other callback starts that step
            callbacks=[seeds, self.last, stop, limiter, *others],
            plugins=[self.last.files],
            enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        )
        settings = {"data": parts.data, "seeds": seeds, "last": self.last, "limiter": limiter}
        self.multi_step = None if steps == 1 else install(self.trainer, parts.classifier, steps=steps, **settings)

    def go(self, *, checkpoint: Path | None = None, epoch: int = 0) -> Outcome:
        """Train, evaluate and record.

        Args:
            checkpoint: where to go on from; None starts anew.
            epoch: that it is in; of what lies before, the records are there.
        """
        status, error = "completed", None
        keep_memory()
        self.stop.last = self.last  # from here on a signal finds something to save
        try:
            for logger in self.trainer.loggers:
                logger.log_hyperparams(dict(self.config))
            classifier, data = self.parts.classifier, self.parts.data
            view = View(folder=self.folder, classifier=classifier, data=data, loggers=self.trainer.loggers)
            if epoch == 0:
                show_begun(self._callbacks, view)
            self.trainer.fit(classifier, datamodule=data, ckpt_path=checkpoint, weights_only=True)
            self.manifest["came_out"]["final"] = final = self._evaluate()
            data.release()  # what is drawn of the run as a whole takes room of its own
            give_back()
            for logger in self.trainer.loggers:
                if hasattr(logger, "log_final"):
                    logger.log_final(final, step=self.trainer.current_epoch)
            show_completed(self._callbacks, replace(view, said=self.predicted, epochs=self.trainer.current_epoch))
            self.disk.settle()
        except PrunedRun as verdict:
            status, error = "pruned", str(verdict)
        except (DivergedError, TimeLimitError) as failure:
            status, error = "failed", str(failure)
        except (InterruptedRun, KeyboardInterrupt, SystemExit):
            status, error = "interrupted", self.stop.asked or "SIGINT"
        except Exception as failure:
            status, error = "failed", self._said(failure)
        except BaseException:  # the process is to end at once
            finish(self.trainer.loggers)
            raise
        finally:
            with suppress(OSError):  # then it ended for a reason of its own
                self.last.files.write_held()
            with suppress(OSError):
                self.disk.settle()
        self.stop.deaf = True  # what is left takes a moment, and is to be whole
        release(self.folder)
        return self._finish(status, error)

    @property
    def _callbacks(self) -> list[Any]:
        found: Any = getattr(self.trainer, "callbacks")  # noqa: B009, set by a connector: mypy does not see it
        return list(found)

    def _said(self, failure: Exception) -> str:
        log.error("the run failed", exc_info=failure)
        if not self.folder.is_dir():
            return f"{self.folder}: the run folder is gone"
        if isinstance(failure, OSError) and failure.strerror:
            return f"{failure.strerror}: {failure.filename or self.folder}"
        return f"{'' if isinstance(failure, UserError) else type(failure).__name__ + ': '}{first_line(failure)}"

    def _trainer(self, **settings: Any) -> pl.Trainer:
        node = {name: value for name, value in self.config["trainer"].items() if name not in OF_RUN}
        trainer = build(
            "trainer",
            node,
            **settings,
            enable_progress_bar=False,  # ours is among the callbacks, and does not draw at every step
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=0,  # rows are written by the epoch
            use_distributed_sampler=False,
            default_root_dir=self.folder,
        )
        if not isinstance(trainer, pl.Trainer):
            raise UserError(f"trainer._target_: expected a pytorch_lightning.Trainer; got {node['_target_']!r}.")
        return trainer

    def _evaluate(self) -> Row:
        """Metrics of the final weights on each part; test only where it was asked for."""
        data, found, said = self.parts.data, Row(), dict[str, Tensor]()
        stages: list[Stage] = ["train", "val", *(["test"] if self.config["test"] else [])]  # type: ignore[list-item]
        # a Trainer's loops take as long as a small training; what supports multi-step execution needs none of them
        is_plain = self.multi_step is not None and self.trainer.strategy.root_device.type == "cpu"
        measure = self._measured if is_plain else self._measured_by_trainer
        for stage in stages:
            seed_everything(key("evaluate", self.config["seed"], stage))
            metrics, said[stage] = measure(stage)
            found |= metrics
        del said["train"]
        self.manifest["came_out"]["predictions_digest"] = digest_of(said["val"])
        write_predictions(self.folder, {part: predicted(data.parts[part], p) for part, p in said.items()})
        self.predicted = said["val"]
        return found

    def _measured(self, stage: Stage) -> tuple[Row, Tensor]:
        return self.parts.classifier.measure(stage, self.stop.between(self.parts.data.loader(stage)))

    def _measured_by_trainer(self, stage: Stage) -> tuple[Row, Tensor]:
        trainer: Any = self.trainer
        classifier, loader = self.parts.classifier, self.parts.data.loader(stage)
        loggers, callbacks = trainer.loggers, trainer.callbacks
        # nothing is logged now; and limits are for quick looks at training: a figure of a part is of all of it
        trainer.loggers, trainer.callbacks = [], [self.stop]
        trainer.limit_val_batches = trainer.limit_test_batches = 1.0
        try:
            if stage == "test":
                trainer.test(classifier, dataloaders=loader, verbose=False)
            else:
                classifier.evaluates = stage
                trainer.validate(classifier, dataloaders=loader, verbose=False)
        finally:
            trainer.loggers, trainer.callbacks = loggers, callbacks
        return classifier.evaluated, classifier.predicted

    def _finish(self, status: str, error: str | None) -> Outcome:
        monitor, mode = watched(self.trainer.checkpoint_callbacks)
        ending = Ending(
            status=status,
            error=error,
            steps=self.trainer.global_step,
            seconds=self.last.seconds,
            monitor=monitor,
            mode=mode,
        )
        try:
            conclude(self.folder, self.manifest, self.parts.classifier.network, self.history, ending)
            if status == "completed":
                self.last.path.with_name(BEFORE).unlink(missing_ok=True)
        except OSError as failure:
            ending = replace(ending, status="failed", error=error or self._said(failure))
        try:
            finish(self.trainer.loggers, best_metrics(self.manifest), step=self.trainer.current_epoch)
        finally:
            outcome = close(self.folder, self.manifest, ending)
        return outcome


def watched(callbacks: Iterable[Any]) -> tuple[str, str]:
    """Metric and mode of the best checkpoint; val/loss where no checkpoint watches one."""
    for callback in callbacks:
        if monitor := getattr(callback, "monitor", None):
            return monitor, getattr(callback, "mode", "min")
    return "val/loss", "min"


def built(config: Mapping[str, Any], group: str, folder: Path) -> list[Any]:
    """The callbacks, or the loggers, of a run in that folder.

    Raises:
        UserError: where one cannot be made.
    """
    nodes = config[group] or {}
    return [build(f"{group}.{name}", placed(node, folder)) for name, node in nodes.items() if node is not None]


def digest_of(probability: Tensor) -> str:
    """Of what a network said: equal for equal bits."""
    said = probability.cpu().contiguous().view(torch.uint8).numpy().tobytes()  # NumPy has no bfloat16
    return blake2b(said, digest_size=16).hexdigest()
