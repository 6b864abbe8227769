"""The commands: each parses, imports late, and calls. Nothing heavy is imported for an answer that needs none of it."""

import argparse
import atexit
import gc
import linecache
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from copycat import __version__
from copycat.config.errors import UserError
from copycat.config.extras import missing
from copycat.config.flags import Parser
from copycat.config.hints import did_you_mean, first_line
from copycat.config.printable import print_line, printable_lines
from copycat.runs.standard_streams import OutputError, streams_of_command

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from copycat.runs.outcome import Outcome

OUTPUTS = Path("outputs")
SCREENFUL = 20
"""Rows of a table that is shown unasked."""
DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses: 130 is what a shell calls a program that Ctrl-C ended."""
TRAINING = ("train", "resume", "rerun")
"""Commands that work on where nobody takes what they print."""


def train(words: Sequence[str]) -> int:
    """Train a network, or under -m each trial of a sweep: experiment=lecture optimizer.lr=1e-3"""
    with _importing():
        from copycat.config.application import launch
        from copycat.config.compose import Request, SweepRequest

    statuses: list[str] = []

    def task(request: Request) -> None:
        _check_root(request.config)
        with _importing():
            from copycat.runs.summary import PrintedLosses, next_words, show
            from copycat.runs.train import train

        outcome = train(request, watchers=[PrintedLosses(request.config["print_losses"])])
        statuses.append(outcome.status)
        show(outcome.folder, outcome.manifest)
        print(next_words(outcome.folder, status=outcome.status))
        _say_why(outcome)

    def trial(config: "DictConfig") -> float | None:
        from copycat.sweeps.trial import run_trial

        return run_trial(config)

    def begin(asked: SweepRequest) -> Path:
        _check_root(asked.first.config)
        with _importing():
            from copycat.runs.train import try_out
            from copycat.sweeps.objectives import named_metrics
            from copycat.sweeps.sweep import begin

        try_out(asked.first, metrics=named_metrics(asked.settings))
        return begin(asked)

    sweep = launch(words, task=task, trial=trial, begin=begin)
    if sweep is not None:
        from copycat.runs.summary import next_words
        from copycat.sweeps.sweep_file import read_sweep
        from copycat.sweeps.table import print_sweep

        print_sweep(sweep, most=SCREENFUL)
        print(next_words(sweep))
        statuses.append(read_sweep(sweep).status)
    return DONE if {"failed", "stopped"}.isdisjoint(statuses) else FAILED


def resume(arguments: argparse.Namespace) -> int:
    """Go on with a run or a sweep that was killed, interrupted, or failed; or train a run on, to more epochs"""
    from copycat.sweeps.sweep_file import FILE, read_own_sweep

    if (arguments.run / FILE).exists():
        if arguments.max_epochs is not None:
            raise UserError(f"trainer.max_epochs: expected the folder of a run; got a sweep, {arguments.run}.")
        from copycat.config.application import quoted

        return train(["-m", *read_own_sweep(arguments.run).words, f"sweep.folder={quoted(arguments.run)}"])
    from copycat.runs.opened import open_run

    opened = open_run(arguments.run)
    _check_root(opened.config)  # here and below: a wrong folder is named before torch is imported
    with _importing():
        from copycat.runs.resume import resume
        from copycat.runs.summary import PrintedLosses, next_words, show

    outcome = resume(
        opened,
        say=_say,
        watchers=lambda config: [PrintedLosses(config["print_losses"])],
        max_epochs=arguments.max_epochs,
    )
    show(outcome.folder, outcome.manifest)
    print(next_words(outcome.folder, status=outcome.status))
    _say_why(outcome)
    return FAILED if outcome.status == "failed" else DONE


def rerun(arguments: argparse.Namespace) -> int:
    """Run it again from its folder, compare bit for bit, and name the first difference and its likely cause"""
    from copycat.config.experiments import experiment_named
    from copycat.runs.opened import open_recorded

    say, tolerance = _say, arguments.tolerance
    name = experiment_named(arguments.folder)
    if name and arguments.check:
        raise UserError(f"--check: expected the folder of a run, which has fingerprints; got {arguments.folder}.")
    if name:
        with _importing():
            from copycat.runs.recorded import rerun_experiment, show_results

        same = show_results(rerun_experiment(name, say=say, data=arguments.data), tolerance=tolerance)
        return DONE if same else FAILED
    original = open_recorded(arguments.folder)
    data = dict(original.config["data"])
    if arguments.data is not None and "root" in data:
        data["root"] = str(arguments.data)
    _check_root({"data": data})
    with _importing():
        from copycat.runs.rerun import differences_now, rerun
        from copycat.runs.verdict import show_check, show_rerun

    if arguments.check:
        same = show_check(differences_now(original, data=arguments.data))
    else:
        same = show_rerun(rerun(original, say=say, data=arguments.data), tolerance=tolerance)
    return DONE if same else FAILED


OF_IMPORTS = 20_000
"""Objects that are new, after which they are looked through."""


@contextmanager
def _importing() -> Iterator[None]:
    """Import without looking for garbage but in what is new, then or later: there is little, and looking takes long."""
    usual = gc.get_threshold()
    gc.set_threshold(OF_IMPORTS, 1000, 1000)
    try:
        yield
    finally:
        linecache.clearcache()  # torch reads its sources as it is imported, and would keep them
        gc.freeze()
        gc.set_threshold(*usual)


def _check_root(config: Mapping[str, Any]) -> None:
    """Name a folder of images that is not there."""
    from copycat.config.options import is_option
    from copycat.data.root import check_root

    node = config["data"]
    if is_option(node["_target_"], "data", "folder") and node.get("root"):
        check_root(Path(node["root"]).expanduser())


def _say(line: str) -> None:
    print_line(f"copycat: {line}", error=True)


def _say_why(outcome: "Outcome") -> None:
    if outcome.status == "failed":
        log = outcome.folder / "train.log"
        more = f" More in {log}." if log.exists() else ""
        print_line(f"copycat: failed: {outcome.manifest['error']}.{more}", error=True)
    if outcome.status == "interrupted":
        raise KeyboardInterrupt


def inspect(words: Sequence[str]) -> int:
    """Show the network before it trains: layers, shapes, parameters, FLOPs; or what a run's weights have become"""
    if "-h" in words or "--help" in words:
        print(
            "usage: copycat inspect [OVERRIDES]\n       copycat inspect --weights RUN\n\n"
            f"{_says(inspect)}.\nThe overrides: copycat train --help."
        )
        return DONE
    if words and words[0] == "--weights":
        if len(words) != 2:
            raise UserError(f"--weights: expected the folder of a run; got {len(words) - 1} words.")
        from copycat.inspection.weight_table import print_weights

        print_weights(Path(words[1]))
        return DONE
    for word in words:
        if word.startswith("-"):
            raise UserError(
                f"{word}: expected KEY=VALUE, as in model.hidden=[20,7,5];"
                " copycat inspect has no flags but --weights RUN."
            )
    from copycat.config.compose import compose
    from copycat.config.own_modules import allow_own_modules

    config = compose(words, data_too=False).config
    allow_own_modules(config)
    with _importing():
        from copycat.inspection.network import inspect_network  # imports torch: not for a mistake in the words

    print(inspect_network(config))
    return DONE


def data_fetch(arguments: argparse.Namespace) -> int:
    """Download a data set, once"""
    from copycat.data.fetch import fetch_cats

    folder = arguments.folder or Path(os.environ.get("COPYCAT_DATA", "data"))
    for file in fetch_cats(folder):
        print_line(file)
    return DONE


def data_check(arguments: argparse.Namespace) -> int:
    """Look a data set over: counts, duplicates, shifts between parts, unreadable files"""
    from copycat.config.compose import compose
    from copycat.config.own_modules import allow_own_modules

    config = compose(arguments.overrides, data_too=False).config
    allow_own_modules(config)
    _check_root(config)
    from copycat.data.report import print_check
    from copycat.runs.build import build_data
    from copycat.runs.derived import prepared

    print_check(build_data(prepared(config)["data"], seed=config["seed"]))
    return DONE


def data_draw(arguments: argparse.Namespace) -> int:
    """Write the drawn images as PNG files, a sub-folder a class, to look at them"""
    from copycat.data.gallery import write_gallery

    print_line(write_gallery(arguments.folder, seed=arguments.seed))
    return DONE


def runs(arguments: argparse.Namespace) -> int:
    """Show the table of runs, or of a sweep's trials: sorted, filtered, the best, CSV, JSON"""
    from copycat.runs.choice import Choice
    from copycat.sweeps.show import show_runs

    choice = Choice(filters=arguments.filter, sort=arguments.sort, descending=arguments.descending)
    show_runs(arguments.folder, choice, form=arguments.form, by=arguments.by)
    return DONE


def compare(arguments: argparse.Namespace) -> int:
    """Show runs side by side: what differs in their configurations, and their metrics"""
    from copycat.sweeps.show import show_compared

    show_compared(arguments.folders, form=arguments.form, equal=arguments.all)
    return DONE


def plots(arguments: argparse.Namespace) -> int:
    """Draw a sweep as PNG files: history, parallel coordinates, importance, slice, Pareto front"""
    from copycat.sweeps.sweep_file import check_sweep

    check_sweep(arguments.sweep)
    from copycat.sweeps.plots.files import write_plots

    for path in write_plots(arguments.sweep, arguments.to or arguments.sweep / "plots"):
        print_line(path)
    return DONE


def report(arguments: argparse.Namespace) -> int:
    """Write a run, a sweep, or several runs side by side as one HTML page that needs no network"""
    from copycat.sweeps.given import check_reported

    check_reported(arguments.folders)
    from copycat.inspection.page import write_images, write_page
    from copycat.sweeps.report import report_of

    page = report_of(arguments.folders)
    if arguments.png and not arguments.to:
        for path in write_images(page, arguments.png):
            print_line(path)
        return DONE
    first = arguments.folders[0]
    to = arguments.to or (first if first.is_dir() and len(arguments.folders) == 1 else Path()) / "report.html"
    write_page(page, to)
    print_line(to)
    for path in write_images(page, arguments.png) if arguments.png else ():
        print_line(path)
    return DONE


def predict(arguments: argparse.Namespace) -> int:
    """Say what is on images, by a run's final weights"""
    from copycat.deploy.given import check_images, open_completed

    run = open_completed(arguments.run)
    check_images(arguments.images)
    with _importing():
        from copycat.deploy.predict import print_predictions

    good = print_predictions(run, arguments.images, form=arguments.form, sheet=arguments.sheet, views=arguments.views)
    return DONE if good else FAILED


def evaluate(arguments: argparse.Namespace) -> int:
    """Say how right a run is, or several as one, on its own data or on other, and how sure that is"""
    from copycat.deploy.given import open_evaluated

    asked = open_evaluated(arguments.words)
    with _importing():
        from copycat.deploy.evaluate import print_evaluation

    print_evaluation(asked, form=arguments.form, views=arguments.views)
    return DONE


def export(arguments: argparse.Namespace) -> int:
    """Write a run's network as files that are used without Copycat, with a model card and a script"""
    from copycat.deploy.given import open_completed

    run = open_completed(arguments.run)
    with _importing():
        from copycat.deploy.export import print_export

    print_export(run, arguments.format, to=arguments.to)
    return DONE


def board(arguments: argparse.Namespace) -> int:
    """Open TensorBoard on runs, until Ctrl-C"""
    from copycat.runs.table import check_folder

    check_folder(arguments.folder)
    from copycat.inspection.board import serve

    serve(arguments.folder, port=arguments.port, browser=not arguments.no_browser)
    return DONE


def app(arguments: argparse.Namespace) -> int:
    """Open a web page to drop images on, until Ctrl-C"""
    from copycat.deploy.given import completed_in

    found = completed_in(arguments.folder)
    with _importing():
        from copycat.deploy.app import serve

    max_pixels = arguments.max_megapixels * 10**6
    serve(arguments.folder, found, port=arguments.port, browser=not arguments.no_browser, max_pixels=max_pixels)
    return DONE


WORDS: dict[str, Callable[[Sequence[str]], int]] = {"train": train, "inspect": inspect}
"""Commands that hand all their words on."""


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="copycat",
        description="Train, sweep and inspect image classifiers from configuration.",
        epilog="Start with: copycat train. Any command: --debug shows where an error came from.",
    )
    top.add_argument("--version", action="version", version=f"copycat {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name, run in WORDS.items():
        commands.add_parser(name, help=_says(run), add_help=False)
    data = commands.add_parser("data", help="fetch, check or draw data")
    kinds = data.add_subparsers(metavar="COMMAND", dest="kind", required=True)
    fetch = _add(kinds, "fetch", data_fetch)
    fetch.add_argument("name", choices=["cats"], help="the data set")
    fetch.add_argument("folder", type=Path, nargs="?", help="where to; else COPYCAT_DATA, else ./data")
    check = _add(kinds, "check", data_check)
    check.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="which data, as in data=cats data.fold=2")
    draw = _add(kinds, "draw", data_draw)
    draw.add_argument("folder", type=Path, help="where to; made if need be")
    draw.add_argument("--seed", type=_whole(2**32 - 1), default=0, help="of the drawing; 0 is the set that runs use")
    again = _add(commands, "resume", resume)
    again.add_argument("run", type=Path, help="the folder of a run, of a trial, or of a whole sweep")
    again.add_argument(
        "max_epochs",
        nargs="?",
        type=_max_epochs,
        metavar="trainer.max_epochs=MORE",
        help="train on up to so many epochs, a completed run too",
    )
    copy = _add(commands, "rerun", rerun)
    copy.add_argument("folder", type=Path, metavar="RUN", help="the folder of a run, or experiments/NAME")
    copy.add_argument("--check", action="store_true", help="compare fingerprints, and train nothing")
    copy.add_argument(
        "--tolerance",
        type=_distance,
        metavar="X",
        help="take values for the same that differ by X or less: absolute, or relative to the first run's",
    )
    copy.add_argument("--data", type=Path, metavar="FOLDER", help="where the images lie now")
    table = _add(commands, "runs", runs)
    table.add_argument("folder", type=Path, nargs="?", default=OUTPUTS, help="runs, a sweep or all outputs")
    table.add_argument("--sort", metavar="KEY", help="as val/loss, optimizer.lr, started, seconds, status")
    table.add_argument("--descending", action="store_true", help="sort from the largest on")
    table.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="CONDITION",
        help="in quotes, with =, !=, <, <=, > or >=: 'val/accuracy>=0.7', 'model=deep'; several must all hold",
    )
    table.add_argument("--by", metavar="METRIC", help="which --best goes by; else the sweep's objective, or val/loss")
    _add_forms(table, best="print only the command that reruns the best that completed")
    beside = _add(commands, "compare", compare)
    beside.add_argument("folders", type=Path, nargs="+", metavar="RUN", help="two runs or more; a sweep is its trials")
    beside.add_argument("--all", action="store_true", help="show keys that are the same too")
    _add_forms(beside)
    drawn = _add(commands, "plots", plots)
    drawn.add_argument("sweep", type=Path, help="the folder of a sweep")
    drawn.add_argument("--to", type=Path, metavar="FOLDER", help="where to; else plots/ in the sweep's folder")
    page = _add(commands, "report", report)
    page.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="a run, a sweep, a folder of runs, or several runs"
    )
    page.add_argument("--to", type=Path, metavar="FILE", help="where to; else report.html in its folder, or here")
    page.add_argument("--png", type=Path, metavar="FOLDER", help="write the plots alone, as PNG files")
    said = _add(commands, "predict", predict)
    said.add_argument("run", type=Path, help="the folder of a completed run, or of a trial")
    said.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE", help="files, folders of them, - for standard input"
    )
    said.add_argument("--sheet", type=Path, metavar="FILE", help="write the images with what is said, as one PNG")
    _add_views(said)
    _add_forms(said)
    right = _add(commands, "evaluate", evaluate)
    right.add_argument(
        "words",
        nargs="+",
        metavar="RUN|OVERRIDE",
        help="completed runs, or sweeps of them; and which data, as in data=folder data.root=FOLDER",
    )
    _add_views(right)
    _add_forms(right)
    out = _add(commands, "export", export)
    out.add_argument("run", type=Path, help="the folder of a completed run, or of a trial")
    out.add_argument("--format", choices=["safetensors", "torch", "onnx"], required=True, help="what is written")
    out.add_argument("--to", type=Path, metavar="FOLDER", help="where to; else export/FORMAT in the run's folder")
    page_of = _add(commands, "app", app)
    page_of.add_argument("folder", type=Path, help="a completed run, a sweep, or a folder of runs")
    page_of.add_argument("--port", type=_whole(65535), default=0, help="0: any that is free")
    page_of.add_argument("--no-browser", action="store_true", help="only print the address")
    page_of.add_argument(
        "--max-megapixels",
        type=_whole(10_000, least=1),
        default=50,
        metavar="N",
        help="larger images are refused; else 50",
    )
    serve = _add(commands, "board", board)
    serve.add_argument("folder", type=Path, nargs="?", default=OUTPUTS, help="a run, a sweep or all outputs")
    serve.add_argument("--port", type=_whole(65535), default=0, help="0: any that is free")
    serve.add_argument("--no-browser", action="store_true", help="only print the address")
    return top


def _whole(most: int, *, least: int = 0) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} to {most}; got {text!r}")
        return int(text)

    return whole


def _max_epochs(text: str) -> int:
    key, _, number = text.partition("=")
    if key != "trainer.max_epochs" or not number.isdecimal():
        raise argparse.ArgumentTypeError(f"expected trainer.max_epochs=MORE; got {text!r}")
    return int(number)


def _distance(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number from 0, as 1e-6; got {text!r}")
    return found


def _says(run: Callable[..., int]) -> str:
    assert run.__doc__
    return run.__doc__


def _add(
    commands: "argparse._SubParsersAction[Parser]", name: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=_says(run), description=_says(run))
    command.set_defaults(call=run)  # a command may have a word called run
    return command


def _add_views(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--views",
        type=_whole(1000, least=1),
        default=1,
        metavar="N",
        help="take the mean over each image and N-1 copies, changed as the run's augmentation does, or light",
    )


def _add_forms(command: argparse.ArgumentParser, **more: str) -> None:
    """Flags for what is printed instead of a table, one of them at most."""
    group = command.add_mutually_exclusive_group()
    forms = {**more, "csv": "in full, numbers to their last bit", "json": "the same as JSON"}
    for form, says in forms.items():
        group.add_argument(f"--{form}", dest="form", action="store_const", const=form, default="table", help=says)


def command() -> NoReturn:
    """What a shell calls: `main`, but Python is not taken apart at the end, which takes 0.2 s once torch is there."""
    os.environ["PYTHONSAFEPATH"] = "1"  # no process that this one starts imports from the working directory
    try:
        main()
    except SystemExit as end:
        others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
        if isinstance(end.code, int) and all(thread.daemon for thread in others):
            atexit._run_exitfuncs()
            with suppress(OSError, ValueError, AttributeError):  # closed or full: Python says so, as it ends by itself
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(end.code)
        raise


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command and end the process with its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    trains = bool(words) and words[0] in TRAINING
    with streams_of_command(prints_result=not trains) as output:
        try:
            _end_with_status(words, debug=debug)
        except SystemExit as end:
            if end.code == DONE and (lost := output.find_loss()):
                print(f"copycat: failed: standard output: {lost.strerror}.", file=sys.stderr)
                sys.exit(FAILED)
            raise


def _end_with_status(words: list[str], *, debug: bool) -> NoReturn:
    try:
        sys.exit(_run(words))
    except UserError as error:
        _end(f"copycat: {error}", WRONG, error, debug=debug)
    except KeyboardInterrupt as stop:
        _end("copycat: interrupted.", INTERRUPTED, stop, debug=debug)
    except OutputError:  # the reader, as in `copycat runs | head`, has seen enough; `main` names any other loss
        sys.exit(DONE)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (said := missing(error)):
            _end(f"copycat: {said}", WRONG, error, debug=debug)
        _end(
            f"copycat: failed: {type(error).__name__}: {first_line(error)}. See where: add --debug.",
            FAILED,
            error,
            debug=debug,
        )


def _run(words: list[str]) -> int:
    if words and words[0] in ("-sc", "--shell-completion"):
        from copycat.config.completion import complete

        complete(words, commands=_commands())
        return DONE
    if words and words[0] in WORDS:
        return WORDS[words[0]](words[1:])
    first = [*_commands(), "--help", "-h", "--version"]
    if words and words[0] not in first:
        hint = did_you_mean(words[0], first, before="copycat ")
        raise UserError(f"expected one of {', '.join(_commands())}; got {words[0]!r}.{hint}")
    arguments = parser().parse_args(words or ["--help"])
    run: Callable[[argparse.Namespace], int] = arguments.call
    return run(arguments)


def _commands() -> list[str]:
    commands = next(action.choices for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return list(commands)


def _end(line: str, status: int, error: BaseException, *, debug: bool) -> NoReturn:
    if debug:
        import traceback

        print(printable_lines("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    print_line(line, error=True)
    sys.exit(status)
