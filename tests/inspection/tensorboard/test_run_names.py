"""Runs under names that a person reads."""

from pathlib import Path

import pytest

from copycat.inspection.tensorboard.run_names import RunLinks, run_name
from tests.support.commands import call_copycat
from tests.support.runs import train_tiny
from tests.support.sweep_folders import write_sweep_folder, write_trial_folder


def test_a_name_is_the_experiment_and_what_was_overridden_by_short_keys(tiny: Path, tmp_path: Path) -> None:
    words = ("trainer.max_epochs=1", "model=shallow", "model.hidden=[5]")
    folders = [train_tiny(*words, data=tiny, at=tmp_path / "outputs").folder for _ in range(2)]
    (tmp_path / "names").mkdir()
    board = RunLinks(tmp_path / "outputs", tmp_path / "names")
    board.update()
    name = "default data=folder image_size=8 max_epochs=1 model=shallow hidden=[5]"
    links = list((tmp_path / "names").iterdir())
    assert {link.name for link in links} == {name, f"{name} (2)"}
    assert {link.resolve() for link in links} == {folder / "tensorboard" for folder in folders}
    late = train_tiny(*words, "seed=5", data=tiny, at=tmp_path / "outputs").folder
    board.update()
    assert (tmp_path / "names" / f"{name} seed=5").resolve() == late / "tensorboard"
    assert board.count == 3
    assert board.varied() == {"seed"}


def test_without_symbolic_links_event_files_are_copied_as_they_grow(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("a required privilege is not held by the client")

    monkeypatch.setattr("os.symlink", refuse)
    events = train_tiny("trainer.max_epochs=1", data=tiny, at=tmp_path / "outputs").folder / "tensorboard"
    (tmp_path / "names").mkdir()
    board = RunLinks(tmp_path / "outputs", tmp_path / "names")
    board.update()
    (mirror,) = (tmp_path / "names").iterdir()
    assert read_files(mirror) == read_files(events) != {}
    first, second, *_ = [file for file in events.rglob("events*") if file.is_file()]
    with first.open("ab") as file:
        file.write(b"one more record")
    second.unlink()
    (events / "late").mkdir()
    (events / "late" / "events.out.tfevents.0").write_bytes(b"of a resumed run")
    board.update()
    assert read_files(mirror) == read_files(events)
    assert all(file.stat().st_nlink == 1 for file in events.rglob("*") if file.is_file())


def read_files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_drawn_value_has_the_digits_that_the_tables_show(tmp_path: Path) -> None:
    sweep = write_sweep_folder(tmp_path, [], space={"optimizer.lr": "interval(0,1)"})
    write_trial_folder(sweep, 0, {"optimizer.lr": 0.015803878405845387}, status="completed", val_loss=0.1)
    manifest = {"request": {"experiment": "default", "overrides": []}}
    assert run_name(sweep / "0", root=sweep, manifest=manifest) == "0 lr=0.0158039"


def test_a_trial_is_called_by_its_number(tiny: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    data = ("data=folder", f"data.root={tiny}", "data.image_size=8", "trainer.max_epochs=1")
    call_copycat("train", "-m", *data, "optimizer.lr=0.1,0.2", f"sweep.folder={sweep}")
    for name in ("one", "all"):
        (tmp_path / name).mkdir()
    RunLinks(sweep, tmp_path / "one").update()
    assert {link.name for link in (tmp_path / "one").iterdir()} == {
        "0 lr=0.1",
        "1 lr=0.2",
    }
    RunLinks(tmp_path, tmp_path / "all").update()
    found = {link.name for link in (tmp_path / "all").iterdir()}
    assert found == {f"sweep sweep trial {number} lr={rate}" for number, rate in enumerate((0.1, 0.2))}


def test_a_strange_override_makes_a_name_all_the_same(tiny: Path, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    words = (
        "trainer.max_epochs=1",
        "+callbacks.x={_target_: pytorch_lightning.callbacks.Timer, duration: '00:01:00:00'}",
    )
    train_tiny(*words, data=tiny, at=outputs)
    (tmp_path / "names").mkdir()
    RunLinks(outputs, tmp_path / "names").update()
    (link,) = (tmp_path / "names").iterdir()
    assert (link / "train").is_dir()
    assert len(link.name) <= 100


def test_event_files_that_lead_out_of_their_run_are_left_out_and_named_once(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_tiny("trainer.max_epochs=1", data=tiny, at=tmp_path / "outputs").folder
    (folder / "tensorboard" / "events.out.tfevents.1").symlink_to(tmp_path / "outside")
    (tmp_path / "names").mkdir()
    links = RunLinks(tmp_path / "outputs", tmp_path / "names")
    for _ in range(2):
        links.update()
    assert links.count == 0
    assert list((tmp_path / "names").iterdir()) == []
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"copycat: left out: {folder}/tensorboard/events.out.tfevents.1: expected a plain file")
