"""Resume a stopped run from its last intact checkpoint, to the bits of an uninterrupted run."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

from pytorch_lightning.loggers import Logger

from copycat.config.errors import UserError
from copycat.config.printable import Notify
from copycat.config.suggestions import one_of, pluralize
from copycat.config.worlds import fill_world, needs_launch, world_size
from copycat.models.stored_weights import recorded_backbone
from copycat.provenance.backbone import check_backbone
from copycat.provenance.diagnosis import RunInputs, diagnose
from copycat.records.checkpoint_file import damage
from copycat.records.digests import changed_keys, digest_file
from copycat.records.lock import locked
from copycat.records.run_folder import CONFIG, release, write_manifest
from copycat.records.run_loader import Opened
from copycat.training.components import RunComponents, build_components
from copycat.training.extension import (
    EPOCHS,
    NOTHING_MORE,
    TIME,
    More,
    before_extension,
    extend_run,
    stopped_early,
    with_changes,
    write_extended,
)
from copycat.training.joined import log_name, share_result, share_work
from copycat.training.launch import launch, name_folder
from copycat.training.lightning_internals import Position
from copycat.training.manifest import now
from copycat.training.process_state import isolated, logged
from copycat.training.ranks import TIMEOUT, make_ranks
from copycat.training.result import RunResult
from copycat.training.resume_point import ResumePoint, count_rows, find_resume_point
from copycat.training.session import TrainingSession
from copycat.training.signals import SignalHandler
from copycat.training.standard_streams import tolerating_lost_output
from copycat.training.stopping import Limits

RESUMED_KEYS = (EPOCHS, TIME, *(f"trainer.{name}" for name in ("devices", "num_nodes", "strategy", "timeout")))
"""Keys whose values a resume may change."""
MakeLoggers = Callable[[Mapping[str, Any]], Sequence[Logger]]


def resume(
    opened: Opened,
    *,
    notify: Notify,
    extra_loggers: MakeLoggers = lambda _: (),
    limits: Limits = Limits(),  # noqa: B008, it is frozen
    more: More = NOTHING_MORE,
    devices: int | None = None,
) -> RunResult:
    """Resume a run that was killed, interrupted, or failed; or extend any run by `more` epochs or time.

    `notify` takes each line that a user should know before it starts. `devices` are another number of ranks, which may
    change bits; None: as many as before.

    Raises:
        UserError: where the run has all epochs, or its data or backbone have changed.
        LockedError: where it is still running.
    """
    folder = opened.user_path
    if cut_off := _check_config(opened):
        opened, more = before_extension(opened, cut_off, epochs=count_rows(opened.folder)), {**cut_off, **more}
    completed = opened.manifest["status"] == "completed"
    ended_early = opened.manifest["results"].get("ended_early")
    planned: int = opened.config["trainer"]["max_epochs"]
    if more:
        opened = extend_run(opened, more, notify=notify)
    elif completed and ended_early:
        raise UserError(
            f"{folder}: expected a run that stopped; it is completed, as its {ended_early['by']} is over. Type"
            f" copycat resume {quote(str(folder))} {ended_early['by']}=MORE, a time in all, or null."
        )
    elif completed:
        raise UserError(
            f"{folder}: expected a run that stopped; it is completed. Type copycat rerun {quote(str(folder))},"
            f" or copycat resume {quote(str(folder))} trainer.max_epochs=MORE."
        )
    recorded, opened = opened.config, on_devices(opened, devices, notify=notify)
    trainer = opened.config["trainer"]
    settings: dict[str, Any] = {
        "notify": notify,
        "extra_loggers": extra_loggers,
        "limits": limits,
        "more": more,
        "planned": planned,
        "recorded": recorded,
    }
    if needs_launch(trainer):
        return launch(partial(_resume_on_rank, opened, **settings), trainer)
    return _resume_on_rank(opened, **settings)


def _check_config(opened: Opened) -> More:
    """Refuse a changed config.yaml, which the resumed run would record as its own.

    Return the values of an extension that was killed, or found the disk full, before run.json recorded it too.
    """
    path, request = opened.folder / CONFIG, opened.manifest["request"]
    if digest_file(path) == request["config_digest"] or not isinstance(request.get("config_keys"), dict):
        return NOTHING_MORE
    changed = changed_keys(opened.config, request["config_keys"])
    if refused := [key for key in changed if key not in RESUMED_KEYS]:
        raise UserError(
            f"{opened.user_path / CONFIG}: expected the configuration that the run recorded; changed since:"
            f" {one_of(refused)}. Restore it, or train another run."
        )
    return {key: opened.config["trainer"].get(key.partition(".")[2]) for key in (EPOCHS, TIME) if key in changed}


def on_devices(opened: Opened, devices: int | None, *, notify: Notify) -> Opened:
    """Return the run with so many devices, or with those that it was recorded with, as far as the launcher agrees."""
    trainer = opened.config["trainer"]
    before = world_size(trainer)
    if devices not in (None, before):
        notify(f"resuming on {pluralize(devices, 'device')} instead of {before}: bits may change")
        added = {} if "strategy" in trainer else {"strategy": "ddp", "timeout": TIMEOUT}
        trainer = {**trainer, **added, "devices": devices, "num_nodes": 1}
    filled = fill_world(trainer)
    if filled == opened.config["trainer"]:
        return opened
    words = [f"trainer.{name}={filled[name]}" for name in filled if filled[name] != opened.config["trainer"].get(name)]
    return with_changes(opened, {**opened.config, "trainer": filled}, words)


def _resume_on_rank(
    opened: Opened,
    *,
    recorded: Mapping[str, Any],
    notify: Notify,
    extra_loggers: MakeLoggers,
    limits: Limits,
    more: More,
    planned: int,
) -> RunResult:
    """Resume as one of the ranks, or alone; `planned` epochs were requested before `more`."""
    config, folder, signals = opened.config, opened.folder, SignalHandler()
    ranks = make_ranks(config["trainer"])
    notify = notify if ranks.is_first else (lambda _: None)
    with (
        ranks.joined(),
        isolated(threads=config["trainer"].get("threads")),
        tolerating_lost_output(),
        signals.listening(),
        ExitStack() as held,
    ):
        with ranks.together():
            if ranks.is_first:
                held.enter_context(locked(folder))
            name_folder(folder, ranks)
            with recorded_backbone(opened.manifest, folder=opened.folder):
                components = build_components(config, metrics=limits.metrics)
            check_backbone(components.classifier.network, opened.manifest, folder=folder)
        share_work(components, ranks)

        def find_point() -> tuple[int, int, str]:
            """Check what the run began with, and return where it resumes."""
            _check_inputs(opened, recorded, components, notify=notify)
            lines = list[str]()
            point = find_resume_point(opened, notify=lines.append)
            is_completed, epochs = opened.manifest["status"] == "completed", opened.manifest["results"].get("epochs")
            if is_completed and point.position.epoch != epochs:
                path, wrong = folder / "checkpoints" / "last.ckpt", "it has none"
                if path.exists():
                    wrong = damage(path) or "it is of another, or metrics.csv has changed"
                raise UserError(
                    f"{folder}: expected the checkpoint of its last epoch; {wrong}."
                    f" Type copycat rerun {quote(str(folder))}, which trains it again."
                )
            if EPOCHS in more and point.has_finished and (point.has_stopped_early or point.position.epoch < planned):
                raise stopped_early(opened, planned, point.position.epoch)
            for line in lines:
                notify(line)
            return point.position.epoch, point.position.batch, str(point.checkpoint or "")

        epoch, batch, path = ranks.from_first(find_point)
        point = ResumePoint(Position(epoch, batch), Path(path) if path else None)
        held.enter_context(logged(folder / log_name(ranks)))
        manifest = make_resumed_manifest(opened.manifest, point, more=more)
        is_changed = bool(more) or config != recorded

        def write(folder: Path) -> None:
            if is_changed:
                write_extended(folder, config)
            write_manifest(folder, manifest)

        with ranks.together():
            session = TrainingSession(
                config,
                components,
                folder,
                signals=signals,
                manifest=manifest,
                extra_loggers=extra_loggers(config),
                limits=limits,
                ranks=ranks,
            )
            session.last.extended_at = {entry["epoch"] for entry in manifest["resumed"] if entry.get("max_epochs")}
            try:
                session.recorder.open(write, resumes_at=epoch, notify=notify)
            except OSError as error:
                release(folder)
                raise UserError(f"{folder}: expected a folder to write to; {error.strerror}.") from error
        return share_result(session.run(checkpoint=point.checkpoint, epoch=epoch), ranks)


def _check_inputs(opened: Opened, recorded: Mapping[str, Any], components: RunComponents, *, notify: Notify) -> None:
    """Report changes since the run began.

    Raises:
        UserError: where its data changed.
    """
    began = RunInputs.from_folder(opened.folder, opened.manifest, recorded)
    for cause in diagnose(began, RunInputs.from_process(opened.config, components.data)):
        if cause.kind == "data":
            raise UserError(f"{opened.folder}: expected the data that the run began with; {cause.line}.")
        notify(f"changed since the run began: {cause.kind}: {cause.line}")


def make_resumed_manifest(manifest: Any, point: ResumePoint, *, more: More = NOTHING_MORE) -> dict[str, Any]:
    """Return the manifest of a run that resumes; `more` has the new epochs and time of an extended run."""
    entry = {
        "at": now(),
        "epoch": point.position.epoch,
        "batch": point.position.batch,
        "from": point.checkpoint.name if point.checkpoint else None,
        **{key.partition(".")[2]: _entry_value(value) for key, value in more.items()},
    }
    return {
        **manifest,
        "status": "running",
        "error": None,
        "ended": None,
        "seconds": None,
        "results": {},
        "files": {},
        "resumed": [*manifest.get("resumed", []), entry],
    }


def _entry_value(value: float | str | None) -> int | str | None:
    """Return a value of an extension as manifests hold it, without fractions."""
    return value if value is None or isinstance(value, int) else str(value)
