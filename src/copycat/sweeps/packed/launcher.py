"""Launch trials in packs: those that differ in numbers alone train as one stacked network, others in processes."""

import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from math import ceil
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig

from copycat.config.compose import Request
from copycat.config.errors import UserError
from copycat.config.options import is_option
from copycat.config.printable import print_line
from copycat.config.suggestions import describe_error
from copycat.config.trial_composition import compose_trial_request
from copycat.data.datamodule import DataModule
from copycat.provenance.backbone import check_backbone
from copycat.provenance.code import uncommitted_patch
from copycat.provenance.diagnosis import RunInputs, diagnose
from copycat.records.lock import LockedError, locked
from copycat.records.run_loader import read_checkpoint
from copycat.records.trial_file import ENDED, Trial, read_trial, write_trial
from copycat.sweeps.engine import Job, Runner
from copycat.sweeps.launchers.processes import Pool
from copycat.sweeps.launchers.trial import conclude_trial, fail_trial, get_hydra_overrides, make_pruner, start_attempt
from copycat.sweeps.packed.autotune import choose_pack_size
from copycat.sweeps.packed.eligibility import pack_key, why_not_packable
from copycat.sweeps.packed.loop import Pack
from copycat.sweeps.packed.trial import PackedTrial, TrialSession
from copycat.sweeps.search.objectives import get_named_metrics, get_objectives
from copycat.sweeps.trial_folder import find_run, wait_until_free
from copycat.training.derived_settings import fill_image_size
from copycat.training.factory import build_components, build_data
from copycat.training.lightning_internals import choose_device, get_loops_state
from copycat.training.manifest import make_manifest, now
from copycat.training.process_state import LOG, isolated, logged
from copycat.training.result import RunResult
from copycat.training.resume import find_resume_point, make_resumed_manifest
from copycat.training.signals import InterruptedRun, SignalHandler
from copycat.training.standard_streams import tolerating_lost_output
from copycat.training.train import config_content, fill_threads, set_aside_earlier_run

log = logging.getLogger(__name__)
SEARCH_BATCH = 16
"""Default number of trials that a search proposes at once; their results inform its next proposals."""
WRITERS = 2
"""Threads that write run folders, since a disk writes several files at once as fast as one."""


class PackLauncher:
    """Train the trials of a sweep in packs, and those that cannot be packed in worker processes.

    Args:
        config: of the sweep, with Hydra's node.
        max_trials_per_pack: limit of trials per pack; None for as many as memory and speed allow.
    """

    def __init__(self, config: DictConfig, *, max_trials_per_pack: int | None) -> None:
        """Start without packs."""
        self.config, self.max_trials_per_pack = config, max_trials_per_pack
        self.hydra_overrides = get_hydra_overrides(config)
        self.searches = "sampler" in config.hydra.sweeper
        self._data: dict[str, DataModule] = {}
        self._reported: set[str] = set()

    def run(self, runner: Runner) -> None:
        """Run trials until none is left.

        Raises:
            KeyboardInterrupt: if a signal ended the sweep.
        """
        most = (self.max_trials_per_pack or SEARCH_BATCH) if self.searches else None
        while jobs := list(_take_jobs(runner, most)):
            groups: dict[str, list[PackedTrial]] = {}
            rest: list[Job] = []
            for trial in self._compose_trials(jobs, runner):
                why = self._prepare(trial)
                if isinstance(why, Exception):
                    self._close(trial, fail_trial(trial.record, why), runner)
                elif isinstance(why, RunResult):
                    self._close(trial, conclude_trial(trial.record, why, trial.settings), runner)
                elif why is not None:
                    self._report_unpacked(trial.job.number, why)
                    rest.append(trial.job)
                else:
                    groups.setdefault(pack_key(trial), []).append(trial)
            for group in groups.values():
                for pack in self._split_group(group):
                    if runner.stopped:
                        return
                    self._train(pack, runner)
            if rest and not runner.stopped:
                with Pool(self.config, workers=None, threads=None) as pool:
                    pool.run(_RemainingTrials(runner, rest))

    # ----- preparation of trials

    def _compose_trials(self, jobs: Sequence[Job], runner: Runner) -> Iterator[PackedTrial]:
        """Compose each trial; report those that have ended, are locked, or have an invalid configuration."""
        for job in jobs:
            folder = runner.folder / str(job.number)
            try:
                wait_until_free(folder)
            except LockedError as held:
                runner.mark_done(job, str(held))
                continue
            record = read_trial(folder)
            if record.status in ENDED:
                runner.mark_done(job)
                continue
            trial = PackedTrial(job, record, folder, Request(config={}), settings={})
            try:
                composed = compose_trial_request([*self.hydra_overrides, *job.overrides])
            except UserError as mistake:
                self._close(trial, fail_trial(trial.record, mistake), runner)
                continue
            trial.settings = composed.settings
            trial.request = Request(
                config=fill_threads(composed.config), experiment=composed.experiment, overrides=trial.record.overrides
            )
            trial.pruner = make_pruner(composed.sweeper, folder, next(iter(get_objectives(trial.settings))))
            yield trial

    def _prepare(self, trial: PackedTrial) -> Exception | RunResult | str | None:
        """Build a trial's parts.

        Returns:
            None if it can be packed, the reason if not, the outcome of a run that has ended, or the error it fails by.
        """
        try:
            with isolated(threads=None):
                if (outcome_or_reason := self._load_started_run(trial)) is not None:
                    return outcome_or_reason
                config = fill_image_size(trial.request.config)
                if why := why_not_packable(config):
                    return why
                metrics = get_named_metrics(trial.settings)
                trial.parts = build_components(config, data=self._get_data(config), metrics=metrics)
                trial.request = replace(trial.request, config=trial.parts.config)
                if trial.manifest:
                    _check_data(trial)
                return why_not_packable(config, trial.parts)
        except Exception as failure:
            return failure

    def _load_started_run(self, trial: PackedTrial) -> RunResult | str | None:
        """Load the checkpoint of a trial that was started before.

        Returns:
            The outcome of a run that has ended, the reason why the trial cannot be packed, else None.
        """
        opened = find_run(trial.folder, trial.request.overrides)
        if opened is None:
            return None
        if opened.manifest["status"] in ENDED:  # the sweep died before it recorded that
            return RunResult(trial.folder, str(opened.manifest["status"]), opened.manifest)
        point = find_resume_point(opened, say=log.info)
        if point.position.batch:
            return "it stopped inside an epoch"
        trial.manifest = make_resumed_manifest(opened.manifest, point)
        # the recorded configuration has values that the first start resolved: the number of threads, say
        trial.request = replace(trial.request, config=opened.config)
        if point.checkpoint is not None:
            trial.checkpoint = read_checkpoint(point.checkpoint, opened)
        return None

    def _get_data(self, config: Mapping[str, Any]) -> DataModule:
        """Return a data module, shared by trials with the same batches; images are read once per split."""
        node, augmentation = config["data"], config["augmentation"]
        shuffles = node["batch_size"] is not None if node["shuffle"] is None else node["shuffle"]
        varies = shuffles or not is_option(augmentation["_target_"], "augmentation", "none")
        own = json.dumps([node, augmentation, config["seed"] if varies else None], sort_keys=True)
        if own not in self._data:
            parse_dataclass = build_data(node, seed=config["seed"], augmentation=augmentation)
            read = json.dumps({name: node[name] for name in node if name not in ("shuffle", "batch_size")})
            if read in self._data:
                parse_dataclass.share_parts(self._data[read])
            self._data.setdefault(read, parse_dataclass)
            self._data[own] = parse_dataclass
        return self._data[own]

    def _report_unpacked(self, number: int, why: str) -> None:
        """Report why a trial is not packed: each reason once on standard error, each trial in the log."""
        log.info("trial %s is not packed: %s", number, why)
        if why not in self._reported:
            self._reported.add(why)
            print_line(f"copycat: trial {number} runs in a process of its own, not in a pack: {why}", error=True)

    # ----- packs

    def _split_group(self, group: list[PackedTrial]) -> Iterator[list[PackedTrial]]:
        if group[0].pack:  # a pack resumes with the same trials: another size could change bits
            yield group
            return
        size = min(len(group), self.max_trials_per_pack or sys.maxsize)
        if size > 1:
            config = group[0].request.config
            with isolated(threads=config["trainer"]["threads"]):
                size = choose_pack_size(group[0], most=size, device=choose_device(config["trainer"]["accelerator"]))
        count = ceil(len(group) / size)
        for place in range(count):
            yield group[place * len(group) // count : (place + 1) * len(group) // count]

    def _train(self, trials: Sequence[PackedTrial], runner: Runner) -> None:
        config, stop = trials[0].request.config, SignalHandler()
        with ExitStack() as context, ThreadPoolExecutor(WRITERS, thread_name_prefix="writer") as pool:
            context.enter_context(isolated(threads=config["trainer"]["threads"]))
            context.enter_context(tolerating_lost_output())
            context.enter_context(stop.listening())
            entered = [one for one in trials if self._start_trial(one, context, runner)]
            if not entered:
                return
            sessions: list[TrialSession] = []
            try:
                pack = self._build_pack(entered, sessions, stop, pool, runner)
            except Exception as failure:
                log.error("the pack was not begun", exc_info=failure)
                self._fail_trials(entered, sessions, failure, runner)
                return
            try:
                pack.run()
            except InterruptedRun:  # in an epoch that would take too long to end
                pack.interrupt()
            except Exception as failure:  # of a network, say: all trials of the pack fail
                log.error("the pack failed", exc_info=failure)
                pack.fail(describe_error(failure))

    def _start_trial(self, trial: PackedTrial, context: ExitStack, runner: Runner) -> bool:
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
            runner.mark_done(trial.job, str(held))
            return False
        except Exception as failure:
            trial.record = fail_trial(trial.record, failure)
        self._close(trial, trial.record, runner)
        return False

    def _build_pack(
        self,
        trials: Sequence[PackedTrial],
        sessions: list[TrialSession],
        stop: SignalHandler,
        pool: Executor,
        runner: Runner,
    ) -> Pack:
        """Build a pack of prepared trials, and open their run folders.

        Args:
            trials: to pack.
            sessions: receives the sessions, also if building fails.
            stop: tells of signals.
            pool: writes files.
            runner: receives the results.
        """
        config = trials[0].request.config
        changes, numbers = uncommitted_patch(config), [one.job.number for one in trials]
        first: dict[int, Any] = {}
        sessions.extend(self._make_session(one, numbers, first, changes) for one in trials)
        trainer, device = _trainer(config), choose_device(config["trainer"]["accelerator"])
        unable: dict[str, None] = {}
        list(pool.map(lambda session: session.open(unable.setdefault), sessions))
        for line in unable:  # once, since each line goes to the logs of all trials
            log.info(line)
        _write_graphs(sessions)
        for session in sessions:
            session.restore(device)

        def on_trial_end(session: TrialSession, outcome: RunResult) -> None:
            if outcome.status != "interrupted":
                self._close(
                    session.trial, conclude_trial(session.trial.record, outcome, session.trial.settings), runner
                )

        loops = get_loops_state(trainer)
        pack = Pack(sessions, device=device, loops=loops, stop=stop, on_trial_end=on_trial_end, pool=pool)
        stop.last = sessions[0].clock
        return pack

    def _fail_trials(
        self, trials: Sequence[PackedTrial], sessions: Sequence[TrialSession], failure: Exception, runner: Runner
    ) -> None:
        """End the trials of a pack that could not be built, as failed."""
        ended = {id(one): fail_trial(one.record, failure) for one in trials}
        for session in sessions:
            session.end("failed", str(ended[id(session.trial)].error), session.trial.position, {})()
        for one in trials:
            self._close(one, ended[id(one)], runner)

    def _make_session(
        self, trial: PackedTrial, numbers: list[int], first: dict[int, Any], changes: bytes | None
    ) -> TrialSession:
        assert trial.parts is not None
        manifest, data = trial.manifest, trial.parts.data
        if not manifest:
            text, network = config_content(trial.request.config), trial.parts.classifier.network
            manifest = make_manifest(
                trial.request, data, config=text, network=network, provenance_from=first.get(id(data))
            )
            first.setdefault(id(data), manifest)
        manifest["provenance"] = {**manifest["provenance"], "pack": numbers}
        return TrialSession(trial, manifest, changes=changes)

    def _close(self, trial: PackedTrial, record: Trial, runner: Runner) -> None:
        write_trial(trial.folder, replace(record, ended=now()))
        runner.mark_done(trial.job)


def _check_data(trial: PackedTrial) -> None:
    """Check that data and backbone are those that a run started with.

    Raises:
        UserError: if one of them changed.
    """
    assert trial.parts is not None
    folder, manifest, config, data = trial.folder, trial.manifest, trial.request.config, trial.parts.data
    check_backbone(trial.parts.classifier.network, manifest, folder=folder)
    if manifest["provenance"]["data"].get("all") == data.fingerprint().get("all"):
        return
    for cause in diagnose(RunInputs.from_folder(folder, manifest, config), RunInputs.from_process(config, data)):
        if cause.kind == "data":
            raise UserError(f"{folder}: expected the data that the run began with; {cause.line}.")


def _take_jobs(runner: Runner, most: int | None) -> Iterator[Job]:
    """Take the next trials, at most `most`; all of them if it is None."""
    count = 0
    while (most is None or count < most) and (job := runner.next()):
        count += 1
        yield job


def _trainer(config: Mapping[str, Any]) -> pl.Trainer:
    """Make a Trainer that never runs, for the initial state of its loops."""
    return pl.Trainer(
        accelerator=config["trainer"]["accelerator"],
        devices=1,
        deterministic=config["trainer"].get("deterministic"),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _write_graphs(sessions: Sequence[TrialSession]) -> None:
    """Write the network's graph to each TensorBoard; it is traced once, since it is the same for all."""
    loggers = [logger for session in sessions for logger in session.recorder.loggers if hasattr(logger, "write_graph")]
    for logger in loggers:
        if logger is loggers[0]:
            logger.log_graph(sessions[0].classifier)
        elif loggers[0].traced_graph is not None:
            logger.write_graph(loggers[0].traced_graph)


class _RemainingTrials:
    """Provide worker processes with the trials that cannot be packed."""

    def __init__(self, runner: Runner, jobs: Sequence[Job]) -> None:
        """Provide these trials, and report to the runner."""
        self._runner, self._jobs = runner, list(jobs)

    def next(self) -> Job | None:
        """Return the next trial; None if none is left, or too many failed."""
        return self._jobs.pop(0) if self._jobs and not self._runner.stopped else None

    def mark_done(self, job: Job, problem: str | None = None) -> None:
        """Report a trial, and take it again if its process died."""
        self._runner.mark_done(job, problem)
        if read_trial(self._runner.folder / str(job.number)).status not in ENDED:
            again = self._runner.next()  # the runner put it back, since its process died
            self._jobs.extend([again] if again is not None else [])
