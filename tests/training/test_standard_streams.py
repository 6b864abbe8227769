"""What a run and a command do once standard output or standard error takes no more text."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import TextIO

import pytest

from copycat.cli import main
from copycat.training.standard_streams import TolerantStream, tolerating_lost_output
from copycat.training.summary import PrintedLosses
from copycat.training.train import train
from tests.support.run_folders import find_only_run, write_run
from tests.support.runs import QUIET, compose_quickly

LOST = ("closed pipe", "full disk")


@contextmanager
def lose(kind: str) -> Iterator[TextIO]:
    """A real text stream, written line by line, whose writes fail."""
    if kind == "full disk":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        reads, descriptor = os.pipe()
        os.close(reads)
    stream = open(descriptor, "w", buffering=1)  # noqa: SIM115, its end fails too
    try:
        yield stream
    finally:
        with suppress(OSError):
            stream.close()


def tiny_overrides(tiny: Path, at: Path) -> list[str]:
    where = ["data=folder", f"data.root={tiny}", "data.image_size=8", f"output_dir={at}"]
    return [*where, "trainer.max_epochs=12", *QUIET]


def run_main(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("name", ["stdout", "stderr"])
@pytest.mark.parametrize("kind", LOST)
def test_a_run_prints_to_a_lost_stream_and_completes(
    kind: str, name: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PrintedTwice(PrintedLosses):
        def log_metrics(self, metrics: object, step: int | None = None) -> None:
            super().log_metrics({"train/loss": 0.5}, step)
            print("epoch", step, file=sys.stderr, flush=True)

    request = compose_quickly(tiny_overrides(tiny, tmp_path))
    with lose(kind) as stream, monkeypatch.context() as patched:
        patched.setattr(sys, name, stream)
        outcome = train(request, extra_loggers=[PrintedTwice(None)])
        assert getattr(sys, name) is stream
    assert (outcome.status, outcome.manifest["error"]) == ("completed", None)
    assert outcome.manifest["results"]["epochs"] == 12


@pytest.mark.parametrize(("kind", "status"), [("closed pipe", 0), ("full disk", 1)])
def test_a_command_that_trains_goes_on_to_its_end_where_its_output_is_lost(
    kind: str,
    status: int,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with lose(kind) as stream, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", stream)
        found = run_main("train", *tiny_overrides(tiny, tmp_path))
    assert json.loads((find_only_run(tmp_path) / "run.json").read_text())["status"] == "completed"
    lost = "copycat: failed: standard output: No space left on device.\n"
    assert (found, capsys.readouterr().err) == (status, lost if status else "")


@pytest.mark.slow
def test_a_sweep_goes_on_where_its_output_is_lost(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*tiny_overrides(tiny, tmp_path), f"sweep.folder={tmp_path / 'sweep'}", "seed=1,2"]
    with lose("closed pipe") as out, lose("full disk") as err, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", out)
        patched.setattr(sys, "stderr", err)
        assert run_main("train", "-m", *words) == 0
    statuses = [json.loads(file.read_text())["status"] for file in tmp_path.glob("sweep/*/trial.json")]
    assert statuses == ["completed"] * 2


@pytest.mark.parametrize("kind", LOST)
def test_a_mistake_keeps_its_status_where_standard_error_is_lost(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with lose(kind) as stream, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        assert run_main("trian") == 2


@pytest.mark.parametrize("form", [[], ["--csv"], ["--json"]], ids=["table", "csv", "json"])
@pytest.mark.parametrize(("kind", "status"), [("closed pipe", 0), ("full disk", 1)])
def test_an_answer_that_nobody_takes_ends_its_command(
    kind: str,
    status: int,
    form: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_run(tmp_path / "run")
    with lose(kind) as stream, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", stream)
        assert run_main("runs", tmp_path, *form) == status
    lost = "copycat: failed: standard output: No space left on device.\n"
    assert capsys.readouterr().err == (lost if status else "")


def test_text_before_the_loss_is_whole_and_nothing_follows_it() -> None:
    class Full(BytesIO):
        room = True

        def write(self, text: object) -> int:
            if not self.room:
                raise OSError(28, "No space left on device")
            return super().write(text)  # type: ignore[arg-type]

    file = Full()
    stream = TolerantStream(TextIOWrapper(file, encoding="latin-1", write_through=True))
    print("Epoch 0, ± 1 –", file=stream)
    file.room = False
    print("Epoch 1", file=stream, flush=True)
    file.room = True
    print("Epoch 2", file=stream, flush=True)
    assert file.getvalue() == b"Epoch 0, \xb1 1 \\u2013\n"  # latin-1 has no dash
    assert isinstance(stream.error, OSError)


CLOSED = """
import os, sys
sys.argv[1:] = ["--version"]
from copycat.cli import command
from copycat.training import standard_streams
os.close(1); os.close(2)
sys.stdout = sys.stderr = None
standard_streams._open_closed()
opened = os.open(sys.executable, os.O_RDONLY)
os._exit(0 if opened > 2 and print("text") is None and sys.stdout.isatty() is False else 1)
"""


def test_no_file_of_a_run_gets_the_number_of_a_closed_stream() -> None:
    subprocess.run([sys.executable, "-c", CLOSED], check=True)


def test_what_keeps_the_stream_of_a_run_does_not_close_that_of_its_caller() -> None:
    stream = TextIOWrapper(BytesIO())
    with redirect_stderr(stream), tolerating_lost_output():
        kept = sys.stderr  # as absl's handler of logging does, which closes it where logging is configured anew
    kept.close()
    stream.write("still open")
    assert not stream.closed
