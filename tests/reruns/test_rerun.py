"""A run made again from its folder: identical, or where it differs and why."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from copycat.config.errors import UserError
from copycat.records.digests import changed_keys, key_digests
from copycat.records.metrics_csv import read_history
from copycat.records.run_loader import open_recorded
from copycat.reruns.report import print_check, print_rerun
from copycat.reruns.rerun import Rerun, current_differences, rerun
from copycat.tables.run_table import print_runs
from copycat.training.result import RunResult
from tests.support.parameters import mark_slow
from tests.support.run_folders import assert_same_bits, change_manifest
from tests.support.runs import QUIET, train_tiny

WORDS = ("optimizer=adam", "data.batch_size=4", "data.shuffle=true", "trainer.max_epochs=4", "logger=none")
SHALLOW = ("model=shallow", "model.hidden=[3]")
CHANCE = (
    "model=cnn",
    "model.channels=[4]",
    "model.dropout=0.3",
    "augmentation=light",
    "scheduler=cosine",
    "scheduler.T_max=4",
)


@pytest.fixture(autouse=True)
def _outputs_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a copy of a run that was trained elsewhere lands in ./outputs


@pytest.fixture
def notices() -> list[str]:
    return []


def train_folder(*words: str, data: Path, at: Path) -> Path:
    return train_tiny(*WORDS, *words, data=data, at=at).folder


def report_rerun(
    found: Rerun, capsys: pytest.CaptureFixture[str], *, tolerance: float | None = None
) -> tuple[bool, list[str]]:
    """Whether it is as good as asked, and the lines of standard output."""
    capsys.readouterr()
    same = print_rerun(found, tolerance=tolerance)
    return same, capsys.readouterr().out.splitlines()


def edit_config(folder: Path, pattern: str, instead: str) -> None:
    """Change one place of config.yaml."""
    path = folder / "config.yaml"
    text, count = re.subn(pattern, instead, path.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1
    path.write_text(text)


def update_manifest(folder: Path, **changes: Any) -> None:
    change_manifest(folder, lambda manifest: manifest.update(changes))


# ----- the same


@pytest.mark.parametrize(
    "words",
    mark_slow([SHALLOW, CHANCE, (*CHANCE, "data.workers=2", "data.memory_mb=0"), QUIET], fast=[SHALLOW, CHANCE]),
    ids=str,
)
def test_a_rerun_is_identical_bit_for_bit(
    words: tuple[str, ...], tiny: Path, tmp_path: Path, notices: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_folder(*words, data=tiny, at=tmp_path)
    found = rerun(open_recorded(folder), notify=notices.append)
    same, lines = report_rerun(found, capsys)
    assert same
    (line,) = lines
    assert re.fullmatch(r"identical: 4 epochs, \d+ tensors, bit for bit", line)
    assert notices == [f"the copy is in {found.outcome.folder}"]
    assert_same_bits(found.outcome.folder, folder)


def test_the_copy_names_its_original_and_a_copy_of_a_copy_works(
    tiny: Path, tmp_path: Path, notices: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first = train_folder(data=tiny, at=tmp_path)
    second = rerun(open_recorded(first), notify=notices.append).outcome
    assert second.manifest["request"]["copy_of"]["folder"] == str(first)
    assert (
        second.manifest["request"]["overrides"] == json.loads((first / "run.json").read_text())["request"]["overrides"]
    )
    third = rerun(open_recorded(second.folder), notify=notices.append)
    assert not third.comparison.differences
    assert third.outcome.manifest["request"]["copy_of"]["folder"] == str(second.folder)
    print_runs(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("│")[2].strip() for line in lines if line.startswith("│")] == [
        "completed",
        "completed (rerun)",
        "completed (rerun)",
    ]
    assert "(rerun): a copy that copycat rerun made" in lines


def test_a_folder_that_was_moved_is_rerun_from_where_it_lies(tiny: Path, tmp_path: Path, notices: list[str]) -> None:
    folder = train_folder(data=tiny, at=tmp_path / "out")
    moved = Path(shutil.move(folder, tmp_path / "elsewhere"))
    assert not rerun(open_recorded(moved), notify=notices.append).comparison.differences


def test_data_that_was_moved_is_named_by_a_flag(tiny: Path, tmp_path: Path, notices: list[str]) -> None:
    data = shutil.copytree(tiny, tmp_path / "here")
    folder = train_folder(data=data, at=tmp_path / "out")
    moved = Path(shutil.move(data, tmp_path / "there"))
    with pytest.raises(UserError, match="here"):
        rerun(open_recorded(folder), notify=notices.append)
    found = rerun(open_recorded(folder), notify=notices.append, data=moved)
    assert (list(found.causes), list(found.comparison.differences)) == ([], [])


def test_drawn_images_lie_nowhere(tmp_path: Path, notices: list[str]) -> None:
    from copycat.config.compose import compose
    from copycat.training.train import train

    folder = train(compose(["trainer.max_epochs=1", *QUIET, f"output_dir={tmp_path}"])).folder
    with pytest.raises(UserError, match=r"^data: expected a run whose data has a root"):
        rerun(open_recorded(folder), notify=notices.append, data=tmp_path)


def test_a_network_of_one_s_own_that_is_not_imported_yet_has_not_changed(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unread.py").write_text(
        "import torch\n\n\nclass Net(torch.nn.Linear):\n    def forward(self, x):\n"
        "        return super().forward(x.flatten(1))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model = ("model._target_=unread.Net", "~model.style", "~model.hidden", "~model.activation")
    folder = train_tiny("trainer.max_epochs=1", *model, *QUIET, data=tiny, at=tmp_path / "out").folder
    monkeypatch.delitem(sys.modules, "unread")
    assert current_differences(open_recorded(folder)) == []
    monkeypatch.delitem(sys.modules, "unread")
    (tmp_path / "unread.py").unlink()
    assert [cause.line for cause in current_differences(open_recorded(folder))] == ["unread: no such package now"]


def test_today_s_conf_is_not_read(
    tiny: Path, tmp_path: Path, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = train_folder(data=tiny, at=tmp_path / "out")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "copycat.yaml").write_text("this: is no configuration of ours")
    monkeypatch.chdir(tmp_path)
    assert not rerun(open_recorded(folder), notify=notices.append).comparison.differences


# ----- runs that did not complete


def test_an_interrupted_run_is_compared_as_far_as_it_got(
    tiny: Path, tmp_path: Path, notices: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_folder(data=tiny, at=tmp_path)
    lines = (folder / "metrics.csv").read_text().splitlines(keepends=True)
    (folder / "metrics.csv").write_text("".join(lines[:3]) + lines[3][:9])  # killed as it wrote its third row
    (folder / "weights.safetensors").unlink()
    for status, kind in (("interrupted", "an interrupted run"), ("running", "a run that was killed")):
        update_manifest(folder, status=status, error=None, came_out={})
        assert report_rerun(rerun(open_recorded(folder), notify=notices.append), capsys) == (
            True,
            [f"identical: 2 epochs of {kind}, bit for bit"],
        )


def test_a_run_that_diverged_diverges_again(
    tiny: Path, tmp_path: Path, notices: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("model=linear", "loss=mse", "optimizer=sgd", "optimizer.lr=1e15", "trainer.max_epochs=50")
    outcome: RunResult = train_tiny(*words, "callbacks=none", "logger=none", data=tiny, at=tmp_path)
    assert outcome.status == "failed"
    same, (line,) = report_rerun(rerun(open_recorded(outcome.folder), notify=notices.append), capsys)
    assert same
    assert line.startswith(f"identical: {outcome.manifest['results']['epochs']} epoch")
    assert f"of a failed run ({outcome.manifest['error']})" in line


def test_a_run_that_failed_otherwise_than_its_copy_differs(
    tiny: Path, tmp_path: Path, notices: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_folder(data=tiny, at=tmp_path)
    update_manifest(folder, status="failed", error="No space left on device")
    same, lines = report_rerun(rerun(open_recorded(folder), notify=notices.append), capsys)
    assert not same
    assert any("failed: No space left on device" in line and "completed" in line for line in lines)


# ----- different


def test_one_config_value_is_found_and_its_key_named_first(
    tiny: Path, tmp_path: Path, notices: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_folder("optimizer.lr=0.001", data=tiny, at=tmp_path)
    edit_config(folder, r"^  lr: 0.001$", "  lr: 0.002")
    found = rerun(open_recorded(folder), notify=notices.append)
    assert notices[0].startswith("differs from the original: config: config.yaml was changed since it was recorded")
    same, lines = report_rerun(found, capsys)
    assert not same
    assert lines[0] == "first difference"
    assert any(line.startswith("1. config: config.yaml was changed") and "optimizer.lr" in line for line in lines)
    before, after = (read_history(f) for f in (folder, found.outcome.folder))
    first = next(
        (int(a["epoch"]), name) for a, b in zip(before, after, strict=True) for name in a if a[name] != b[name]
    )
    shown = found.comparison.differences[0]
    assert (shown.moment.epoch, shown.place) == first
    assert any(re.match(rf"│ {first[0]} +│ {4 * (first[0] + 1)} +│ {first[1]} ", line) for line in lines)


def test_the_thread_count_of_the_run_is_used_and_another_is_named_first(
    tiny: Path, tmp_path: Path, notices: list[str]
) -> None:
    folder = train_folder("trainer.threads=2", data=tiny, at=tmp_path)
    copy = rerun(open_recorded(folder), notify=notices.append).outcome
    assert copy.manifest["provenance"]["environment"]["threads"] == 2
    edit_config(folder, r"^  threads: 2$", "  threads: 1")
    first = current_differences(open_recorded(folder))[0]
    assert first.kind == "config"
    assert "trainer.threads" in first.line


def test_a_changed_record_is_said_before_the_start(
    tiny: Path, tmp_path: Path, notices: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_folder(data=tiny, at=tmp_path)
    path = folder / "metrics.csv"
    path.write_text(path.read_text().replace("\n1,0.", "\n1,1."))
    found = rerun(open_recorded(folder), notify=notices.append)
    assert notices[0] == "differs from the original: record: metrics.csv was changed since it was recorded"
    same, lines = report_rerun(found, capsys)
    assert not same
    assert "1. record: metrics.csv was changed since it was recorded" in lines


@pytest.mark.parametrize("name", ["weights.safetensors", "checkpoints/last.ckpt", "checkpoints/best.ckpt"])
def test_damage_is_named(name: str, tiny: Path, tmp_path: Path, notices: list[str]) -> None:
    folder = train_folder(data=tiny, at=tmp_path)
    path = folder / name
    path.write_bytes(path.read_bytes()[:-40])
    found = rerun(open_recorded(folder), notify=notices.append)
    assert name in notices[0]
    assert found.comparison.differences[0].place == path.name
    assert "damaged" in found.comparison.differences[0].words[0]


def test_a_tolerance_accepts_a_distance_and_says_so(
    tiny: Path, tmp_path: Path, notices: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_folder("optimizer.lr=0.001", data=tiny, at=tmp_path)
    edit_config(folder, r"^  lr: 0.001$", "  lr: 0.001001")
    found = rerun(open_recorded(folder), notify=notices.append)
    assert not report_rerun(found, capsys)[0]
    assert not report_rerun(found, capsys, tolerance=1e-12)[0]
    same, (line,) = report_rerun(found, capsys, tolerance=0.01)
    assert same
    assert re.fullmatch(r"within 0.01: 4 epochs, \d+ tensors; largest distance \S+, .+", line)


def test_no_tolerance_that_failed_is_named_for_a_trial_of_a_pack(
    tiny: Path, tmp_path: Path, notices: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_folder(data=tiny, at=tmp_path)
    change_manifest(folder, lambda manifest: manifest["provenance"].update(pack=[0, 1]))
    edit_config(folder, r"^  lr: .*$", "  lr: 0.5")
    found = rerun(open_recorded(folder), notify=notices.append)
    assert [line for line in notices if "pack" in line] == [
        "differs from the original: pack: trained as one of 2 in a pack → alone: the same up to rounding"
    ]
    assert report_rerun(found, capsys)[1][-1].endswith("type --tolerance 1e-4")
    last = report_rerun(found, capsys, tolerance=1e-4)[1][-1]
    assert "--tolerance" not in last
    assert last.endswith("compare the losses")


def test_a_check_trains_nothing(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = train_folder(data=tiny, at=tmp_path)
    assert print_check(current_differences(open_recorded(folder)))
    assert capsys.readouterr().out == "same fingerprints\n"
    edit_config(folder, r"^seed: 123$", "seed: 124")
    assert not print_check(current_differences(open_recorded(folder)))
    assert "1. config: config.yaml was changed" in capsys.readouterr().out
    assert len(list(tmp_path.rglob("run.json"))) == 1


# ----- refused


def test_a_sweep_s_folder_says_which_trials_there_are(tiny: Path, tmp_path: Path, notices: list[str]) -> None:
    folder = train_folder(data=tiny, at=tmp_path)
    for place in (tmp_path, folder.parent):
        with pytest.raises(UserError, match=f"expected one run; got a folder of 1: .*{folder.name}"):
            rerun(open_recorded(place), notify=notices.append)


def test_changed_keys_are_named_whether_changed_added_or_removed() -> None:
    before = {"a": {"b": 1, "c": [1, 2]}, "d": None, "e": {}}
    after = {"a": {"b": 1.0, "c": [1, 2]}, "e": {"f": 0}}
    assert changed_keys(before, key_digests(before)) == []
    assert changed_keys(after, key_digests(before)) == ["a.b", "e.f", "d", "e"]
