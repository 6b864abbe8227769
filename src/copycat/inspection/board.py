"""TensorBoard on runs, on this machine's own address."""

import logging
import threading
import webbrowser
from importlib.util import find_spec
from pathlib import Path

from tensorboard.program import TensorBoard, TensorBoardPortInUseError, TensorBoardServerException

from copycat.config.errors import UserError


def serve(folder: Path, *, port: int, browser: bool) -> None:
    """Serve until Ctrl-C; the address goes to standard output.

    Args:
        port: 0 for any that is free.

    Raises:
        UserError: where the folder does not exist, or the port is taken.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: expected a folder of runs; got none. Make a run: copycat train.")
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    program = TensorBoard()
    fast = "true" if find_spec("tensorboard_data_server") else "false"  # said, or TensorBoard prints a note on it
    where = ["--logdir", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    program.configure(argv=["tensorboard", *where, f"--load_fast={fast}"])
    try:
        address = program.launch()
    except TensorBoardPortInUseError as error:
        raise UserError(f"--port: expected a free port; got {port}, which is taken. Leave it out.") from error
    except TensorBoardServerException as error:
        raise UserError(f"TensorBoard does not start: {error}") from error
    print(f"{address} shows {folder}; Ctrl-C ends it", flush=True)
    if browser:
        webbrowser.open(address)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()
