"""`copycat app` and `copycat serve` before they answer, and the process that goes on afterwards."""

import logging
from pathlib import Path

import pytest

from tests.support.commands import call_copycat
from tests.support.runs import train_tiny


class Closed(logging.Handler):
    """Records that it was closed, as a handler of absl's closes the standard error that it was made with."""

    closed = False

    def close(self) -> None:
        """Close the handler."""
        self.closed = True
        super().close()


def test_handlers_of_other_libraries_stay_open(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: None)
    run = train_tiny("trainer.max_epochs=1", data=tiny, at=tmp_path).folder
    handler = Closed()
    call_copycat("app", str(run), "--no-browser")
    assert not handler.closed


@pytest.mark.parametrize("command", ["app", "serve"])
def test_a_run_that_cannot_predict_is_refused_before_it_is_served(
    command: str, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = train_tiny("trainer.max_epochs=1", data=tiny, at=tmp_path).folder / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    call_copycat(command, weights.parent, status=2)
    assert "weights.safetensors: expected the weights that the run recorded" in capsys.readouterr().err
