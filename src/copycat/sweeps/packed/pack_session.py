"""Run one pack: lock and open the run folders of its trials, train them, and record how each ends."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from copycat.config.suggestions import describe_error
from copycat.provenance.code import uncommitted_patch
from copycat.records.lock import LockedError, locked
from copycat.records.trial_file import ENDED
from copycat.sweeps.engine import Runner
from copycat.sweeps.packed.active_trials import ActiveTrials
from copycat.sweeps.packed.loop import Pack
from copycat.sweeps.packed.preparation import PackedTrial
from copycat.sweeps.packed.trainer import PackTrainer
from copycat.sweeps.packed.trial_session import TrialSession
from copycat.sweeps.trial_folder import conclude_trial, fail_trial, start_attempt
from copycat.training.lightning_internals import choose_device, get_loops_state
from copycat.training.manifest import make_manifest
from copycat.training.process_state import LOG, isolated, logged, set_deterministic
from copycat.training.result import RunResult
from copycat.training.signals import InterruptedRun, SignalHandler
from copycat.training.standard_streams import tolerating_lost_output
from copycat.training.train import config_content, set_aside_earlier_run

log = logging.getLogger(__name__)
WRITERS = 2
"""Threads that write run folders, since a disk writes several files at once as fast as one."""


class PackSession:
    """Run prepared trials of one pack, and report to the runner."""

    def __init__(self, trials: Sequence[PackedTrial], runner: Runner) -> None:
        """Touch no folder yet."""
        self.trials, self.runner = trials, runner
        self.config, self.stop = trials[0].request.config, SignalHandler()
        self.sessions: list[TrialSession] = []

    def run(self) -> None:
        """Train the trials whose folders no other process holds."""
        with ExitStack() as context, ThreadPoolExecutor(WRITERS, thread_name_prefix="writer") as pool:
            context.enter_context(isolated(threads=self.config["trainer"]["threads"]))
            context.enter_context(tolerating_lost_output())
            context.enter_context(self.stop.listening())
            self.trials = [trial for trial in self.trials if trial.is_placeholder or self._start(trial, context)]
            if all(trial.is_placeholder for trial in self.trials):
                return
            try:
                pack = self._build(pool)
            except Exception as failure:
                log.error("the pack did not start", exc_info=failure)
                self._fail(failure)
                return
            try:
                pack.run()
            except InterruptedRun:  # in an epoch that would take too long to end
                pack.abort("interrupted", self.stop.received)
            except Exception as failure:  # of a network, say: all trials of the pack fail
                log.error("the pack failed", exc_info=failure)
                pack.abort("failed", describe_error(failure))

    def _start(self, trial: PackedTrial, context: ExitStack) -> bool:
        """Lock a trial's folder and record its start; return whether it can train."""
        try:
            trial.folder.mkdir(parents=True, exist_ok=True)
            context.enter_context(locked(trial.folder))
            trial.record = start_attempt(trial.folder, trial.record)
            if trial.record.status not in ENDED:
                if not trial.manifest:
                    set_aside_earlier_run(trial.folder)
                context.enter_context(logged(trial.folder / LOG))
                return True
        except LockedError as held:
            self.runner.mark_done(trial.job, str(held))
            return False
        except Exception as failure:
            trial.record = fail_trial(trial.record, failure)
        self.runner.close(trial.job, trial.record)
        return False

    def _build(self, pool: Executor) -> Pack:
        """Open the run folders, restore what the trials resume from, and stack them."""
        changes, manifests, loops = uncommitted_patch(self.config), dict[int, Any](), dict[str, Any]()
        for trial in self.trials:
            manifest = {} if trial.is_placeholder else self._make_manifest(trial, manifests)
            self.sessions.append(TrialSession(trial, manifest, changes=changes, loops=loops))
        loops.update(_initial_loops(self.config))  # what may fail comes after the sessions, which record it
        device = choose_device(self.config["trainer"]["accelerator"])
        unable: dict[str, None] = {}
        recorded = [session for session in self.sessions if not session.trial.is_placeholder]
        list(pool.map(lambda session: session.open(unable.setdefault), recorded))
        for line in unable:  # once, since each line goes to the logs of all trials
            log.info(line)
        _write_graphs(recorded)
        for session in self.sessions:
            session.restore(device)
        trials = ActiveTrials(self.sessions, on_end=self._close, pool=pool)
        trainer = PackTrainer(trials.sessions, device=device)
        pack = Pack(trials, trainer, stop=self.stop, on_epoch=self.runner.display.on_epoch)
        self.stop.last = self.sessions[0].clock
        return pack

    def _make_manifest(self, trial: PackedTrial, made: dict[int, Any]) -> dict[str, Any]:
        """Make the first manifest of a trial; those made before with the same data share its provenance."""
        manifest, data = trial.manifest, trial.parts.data
        if not manifest:
            text, network = config_content(trial.request.config), trial.parts.classifier.network
            manifest = make_manifest(
                trial.request, data, config=text, network=network, provenance_from=made.get(id(data))
            )
            made.setdefault(id(data), manifest)
        manifest["provenance"] = {**manifest["provenance"], "pack": [one.job.number for one in self.trials]}
        return manifest

    def _close(self, session: TrialSession, outcome: RunResult) -> None:
        trial = session.trial
        if outcome.status != "interrupted":
            self.runner.close(trial.job, conclude_trial(trial.record, outcome, trial.settings))

    def _fail(self, failure: Exception) -> None:
        """End the trials as failed, since their pack could not be built."""
        trials = [trial for trial in self.trials if not trial.is_placeholder]
        for trial in trials:
            trial.record = fail_trial(trial.record, failure)
        for session in self.sessions:
            if not session.trial.is_placeholder:
                session.end("failed", str(session.trial.record.error), session.trial.epoch)()
        for trial in trials:
            self.runner.close(trial.job, trial.record)


def _initial_loops(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of Lightning's loops at the start of a run, by a Trainer that never runs."""
    set_deterministic(config["trainer"])
    trainer = pl.Trainer(
        accelerator=config["trainer"]["accelerator"],
        devices=1,
        plugins=[LightningEnvironment()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    return get_loops_state(trainer)


def _write_graphs(sessions: Sequence[TrialSession]) -> None:
    """Write the network's graph to each TensorBoard; it is traced once for all networks of one shape."""
    traced: dict[str, Any] = {}
    for session in sessions:
        for logger in session.recorder.loggers:
            if hasattr(logger, "write_graph"):
                first = traced.setdefault(session.trial.pack_key, logger)
                if logger is first:
                    logger.log_graph(session.classifier)
                elif first.traced_graph is not None:
                    logger.write_graph(first.traced_graph)
