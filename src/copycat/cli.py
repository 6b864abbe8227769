"""The commands: each parses, imports late, and calls. Nothing heavy is imported for an answer that needs none of it."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from copycat import __version__
from copycat.config.errors import UserError
from copycat.config.flags import Parser
from copycat.config.hints import did_you_mean

if TYPE_CHECKING:
    from copycat.runs.run import Outcome

OUTPUTS = Path("outputs")
DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses: 130 is what a shell calls a program that Ctrl-C ended."""


def train(words: Sequence[str]) -> int:
    """Train a network, or under -m each trial of a sweep: experiment=lecture optimizer.lr=1e-3"""
    from copycat.config.application import launch
    from copycat.config.compose import Request

    statuses: list[str] = []
    made: list[Path] = []

    def task(request: Request, folder: Path | None) -> float | None:
        from copycat.runs.summary import PrintedLosses, next_words, show
        from copycat.runs.train import train

        if folder is not None:
            print(f"trial {folder.name}: {' '.join(request.overrides)}", flush=True)
        outcome = train(request, folder=folder, watchers=[PrintedLosses(request.config["print_losses"])])
        statuses.append(outcome.status)
        show(outcome.folder, outcome.manifest)
        if folder is None:
            print(next_words(outcome.folder, status=outcome.status))
        _say_why(outcome)
        return outcome.objective

    def sweep_folder(request: Request) -> Path:
        from copycat.runs.folder import make_folder
        from copycat.runs.train import try_out

        try_out(request)
        made.append(make_folder(Path(request.config["output_dir"]), request.experiment))
        return made[0]

    failed_trials = launch(words, task=task, sweep_folder=sweep_folder)
    if made:
        from copycat.runs.summary import next_words
        from copycat.runs.table import print_runs

        print_runs(made[0])
        print(next_words(made[0]))
    return FAILED if failed_trials or "failed" in statuses else DONE


def resume(arguments: argparse.Namespace) -> int:
    """Go on with a run that was killed, interrupted, or failed"""
    from copycat.runs.resume import resume
    from copycat.runs.summary import PrintedLosses, next_words, show

    outcome = resume(
        arguments.run,
        say=_say,
        watchers=lambda config: [PrintedLosses(config["print_losses"])],
    )
    show(outcome.folder, outcome.manifest)
    print(next_words(outcome.folder, status=outcome.status))
    _say_why(outcome)
    return FAILED if outcome.status == "failed" else DONE


def rerun(arguments: argparse.Namespace) -> int:
    """Run it again from its folder, compare bit for bit, and name the first difference and its likely cause"""
    from copycat.runs.recorded import experiment_named, rerun_experiment, show_results

    say, tolerance = _say, arguments.tolerance
    name = experiment_named(arguments.folder)
    if name and arguments.check:
        raise UserError(f"--check: expected the folder of a run, which has fingerprints; got {arguments.folder}.")
    if name:
        same = show_results(rerun_experiment(name, say=say, data=arguments.data), tolerance=tolerance)
        return DONE if same else FAILED
    from copycat.runs.rerun import differences_now, rerun
    from copycat.runs.verdict import show_check, show_rerun

    if arguments.check:
        same = show_check(differences_now(arguments.folder, data=arguments.data))
    else:
        same = show_rerun(rerun(arguments.folder, say=say, data=arguments.data), tolerance=tolerance)
    return DONE if same else FAILED


def _say(line: str) -> None:
    print(f"copycat: {line}", file=sys.stderr, flush=True)


def _say_why(outcome: "Outcome") -> None:
    if outcome.status == "failed":
        log = outcome.folder / "train.log"
        more = f" More in {log}." if log.exists() else ""
        print(f"copycat: failed: {outcome.manifest['error']}.{more}", file=sys.stderr)
    if outcome.status == "interrupted":
        raise KeyboardInterrupt


def inspect(words: Sequence[str]) -> int:
    """Show the network before it trains: layers, shapes, parameters, FLOPs"""
    for word in words:
        if word in ("-h", "--help"):
            print(f"usage: copycat inspect [OVERRIDES]\n\n{_says(inspect)}.\nThe overrides: copycat train --help.")
            return DONE
        if word.startswith("-"):
            raise UserError(f"{word}: expected KEY=VALUE, as in model.hidden=[20,7,5]; copycat inspect has no flags.")
    from copycat.config.compose import compose

    config = compose(words, data_too=False).config
    from copycat.inspection.network import inspect_network  # imports torch: not for a mistake in the words

    print(inspect_network(config))
    return DONE


def data_fetch(arguments: argparse.Namespace) -> int:
    """Download a data set, once"""
    from copycat.data.fetch import fetch_cats

    folder = arguments.folder or Path(os.environ.get("COPYCAT_DATA", "data"))
    for file in fetch_cats(folder):
        print(file)
    return DONE


def data_check(arguments: argparse.Namespace) -> int:
    """Look a data set over: counts, duplicates, shifts between parts, unreadable files"""
    from copycat.config.compose import compose

    config = compose(arguments.overrides, data_too=False).config
    from copycat.data.report import print_check
    from copycat.runs.build import build_data

    print_check(build_data(config["data"], seed=config["seed"]))
    return DONE


def data_draw(arguments: argparse.Namespace) -> int:
    """Write the drawn images as PNG files, a sub-folder a class, to look at them"""
    from copycat.data.gallery import write_gallery

    print(write_gallery(arguments.folder, seed=arguments.seed))
    return DONE


def runs(arguments: argparse.Namespace) -> int:
    """Show the table of runs"""
    from copycat.runs.table import print_runs

    print_runs(arguments.folder)
    return DONE


def board(arguments: argparse.Namespace) -> int:
    """Open TensorBoard on runs, until Ctrl-C"""
    from copycat.inspection.board import serve

    serve(arguments.folder, port=arguments.port, browser=not arguments.no_browser)
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
    again.add_argument("run", type=Path, help="the folder of a run, or of a trial of a sweep")
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
    serve = _add(commands, "board", board)
    serve.add_argument("folder", type=Path, nargs="?", default=OUTPUTS, help="a run, a sweep or all outputs")
    serve.add_argument("--port", type=_whole(65535), default=0, help="0: any that is free")
    serve.add_argument("--no-browser", action="store_true", help="only print the address")
    return top


def _whole(most: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) > most:
            raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {most}; got {text!r}")
        return int(text)

    return whole


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


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command and end the process with its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        sys.exit(_run(words))
    except UserError as error:
        _end(f"copycat: {error}", WRONG, error, debug=debug)
    except KeyboardInterrupt as stop:
        _end("copycat: interrupted.", INTERRUPTED, stop, debug=debug)
    except BrokenPipeError:  # the reader, as in `copycat runs | head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(DONE)
    except Exception as error:
        _end(f"copycat: failed: {type(error).__name__}: {error}. See where: add --debug.", FAILED, error, debug=debug)


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

        traceback.print_exception(error)
    print(line, file=sys.stderr)
    sys.exit(status)
