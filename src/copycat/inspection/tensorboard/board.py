"""TensorBoard on runs, on a local address, each run under a readable name."""

import logging
import tempfile
import time
import webbrowser
from collections.abc import Callable, Set
from importlib.util import find_spec
from pathlib import Path

from tensorboard.program import TensorBoard, TensorBoardPortInUseError, TensorBoardServerException

from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.inspection.tensorboard.hparams_table import HParamsTable, plugins_with_table
from copycat.inspection.tensorboard.run_names import RunLinks
from copycat.tables.run_table import check_folder

REFRESH_SECONDS = 5.0
"""Seconds between two searches for new runs."""


def serve(folder: Path, *, port: int, browser: bool) -> None:
    """Serve until Ctrl-C, and print the address to standard output; port 0 is any free one.

    Raises:
        UserError: where the folder does not exist, or the port is taken.
    """
    check_folder(folder)
    with tempfile.TemporaryDirectory(prefix="copycat-board-", ignore_cleanup_errors=True) as names:
        links = RunLinks(folder, Path(names))
        links.update()
        address = launch(Path(names), varied=links.varied, title=str(folder), port=port)
        print_line(f"{address} shows {folder}; Ctrl-C ends it")
        if not links.count:
            print_line("no run in it has TensorBoard's files yet: those that begin show as they do")
        if browser:
            webbrowser.open(address)
        try:
            while True:
                time.sleep(REFRESH_SECONDS)  # Ctrl-C ends it on Windows too
                links.update()
        except KeyboardInterrupt:
            print_line("")


def launch(folder: Path, *, varied: Callable[[], Set[str]], title: str, port: int) -> str:
    """Start TensorBoard in a thread and return its address; port 0 is any free one.

    HParams shows the keys that `varied` returns, whether their values differ or not.

    Raises:
        UserError: where it does not start.
    """
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    program = TensorBoard(plugins_with_table(HParamsTable(varied)))
    fast = "true" if find_spec("tensorboard_data_server") else "false"  # unset, TensorBoard prints a note
    address = ["--logdir", str(folder), "--host", "127.0.0.1", "--port", str(port), "--window_title", title]
    # keep all images and curves of a run; TensorBoard's default drops most of them
    retention = ["--samples_per_plugin", "images=100,scalars=2000,pr_curves=100"]
    speed = ["--reload_interval", str(int(REFRESH_SECONDS)), f"--load_fast={fast}"]
    program.configure(argv=["tensorboard", *address, *retention, *speed])
    try:
        return str(program.launch())
    except TensorBoardPortInUseError as error:
        raise UserError(f"--port: expected a free port; got {port}, which is taken. Leave it out.") from error
    except TensorBoardServerException as error:
        raise UserError(f"TensorBoard does not start: {error}") from error
