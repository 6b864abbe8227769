"""Files are replaced whole, on Windows too."""

from pathlib import Path

import pytest

from copycat.config import atomic_write
from copycat.config.atomic_write import write_whole


class SharingError(PermissionError):
    winerror = 32


def test_a_file_that_another_process_reads_is_replaced_once_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, refusals = Path.replace, [SharingError(), SharingError()]

    def refused_twice(path: Path, to: Path) -> Path:
        if refusals:
            raise refusals.pop()
        return replace(path, to)

    monkeypatch.setattr(Path, "replace", refused_twice)
    write_whole(tmp_path / "run.json", b"content")
    assert (tmp_path / "run.json").read_bytes() == b"content"


@pytest.mark.parametrize("error", [SharingError, PermissionError])
def test_a_file_that_stays_open_or_may_not_be_written_is_an_error_and_leaves_nothing(
    error: type[PermissionError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, to: Path) -> Path:
        raise error

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(atomic_write, "PATIENCE_SECONDS", 0.05)
    with pytest.raises(error):
        write_whole(tmp_path / "run.json", b"content")
    assert not list(tmp_path.iterdir())
