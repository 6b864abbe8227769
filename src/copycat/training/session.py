"""Train one run: its Trainer, its records, and its end."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import Logger
from torch import Tensor

from copycat.config.errors import UserError, hides_interrupt
from copycat.config.malloc import keep_memory, trim_memory
from copycat.config.targets import instantiate_target
from copycat.data.streams import derive_seed
from copycat.models.classifier import Stage
from copycat.models.max_pooling import pool_in_channels_last
from copycat.models.metrics import Row
from copycat.training.components import OWN_TRAINER_KEYS, RunComponents
from copycat.training.followers import FollowerRecorder
from copycat.training.lightning_internals import (
    EndingFitLoop,
    get_fit_loop,
    keep_fault_handlers,
    leave_sigterm_to_us,
    remembered_entry_points,
    set_fit_loop,
)
from copycat.training.multi_step_loop import install
from copycat.training.process_state import set_deterministic
from copycat.training.ranks import ONE_RANK, Ranks
from copycat.training.recorder import RunRecorder
from copycat.training.result import RunResult
from copycat.training.seeds import StepSeeds, seed_everything
from copycat.training.signals import InterruptedRun, SignalHandler
from copycat.training.stopping import Limiter, Limits, PrunedRun
from copycat.training.strategies import AgreeBetweenSteps, gather_network, make_strategy


class TrainingSession:
    """Train, evaluate and record one run in its folder, whose lock is held.

    Raises:
        UserError: where a callback, a logger or the Trainer cannot be built.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        components: RunComponents,
        folder: Path,
        *,
        signals: SignalHandler,
        manifest: dict[str, Any],
        extra_loggers: Sequence[Logger] = (),
        limits: Limits = Limits(),  # noqa: B008, it is frozen
        ranks: Ranks = ONE_RANK,
    ) -> None:
        """Build the Trainer with its callbacks and loggers, and write nothing."""
        self.config, self.components, self.signals, self.ranks = config, components, signals, ranks
        self.recorder = recorder = (RunRecorder if ranks.is_first else FollowerRecorder)(
            folder,
            config=config,
            components=components,
            manifest=manifest,
            extra_loggers=extra_loggers,
            quiet=limits.quiet,
        )
        pool_in_channels_last(components.classifier.network)
        self.last = recorder.last
        others = [callback for callback in recorder.callbacks if callback is not self.last]
        seeds = StepSeeds(config["seed"], components.classifier.network)
        max_time = config["trainer"].get("max_time")
        limiter = Limiter(limits, self.last, max_time=max_time, from_first=ranks.make_on_first)
        self._agreeing = self._agree_on_ends(limiter)
        steps = config["trainer"].get("steps_per_execution")
        self.trainer = make_trainer(
            config["trainer"],
            folder,
            logger=recorder.loggers,
            # saving comes before any other callback's start of a step
            callbacks=[seeds, *self._agreeing, self.last, signals, limiter, *others],
            **make_strategy(config["trainer"]),
            plugins=[self.last.files],
            enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in recorder.callbacks),
        )
        if ranks.size > 1:
            leave_sigterm_to_us(self.trainer)
        # a user's Trainer may have added some
        recorder.loggers, recorder.callbacks = self.trainer.loggers, getattr(self.trainer, "callbacks")  # noqa: B009
        settings = {"data": components.data, "seeds": seeds, "last": self.last, "limiter": limiter}
        self.multi_step = None if steps == 1 else install(self.trainer, components.classifier, steps=steps, **settings)
        if self.multi_step is None and limiter.needs_loop:
            before = get_fit_loop(self.trainer)
            set_fit_loop(self.trainer, EndingFitLoop(self.trainer, before.min_epochs, before.max_epochs))

    def _agree_on_ends(self, limiter: Limiter) -> list[pl.Callback]:
        """Let ranks agree when to save and when to end, and return the callback that does so between epochs."""
        if self.ranks.size == 1:
            return []
        decisions, last = self.ranks.decisions, self.last
        decisions.ask("signal", lambda: self.signals.received is not None)
        decisions.ask("checkpoint", lambda: last.is_due(self.trainer), first_only=True)
        decisions.ask("time limit", limiter.is_too_long, first_only=True)
        decisions.ask("budget", limiter.is_spent, first_only=True)
        last.decisions = limiter.decisions = self.signals.decisions = decisions
        return [AgreeBetweenSteps(self.ranks)]

    def run(self, *, checkpoint: Path | None = None, epoch: int = 0) -> RunResult:
        """Train from the checkpoint before an epoch, or anew, then evaluate and record."""
        status, error, recorder = "completed", None, self.recorder
        trim_memory()  # what reading the data left
        keep_memory()
        self.signals.last = self.last  # from here on a signal can save
        try:
            recorder.begin(epoch)
            classifier, data = self.components.classifier, self.components.data
            self.trainer.fit(classifier, datamodule=data, ckpt_path=checkpoint, weights_only=True)
            if (ended := self.last.ended_at) is not None:
                recorder.record_early_end("trainer.max_time", ended)
            recorder.record_final_metrics(*self._evaluate())
            gather_network(self.trainer, classifier)
            data.release()  # figures of the whole run need memory of their own
            trim_memory()
            recorder.complete(self.trainer.current_epoch)
        except PrunedRun as reason:
            status, error = "pruned", str(reason)
        except (InterruptedRun, KeyboardInterrupt):
            status, error = "interrupted", self.signals.received or "SIGINT"
        except (Exception, SystemExit) as failure:  # Lightning turns Ctrl-C into SystemExit
            self.signals.deferred = self.ranks.size > 1  # the launcher ends the other ranks
            if hides_interrupt(failure, InterruptedRun):
                status, error = "interrupted", self.signals.received or "SIGINT"
            else:
                self.ranks.failures.report(failure)
                status, error = "failed", self.ranks.failures.describe(failure, recorder.describe)
        except BaseException:  # the process must end at once
            recorder.close_loggers()
            with suppress(OSError):
                recorder.wait_until_written()
            raise
        self.signals.deferred = True  # the last records take a moment, and must be complete
        return recorder.end(status, error, epochs=self.trainer.current_epoch, steps=self.trainer.global_step)

    def _evaluate(self) -> tuple[Row, dict[str, Tensor]]:
        """Return metrics of the final weights on each part, and probabilities of all parts but train."""
        row, probabilities = Row(), dict[str, Tensor]()
        stages: list[Stage] = ["train", "val", *(["test"] if self.config["test"] else [])]  # type: ignore[list-item]
        # a Trainer's evaluation loops take as long as a small training
        is_plain = self.multi_step is not None and self.trainer.strategy.root_device.type == "cpu"
        measure = self._measure_in_memory if is_plain else self._measure_by_trainer
        for stage in stages:
            seed_everything(derive_seed("evaluate", self.config["seed"], stage))
            metrics, probabilities[stage] = measure(stage)
            row |= metrics
        del probabilities["train"]
        return row, probabilities

    def _measure_in_memory(self, stage: Stage) -> tuple[Row, Tensor]:
        return self.components.classifier.measure(stage, self.signals.until_signal(self.components.data.loader(stage)))

    def _measure_by_trainer(self, stage: Stage) -> tuple[Row, Tensor]:
        trainer: Any = self.trainer
        classifier, loader = self.components.classifier, self.components.data.loader(stage)
        loggers, callbacks = trainer.loggers, trainer.callbacks
        # log nothing, and ignore limits on batches, which are for training: final metrics are of whole parts
        trainer.loggers, trainer.callbacks = [], [*self._agreeing, self.signals]
        trainer.limit_val_batches, classifier.evaluated_stage = 1.0, stage
        try:
            trainer.validate(classifier, dataloaders=loader, verbose=False)
        finally:
            trainer.loggers, trainer.callbacks = loggers, callbacks
        return classifier.evaluation, classifier.probabilities


def make_trainer(node: Mapping[str, Any], folder: Path, **settings: Any) -> pl.Trainer:
    """Make the Trainer of a run in this folder, with the determinism that its node asks for.

    Raises:
        UserError: where it cannot be built, or is no Trainer.
    """
    set_deterministic(node)
    if "strategy" in node and "strategy" not in settings:  # what looks at a network alone needs no ranks
        settings |= {"strategy": "auto", "devices": 1, "num_nodes": 1}
    if settings.get("strategy", "auto") == "auto":  # Lightning refuses the variables of some jobs
        settings["plugins"] = [*settings.get("plugins", ()), LightningEnvironment()]
    with remembered_entry_points():
        trainer = instantiate_target(
            "trainer",
            {name: value for name, value in node.items() if name not in OWN_TRAINER_KEYS and name not in settings},
            **settings,
            enable_progress_bar=False,  # Copycat's is a callback, and does not draw at every step
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=0,  # rows are written per epoch
            use_distributed_sampler=False,
            default_root_dir=folder,
        )
    if not isinstance(trainer, pl.Trainer):
        raise UserError(f"trainer._target_: expected a pytorch_lightning.Trainer; got {node['_target_']!r}.")
    keep_fault_handlers(trainer)
    return trainer
