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

from copycat.config.compose import Request, compose_words
from copycat.config.errors import UserError
from copycat.config.options import is_option
from copycat.config.printable import print_line
from copycat.config.suggestions import described
from copycat.data.datamodule import DataModule
from copycat.provenance.backbone import check_backbone
from copycat.provenance.code import patch
from copycat.provenance.diagnosis import Evidence, causes
from copycat.records.lock import LockedError, locked
from copycat.records.run_loader import read_checkpoint
from copycat.records.trial_file import ENDED, Trial, read_trial, write_trial
from copycat.sweeps.engine import Job, Runner
from copycat.sweeps.launchers.processes import Pool
from copycat.sweeps.launchers.trial import came_of, failed, judge_of, started, words_of_sweep
from copycat.sweeps.packed.autotune import best_size
from copycat.sweeps.packed.eligibility import alike, unfit
from copycat.sweeps.packed.loop import Pack
from copycat.sweeps.packed.trial import Asked, Member
from copycat.sweeps.search.objectives import named_metrics, objectives
from copycat.sweeps.trial_folder import find_run, wait_until_free
from copycat.training.derived_settings import prepared
from copycat.training.factory import build_data, build_parts
from copycat.training.lightning_internals import choose_device, get_loops_state
from copycat.training.manifest import now, opening
from copycat.training.process_state import LOG, isolated, logged
from copycat.training.result import Outcome
from copycat.training.resume import find_point, reopened
from copycat.training.signals import InterruptedRun, Stop
from copycat.training.standard_streams import tolerating_lost_output
from copycat.training.train import as_text, start_clean, with_threads

log = logging.getLogger(__name__)
OF_A_SEARCH = 16
"""Default number of trials that a search proposes at once; their results inform its next proposals."""
WRITERS = 2
"""Threads that write run folders, since a disk writes several files at once as fast as one."""


class Packs:
    """Train the trials of a sweep in packs, and those that cannot be packed in worker processes.

    Args:
        config: of the sweep, with Hydra's node.
        max_trials_per_pack: limit of trials per pack; None for as many as memory and speed allow.
    """

    def __init__(self, config: DictConfig, *, max_trials_per_pack: int | None) -> None:
        """Start without packs."""
        self.config, self.max_trials_per_pack = config, max_trials_per_pack
        self.words = words_of_sweep(config)
        self.searches = "sampler" in config.hydra.sweeper
        self._data: dict[str, DataModule] = {}
        self._said: set[str] = set()

    def run(self, runner: Runner) -> None:
        """Run trials until none is left.

        Raises:
            KeyboardInterrupt: if a signal ended the sweep.
        """
        most = (self.max_trials_per_pack or OF_A_SEARCH) if self.searches else None
        while jobs := list(_taken(runner, most)):
            groups: dict[str, list[Asked]] = {}
            rest: list[Job] = []
            for asked in self._asked(jobs, runner):
                why = self._prepare(asked)
                if isinstance(why, Exception):
                    self._close(asked, failed(asked.trial, why), runner)
                elif isinstance(why, Outcome):
                    self._close(asked, came_of(asked.trial, why, asked.settings), runner)
                elif why is not None:
                    self._say(asked.job.number, why)
                    rest.append(asked.job)
                else:
                    groups.setdefault(alike(asked), []).append(asked)
            for group in groups.values():
                for pack in self._packs(group):
                    if runner.stopped:
                        return
                    self._train(pack, runner)
            if rest and not runner.stopped:
                with Pool(self.config, workers=None, threads=None) as pool:
                    pool.run(_Some(runner, rest))

    # ----- preparation of trials

    def _asked(self, jobs: Sequence[Job], runner: Runner) -> Iterator[Asked]:
        """Compose each trial; report those that have ended, are locked, or have an invalid configuration."""
        for job in jobs:
            folder = runner.folder / str(job.number)
            try:
                wait_until_free(folder)
            except LockedError as held:
                runner.done(job, str(held))
                continue
            trial = read_trial(folder)
            if trial.status in ENDED:
                runner.done(job)
                continue
            asked = Asked(job, trial, folder, Request(config={}), settings={})
            try:
                found = compose_words([*self.words, *job.overrides])
            except UserError as mistake:
                self._close(asked, failed(asked.trial, mistake), runner)
                continue
            asked.settings = found.settings
            asked.request = Request(
                config=with_threads(found.config), experiment=found.experiment, overrides=asked.trial.overrides
            )
            asked.judge = judge_of(found.sweeper, folder, next(iter(objectives(asked.settings))))
            yield asked

    def _prepare(self, asked: Asked) -> Exception | Outcome | str | None:
        """Build a trial's parts.

        Returns:
            None if it can be packed, the reason if not, the outcome of a run that has ended, or the error it fails by.
        """
        try:
            with isolated(threads=None):
                if (found := self._found(asked)) is not None:
                    return found
                config = prepared(asked.request.config)
                if why := unfit(config):
                    return why
                metrics = named_metrics(asked.settings)
                asked.parts = build_parts(config, data=self._data_of(config), metrics=metrics)
                asked.request = replace(asked.request, config=asked.parts.config)
                if asked.manifest:
                    _check_data(asked)
                return unfit(config, asked.parts)
        except Exception as failure:
            return failure

    def _found(self, asked: Asked) -> Outcome | str | None:
        """Load the checkpoint of a trial that was started before.

        Returns:
            The outcome of a run that has ended, the reason why the trial cannot be packed, else None.
        """
        opened = find_run(asked.folder, asked.request.overrides)
        if opened is None:
            return None
        if opened.manifest["status"] in ENDED:  # the sweep died before it recorded that
            return Outcome(asked.folder, str(opened.manifest["status"]), opened.manifest)
        point = find_point(opened, say=log.info)
        if point.position.batch:
            return "it stopped inside an epoch"
        asked.manifest = reopened(opened.manifest, point)
        asked.request = replace(
            asked.request, config=opened.config
        )  # number of threads, say, which the first start resolved
        if point.checkpoint is not None:
            asked.checkpoint = read_checkpoint(point.checkpoint, opened)
        return None

    def _data_of(self, config: Mapping[str, Any]) -> DataModule:
        """Return a data module, shared by trials with the same batches; images are read once per split."""
        node, augmentation = config["data"], config["augmentation"]
        shuffles = node["batch_size"] is not None if node["shuffle"] is None else node["shuffle"]
        varies = shuffles or not is_option(augmentation["_target_"], "augmentation", "none")
        own = json.dumps([node, augmentation, config["seed"] if varies else None], sort_keys=True)
        if own not in self._data:
            made = build_data(node, seed=config["seed"], augmentation=augmentation)
            read = json.dumps({name: node[name] for name in node if name not in ("shuffle", "batch_size")})
            if read in self._data:
                made.share(self._data[read])
            self._data.setdefault(read, made)
            self._data[own] = made
        return self._data[own]

    def _say(self, number: int, why: str) -> None:
        """Report why a trial is not packed: each reason once on standard error, each trial in the log."""
        log.info("trial %s is not packed: %s", number, why)
        if why not in self._said:
            self._said.add(why)
            print_line(f"copycat: trial {number} runs in a process of its own, not in a pack: {why}", error=True)

    # ----- packs

    def _packs(self, group: list[Asked]) -> Iterator[list[Asked]]:
        if group[0].pack:  # a pack resumes with the same trials: another size could change bits
            yield group
            return
        size = min(len(group), self.max_trials_per_pack or sys.maxsize)
        if size > 1:
            config = group[0].request.config
            with isolated(threads=config["trainer"]["threads"]):
                size = best_size(group[0], most=size, device=choose_device(config["trainer"]["accelerator"]))
        count = ceil(len(group) / size)
        for place in range(count):
            yield group[place * len(group) // count : (place + 1) * len(group) // count]

    def _train(self, asked: Sequence[Asked], runner: Runner) -> None:
        config, stop = asked[0].request.config, Stop()
        with ExitStack() as context, ThreadPoolExecutor(WRITERS, thread_name_prefix="writer") as pool:
            context.enter_context(isolated(threads=config["trainer"]["threads"]))
            context.enter_context(tolerating_lost_output())
            context.enter_context(stop.listening())
            entered = [one for one in asked if self._enter(one, context, runner)]
            if not entered:
                return
            members: list[Member] = []
            try:
                pack = self._pack(entered, members, stop, pool, runner)
            except Exception as failure:
                log.error("the pack was not begun", exc_info=failure)
                self._give_up(entered, members, failure, runner)
                return
            try:
                pack.run()
            except InterruptedRun:  # in an epoch that would take too long to end
                pack.interrupt()
            except Exception as failure:  # of a network, say: all trials of the pack fail
                log.error("the pack failed", exc_info=failure)
                pack.give_up(described(failure))

    def _enter(self, asked: Asked, context: ExitStack, runner: Runner) -> bool:
        """Lock a trial's folder and record its start; return whether it can train."""
        try:
            asked.folder.mkdir(parents=True, exist_ok=True)
            context.enter_context(locked(asked.folder))
            asked.trial = started(asked.folder, asked.trial)
            if asked.trial.status not in ENDED:
                if not asked.manifest:
                    start_clean(asked.folder)
                context.enter_context(logged(asked.folder / LOG))
                return True
        except LockedError as held:
            runner.done(asked.job, str(held))
            return False
        except Exception as failure:
            asked.trial = failed(asked.trial, failure)
        self._close(asked, asked.trial, runner)
        return False

    def _pack(self, asked: Sequence[Asked], members: list[Member], stop: Stop, pool: Executor, runner: Runner) -> Pack:
        """Build a pack of prepared trials, and open their run folders.

        Args:
            asked: the trials.
            members: receives the members, also if building fails.
            stop: tells of signals.
            pool: writes files.
            runner: receives the results.
        """
        config = asked[0].request.config
        changes, numbers = patch(config), [one.job.number for one in asked]
        first: dict[int, Any] = {}
        members.extend(self._member(one, numbers, first, changes) for one in asked)
        trainer, device = _trainer(config), choose_device(config["trainer"]["accelerator"])
        unable: dict[str, None] = {}
        list(pool.map(lambda member: member.open(unable.setdefault), members))
        for line in unable:  # once, since each line goes to the logs of all trials
            log.info(line)
        _draw_graphs(members)
        for member in members:
            member.restore(device)

        def told(member: Member, outcome: Outcome) -> None:
            if outcome.status != "interrupted":
                self._close(member.asked, came_of(member.asked.trial, outcome, member.asked.settings), runner)

        loops = get_loops_state(trainer)
        pack = Pack(members, device=device, loops=loops, stop=stop, told=told, pool=pool)
        stop.last = members[0].clock
        return pack

    def _give_up(self, asked: Sequence[Asked], members: Sequence[Member], failure: Exception, runner: Runner) -> None:
        """End the trials of a pack that could not be built, as failed."""
        ended = {id(one): failed(one.trial, failure) for one in asked}
        for member in members:
            member.end("failed", str(ended[id(member.asked)].error), member.asked.position, {})()
        for one in asked:
            self._close(one, ended[id(one)], runner)

    def _member(self, asked: Asked, numbers: list[int], first: dict[int, Any], changes: bytes | None) -> Member:
        assert asked.parts is not None
        manifest, data = asked.manifest, asked.parts.data
        if not manifest:
            text, network = as_text(asked.request.config), asked.parts.classifier.network
            manifest = opening(asked.request, data, config=text, network=network, like=first.get(id(data)))
            first.setdefault(id(data), manifest)
        manifest["provenance"] = {**manifest["provenance"], "pack": numbers}
        return Member(asked, manifest, changes=changes)

    def _close(self, asked: Asked, trial: Trial, runner: Runner) -> None:
        write_trial(asked.folder, replace(trial, ended=now()))
        runner.done(asked.job)


def _check_data(asked: Asked) -> None:
    """Check that data and backbone are those that a run started with.

    Raises:
        UserError: if one of them changed.
    """
    assert asked.parts is not None
    folder, manifest, config, data = asked.folder, asked.manifest, asked.request.config, asked.parts.data
    check_backbone(asked.parts.classifier.network, manifest, folder=folder)
    if manifest["provenance"]["data"].get("all") == data.fingerprint().get("all"):
        return
    for cause in causes(Evidence.recorded(folder, manifest, config), Evidence.current(config, data)):
        if cause.kind == "data":
            raise UserError(f"{folder}: expected the data that the run began with; {cause.line}.")


def _taken(runner: Runner, most: int | None) -> Iterator[Job]:
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


def _draw_graphs(members: Sequence[Member]) -> None:
    """Write the network's graph to each TensorBoard; it is traced once, since it is the same for all."""
    loggers = [logger for member in members for logger in member.recorder.loggers if hasattr(logger, "write_graph")]
    for logger in loggers:
        if logger is loggers[0]:
            logger.log_graph(members[0].classifier)
        elif loggers[0].traced is not None:
            logger.write_graph(loggers[0].traced)


class _Some:
    """Provide worker processes with the trials that cannot be packed."""

    def __init__(self, runner: Runner, jobs: Sequence[Job]) -> None:
        """Provide these trials, and report to the runner."""
        self._runner, self._jobs = runner, list(jobs)

    def next(self) -> Job | None:
        """Return the next trial; None if none is left, or too many failed."""
        return self._jobs.pop(0) if self._jobs and not self._runner.stopped else None

    def done(self, job: Job, problem: str | None = None) -> None:
        """Report a trial, and take it again if its process died."""
        self._runner.done(job, problem)
        if read_trial(self._runner.folder / str(job.number)).status not in ENDED:
            again = self._runner.next()  # the runner put it back, since its process died
            self._jobs.extend([again] if again is not None else [])
