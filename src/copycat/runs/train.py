"""A run, from its request to its folder."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import SIGTERMException

from copycat.config.compose import Request
from copycat.config.errors import UserError
from copycat.config.hints import first_line
from copycat.config.targets import build
from copycat.models.classifier import DivergedError, Stage
from copycat.models.metrics import columns
from copycat.runs.build import OF_RUN, Parts, build_parts, placed
from copycat.runs.checkpoints import WholeCheckpoints, save_weights
from copycat.runs.folder import make_folder, unmake, write_manifest, write_whole
from copycat.runs.history import History, history_digest, read_history
from copycat.runs.isolation import isolated, logged
from copycat.runs.manifest import best_epoch, now, opening
from copycat.runs.stop import InterruptedRun, Stop

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and where its records lie."""

    folder: Path
    status: str
    """`completed`, `failed` or `interrupted`."""
    manifest: Mapping[str, Any]

    @property
    def objective(self) -> float | None:
        """What a sweep goes by: the best value of the monitored metric."""
        best = self.manifest["came_out"].get("best", {})
        value: float | None = best["metrics"][best["monitor"]] if best else None
        return value

    @property
    def best(self) -> Mapping[str, float]:
        """Metrics of the best epoch."""
        metrics: Mapping[str, float] = self.manifest["came_out"].get("best", {}).get("metrics", {})
        return metrics


def train(request: Request, *, folder: Path | None = None, watchers: Sequence[Logger] = ()) -> Outcome:
    """Run what was asked. A run that fails says so in its outcome, and why in its train.log.

    Args:
        folder: for a trial, the one its sweep gave it; None makes a new one under `output_dir`.
        watchers: loggers beside those of the configuration, such as one that prints.

    Raises:
        UserError: where what was asked cannot work; then no new folder is left.
    """
    config = request.config
    root = Path(config["output_dir"])
    with isolated(threads=config["trainer"].get("threads")):
        parts = build_parts(config)
        made = make_folder(root, request.experiment) if folder is None else folder
        made.mkdir(parents=True, exist_ok=True)
        with logged(made / "train.log"):
            try:
                run = _Run(request, parts, made, watchers)
            except UserError:
                unmake(made, root)
                raise
            return run.go()


def try_out(request: Request) -> None:
    """Build what would be trained, and leave no trace.

    Raises:
        UserError: where what was asked cannot work.
    """
    with isolated(threads=None):
        build_parts(request.config)


class _Run:
    def __init__(self, request: Request, parts: Parts, folder: Path, watchers: Sequence[Logger]) -> None:
        self.request, self.parts, self.folder = request, parts, folder
        self.config = request.config
        self.stop = Stop()
        text = OmegaConf.to_yaml(OmegaConf.create(dict(self.config))).encode()
        write_whole(folder / "config.yaml", text)
        stages: list[Stage] = ["train", "val"]
        several = len(parts.data.train_dataloader()) > 1
        self.history = History(folder, columns(stages, several_batches=several))
        callbacks = self._built("callbacks")
        self.trainer = self._trainer(
            logger=[self.history, *watchers, *self._built("logger")],
            callbacks=[self.stop, *callbacks],
            plugins=[WholeCheckpoints()],
            enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        )
        self.manifest = opening(request, parts.data, config=text)
        write_manifest(folder, self.manifest)

    def go(self) -> Outcome:
        started = time.perf_counter()
        status, error = "completed", None
        with self.stop.listening():
            try:
                for logger in self.trainer.loggers:
                    logger.log_hyperparams(dict(self.config))
                self.trainer.fit(self.parts.classifier, datamodule=self.parts.data)
                self.manifest["came_out"]["final"] = self._evaluate()
            except DivergedError as diverged:
                status, error = "failed", str(diverged)
            except (InterruptedRun, KeyboardInterrupt, SystemExit) as order:
                # Lightning takes SIGTERM over while it fits, and says so by an exception of its own
                status = "interrupted"
                error = self.stop.asked or ("SIGTERM" if isinstance(order, SIGTERMException) else "SIGINT")
            except Exception as failure:
                log.exception("the run failed")
                kind = "" if isinstance(failure, UserError) else f"{type(failure).__name__}: "
                status, error = "failed", f"{kind}{first_line(failure)}"
            self.stop.deaf = True  # what is left takes a moment, and is to be whole
            if status == "interrupted":
                self._save_last()
            return self._finish(status, error, started)

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

    def _built(self, group: str) -> list[Any]:
        nodes = self.config[group] or {}
        return [build(f"{group}.{name}", placed(node, self.folder)) for name, node in nodes.items() if node is not None]

    def _evaluate(self) -> dict[str, float]:
        """Metrics of the final weights on each part; test only where it was asked for."""
        # limits are for quick looks at training; a figure of a part is of all of it
        whole = {"limit_val_batches": 1.0, "limit_test_batches": 1.0}
        trainer = self._trainer(logger=False, callbacks=[self.stop], enable_checkpointing=False, **whole)
        classifier, data = self.parts.classifier, self.parts.data
        found: dict[str, float] = {}
        stages: list[Stage] = ["train", "val"]
        for stage in stages:
            classifier.evaluates = stage
            trainer.validate(classifier, dataloaders=data.loader(stage), verbose=False)
            found |= classifier.evaluated
        if self.config["test"]:
            trainer.test(classifier, dataloaders=data.loader("test"), verbose=False)
            found |= classifier.evaluated
        return found

    def _save_last(self) -> None:
        if self.trainer.global_step == 0:  # interrupted before there was anything to keep
            return
        try:
            self.trainer.save_checkpoint(self.folder / "checkpoints" / "last.ckpt")
        except DivergedError as diverged:  # the one before stays
            log.warning("no checkpoint: %s", diverged)

    def _finish(self, status: str, error: str | None, started: float) -> Outcome:
        self.history.finalize(status)
        rows = read_history(self.folder)
        came_out = self.manifest["came_out"]
        came_out["epochs"] = len(rows)
        came_out["history_digest"] = history_digest(self.folder)
        monitor, mode = _watched(self.trainer)
        came_out["best"] = best_epoch(rows, monitor=monitor, mode=mode)
        if status == "completed":
            state = self.parts.classifier.network.state_dict()
            came_out["weights_digest"] = save_weights(state, self.folder / "weights.safetensors")
        seconds = round(time.perf_counter() - started, 3)
        self.manifest |= {"status": status, "error": error, "ended": now(), "seconds": seconds}
        write_manifest(self.folder, self.manifest)
        return Outcome(self.folder, status, self.manifest)


def _watched(trainer: pl.Trainer) -> tuple[str, str]:
    """Metric and mode of the best checkpoint; val/loss where no checkpoint watches one."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.monitor:
            return callback.monitor, callback.mode
    return "val/loss", "min"
