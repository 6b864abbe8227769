"""Launch trials in packs: compatible ones train as one stacked network, the others in worker processes."""

import logging
import sys
from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path

from omegaconf import DictConfig

from copycat.config.compose import Request
from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.config.trial_composition import compose_trial_request
from copycat.records.lock import LockedError
from copycat.records.trial_file import ENDED, Trial, read_trial
from copycat.sweeps.engine import Runner
from copycat.sweeps.job import Job, recorded_job
from copycat.sweeps.launchers.processes import WorkerPool
from copycat.sweeps.launchers.trial import get_hydra_overrides, make_pruner
from copycat.sweeps.packed.autotune import choose_pack_size, split_evenly
from copycat.sweeps.packed.grouping import group_trials
from copycat.sweeps.packed.pack_session import PackSession
from copycat.sweeps.packed.preparation import PackedTrial, Preparation
from copycat.sweeps.trial_folder import conclude_trial, fail_trial, wait_until_free
from copycat.training.lightning_internals import choose_device
from copycat.training.process_state import isolated
from copycat.training.result import RunResult
from copycat.training.train import fill_threads

log = logging.getLogger(__name__)
SEARCH_BATCH = 16
"""Default number of trials that a search proposes at once; their results inform its next proposals."""
MAX_TRIALS = 512
"""Trials that are prepared and packed at once, at most, so that memory does not grow with the sweep."""


class PackLauncher:
    """Train the trials of a sweep in packs, and those that cannot be packed in worker processes.

    `max_trials_per_pack` may be None, for as many as memory and speed allow.
    """

    def __init__(self, config: DictConfig, *, max_trials_per_pack: int | None) -> None:
        """Start without packs."""
        self.config, self.max_trials_per_pack = config, max_trials_per_pack
        self.hydra_overrides = get_hydra_overrides(config)
        self.searches = "sampler" in config.hydra.sweeper
        self._preparation = Preparation()
        self._reported: set[str] = set()

    def run(self, runner: Runner) -> None:
        """Run trials until none is left."""
        most = (self.max_trials_per_pack or SEARCH_BATCH) if self.searches else MAX_TRIALS
        while jobs := list(runner.take(most)):
            packable, unpacked = list[PackedTrial](), list[Job]()
            trials = list(self._compose_trials(jobs, runner))
            errors = self._preparation.open_runs(trials)
            for trial in trials:
                why = errors.get(trial.job.number) or self._preparation.prepare(trial)
                if isinstance(why, Exception):
                    runner.close(trial.job, fail_trial(trial.record, why))
                elif isinstance(why, RunResult):
                    runner.close(trial.job, conclude_trial(trial.record, why, trial.settings))
                elif why is not None:
                    self._report_unpacked(trial.job.number, why)
                    unpacked.append(trial.job)
                else:
                    packable.append(trial)
            packable += list(self._restore_ended(packable, runner.folder))
            for group in group_trials(packable):
                for pack in self._split_group(group):
                    if runner.stopped:
                        return
                    PackSession(pack, runner).run()
            for job in unpacked:
                runner.put_back(job)
            if unpacked and not runner.stopped:
                with WorkerPool(self.config, workers=None, threads=None) as pool:
                    pool.run(runner, new=False)

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
            try:
                yield self._compose(job, record, folder)
            except UserError as mistake:
                runner.close(job, fail_trial(record, mistake))

    def _compose(self, job: Job, record: Trial, folder: Path) -> PackedTrial:
        composed = compose_trial_request([*self.hydra_overrides, *job.overrides])
        config = fill_threads(composed.config)
        request = Request(config=config, experiment=composed.experiment, overrides=record.overrides)
        return PackedTrial(job, record, folder, request, composed.settings, make_pruner(composed, folder))

    def _restore_ended(self, resumed: Sequence[PackedTrial], folder: Path) -> Iterator[PackedTrial]:
        """Build the trials that had ended, but were still in the stack of a pack that resumes.

        Without them it would be smaller, which could change the bits of the others.
        """
        known = {(trial.epoch, trial.job.number) for trial in resumed if not trial.finished}
        for mate in resumed:
            for number in () if mate.finished else mate.stack:
                if (mate.epoch, number) in known:
                    continue
                known.add((mate.epoch, number))
                try:
                    record = read_trial(folder / str(number))
                    trial = self._compose(recorded_job(record, fixed=()), record, folder / str(number))
                    self._preparation.prepare_placeholder(trial, mate)
                except (UserError, OSError, ValueError) as error:
                    log.warning("trial %s, which has ended, is left out of its pack: %s", number, error)
                    continue
                yield trial

    def _report_unpacked(self, number: int, why: str) -> None:
        """Report why a trial is not packed: each reason once on standard error, each trial in the log."""
        log.info("trial %s is not packed: %s", number, why)
        if why not in self._reported:
            self._reported.add(why)
            print_line(f"copycat: trial {number} runs in a process of its own, not in a pack: {why}", error=True)

    def _split_group(self, group: list[PackedTrial]) -> Iterator[list[PackedTrial]]:
        if group[0].pack:  # a pack resumes with the same trials: another size could change bits
            yield group
            return
        is_unlike = len({trial.pack_key for trial in group}) > 1
        size = min(len(group), self.max_trials_per_pack or sys.maxsize)
        if size > 1:
            trainer = group[0].request.config["trainer"]
            with isolated(threads=trainer["threads"]):
                candidates = [(trial.parts, trial.chain_kind) for trial in group]
                device = choose_device(trainer["accelerator"])
                size = choose_pack_size(candidates, is_unlike=is_unlike, most=size, device=device)
        if is_unlike:
            yield from split_evenly(group, size)
            return
        count = ceil(len(group) / size)
        for place in range(count):
            yield group[place * len(group) // count : (place + 1) * len(group) // count]
