"""Data sets read by Hugging Face `datasets`: local files, and a Hub served by the test."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch

from copycat.config.errors import FailedDownloadError, UserError
from copycat.data.datamodule import DataModule
from copycat.data.lazy_images import LazyImages
from copycat.data.sources.folder import Folder
from copycat.data.sources.hub import Hub
from copycat.data.split import Part
from copycat.data.table_images import TableImages
from tests.support.commands import call_copycat
from tests.support.conversions import make_source
from tests.support.hub import MiniHub
from tests.support.images import load_folder, stack_images, write_image_folder

FILES = ["cat/a.png", "cat/b.jpeg", "cat/more/c.bmp", "dog/1.png", "dog/2.PNG"]
FIRST, SECOND = "a" * 40, "b" * 40


@pytest.fixture(autouse=True)
def cache_of_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "huggingface"
    for name in ("HF_DATASETS_CACHE", "HF_MODULES_CACHE", "DOWNLOADED_DATASETS_PATH"):
        monkeypatch.setattr(datasets.config, name, folder / name)
    for name in ("HF_HUB_CACHE", "HF_XET_CACHE"):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", str(folder / name))
    return folder


def make_rows(pets: Path, files: Sequence[str] = FILES, **columns: tuple[Any, Sequence[Any]]) -> datasets.Dataset:
    """Make a table of the pictures as they are on disk; `columns` are of (type, cells)."""
    content = {
        "image": [{"bytes": (pets / file).read_bytes(), "path": os.path.basename(file)} for file in files],
        "label": [int(file.startswith("dog")) for file in files],
        **{name: list(cells) for name, (_, cells) in columns.items()},
    }
    types = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    types |= {name: kind for name, (kind, _) in columns.items()}
    return datasets.Dataset.from_dict(content, features=datasets.Features(types))


def write_parquet(folder: Path, **parts: datasets.Dataset) -> Path:
    folder.mkdir()
    for name, rows in parts.items():
        rows.to_parquet(folder / f"{name}.parquet")
    return folder


def load(name: Path | str, **options: Any) -> tuple[Hub, dict[str, Part]]:
    source = Hub(name=str(name), **{"image_size": 8, **options})
    return source, dict(source.load())


# ----- local files


@pytest.mark.parametrize("memory_mb", [2048, 0])
@pytest.mark.parametrize("form", ["parquet", "file", "disk", "imagefolder"])
def test_the_images_are_those_of_the_folder_by_the_same_decoder(
    form: str, memory_mb: int, pets: Path, tmp_path: Path
) -> None:
    (pets / "cat/more/c.bmp").rename(pets / "cat/c.bmp")  # an imagefolder has no sub-folders of a class
    (pets / "cat/more").rmdir()
    files = [file.replace("more/", "") for file in FILES]
    if form == "imagefolder":
        name = pets
    elif form == "disk":
        name = tmp_path / "disk"
        make_rows(pets, files).save_to_disk(name)
    else:
        name = write_parquet(tmp_path / "rows", train=make_rows(pets, files))
    source, parts = load(name / "train.parquet" if form == "file" else name, memory_mb=memory_mb)
    part, folder = parts["train"], load_folder(pets)["train"]
    assert list(source.classes) == ["cat", "dog"]
    assert part.digests == folder.digests
    assert torch.equal(part.labels, folder.labels)
    assert torch.equal(stack_images(part), stack_images(folder))
    assert list(part.names) == (list(folder.names) if form == "imagefolder" else [Path(file).name for file in files])
    if memory_mb == 0:
        assert isinstance(part.images, LazyImages if form == "imagefolder" else TableImages)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_order_of_a_saved_data_set_is_that_of_the_folder(workers: int, tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "many", classes={"cat": 0, "dog": 50}, parts={"": 9}, levels=200)
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    make_rows(root, files).save_to_disk(tmp_path / "disk")
    batches = []
    for source in (Folder(root=str(root), image_size=8, memory_mb=0), load(tmp_path / "disk", memory_mb=0)[0]):
        data = DataModule(source, split="holdout", batch_size=4, shuffle=True, seed=3, workers=workers)
        batches.append([*data.train_dataloader()])
    for expected, batch in zip(*batches, strict=True):
        assert all(torch.equal(batch[name], expected[name]) for name in expected)


def test_a_saved_data_set_is_recognized_and_converted(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_rows(pets).save_to_disk(tmp_path / "disk")
    monkeypatch.chdir(tmp_path)
    call_copycat("data", "check", "data=hf", "data.name=disk")
    call_copycat("data", "convert", "disk", "rows", "data.image_size=8", "--to", "webdataset")
    part = make_source("webdataset", tmp_path / "rows", memory_mb=0).load()["train"]
    assert part.digests == load_folder(pets)["train"].digests
    assert list(part.names) == [Path(file).name for file in FILES]


def test_splits_become_parts_and_others_are_left_out(pets: Path, tmp_path: Path) -> None:
    hidden = make_rows(pets).map(lambda row: {"label": -1})
    rows = {"train": make_rows(pets), "validation": make_rows(pets, FILES[2:]), "test": hidden}
    datasets.DatasetDict({**rows, "unsupervised": hidden}).save_to_disk(tmp_path / "disk")
    source, parts = load(tmp_path / "disk")
    assert {name: len(part) for name, part in parts.items()} == {"train": 5, "val": 3}
    assert [str(one) for one in source.left_out] == [
        "unsupervised: no split of train, validation or test, 5 files",
        "test: without labels, 5 files",
    ]


def test_columns_are_found_by_type_or_stated_and_labels_may_be_words(pets: Path, tmp_path: Path) -> None:
    text = datasets.Value("string")
    rows = make_rows(pets, kind=(text, ["b", "a", "b", "c", "c"]), owner=(text, ["x", "y", "x", "z", "y"]))
    name = write_parquet(tmp_path / "rows", train=rows)
    source, parts = load(name, label_column="kind", groups="owner")
    assert list(source.classes) == ["a", "b", "c"]
    assert parts["train"].labels.tolist() == [1, 0, 1, 2, 2]
    assert parts["train"].groups == ["x", "y", "x", "z", "y"]
    _, parts = load(name, groups=r"^(\w)\.")
    assert parts["train"].groups == ["a", "b", "c", "1", "2"]


def test_of_several_columns_of_a_type_one_is_to_be_stated(pets: Path, tmp_path: Path) -> None:
    plain = make_rows(pets)
    name = write_parquet(tmp_path / "one", train=plain.rename_columns({"label": "Fine_Label", "image": "my_photo"}))
    assert load(name)[1]["train"].labels.tolist() == [0, 0, 0, 1, 1]
    both = plain.rename_column("label", "coarse").add_column("fine", [0, 1, 0, 1, 1], feature=plain.features["label"])
    name = write_parquet(tmp_path / "two", train=both)
    with pytest.raises(
        UserError, match=r"^data\.label_column: expected the column of the class names; .* has coarse, fine"
    ):
        load(name)
    assert load(name, label_column="fine")[1]["train"].labels.tolist() == [0, 1, 0, 1, 1]


def test_an_unreadable_cell_is_named_or_left_out(pets: Path, tmp_path: Path) -> None:
    (pets / "cat/a.png").write_bytes(b"no image")
    name = write_parquet(tmp_path / "rows", train=make_rows(pets))
    with pytest.raises(
        UserError, match=r"^data\.name: 1 of 5 images of .*rows can't be read, first a\.png: not an image"
    ):
        load(name)
    _, parts = load(name, on_unreadable="skip")
    assert len(parts["train"]) == 4
    assert list(parts["train"].unreadable) == ["a.png: not an image that Pillow knows"]
    with pytest.raises(UserError, match=r"5 of 5 images .*data\.max_megapixels=NUMBER"):
        load(name, max_megapixels=1e-5, on_unreadable="stop")


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("rows", {"image_column": "img"}, "data.image_column: expected one of image, label; got 'img'"),
        ("rows", {"label_column": "lable"}, "got 'lable'. Did you mean data.label_column=label?"),
        ("rows", {"groups": "owner"}, "data.groups: expected one of label, or a pattern"),
        ("empty", {}, "data.name: datasets can't load .*empty: The directory at .* doesn't contain any data files."),
        ("texts", {}, "data.name: expected Parquet files or a folder of images; .*texts has files of text."),
        ("damaged", {}, "data.name: datasets can't load .*damaged: "),
        ("texts/a.txt", {}, "data.name: expected a folder or a Parquet file; got .*a.txt."),
        ("https://x.org/a", {}, "data.name: expected a data set of the Hugging Face Hub, as cifar10 or OWNER/NAME"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(
    name: str, options: dict[str, Any], line: str, pets: Path, tmp_path: Path
) -> None:
    write_parquet(tmp_path / "rows", train=make_rows(pets))
    for folder, file in (("empty", None), ("texts", "a.txt"), ("damaged", "train.parquet")):
        (tmp_path / folder).mkdir()
        if file:
            (tmp_path / folder / file).write_bytes(b"PAR1 not")
    with pytest.raises(UserError, match=line) as error:
        load(name if "://" in name else tmp_path / name, **options)
    assert "\n" not in str(error.value)


def test_without_the_package_one_line_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copycat.config.extras.find_spec", lambda name: None)
    call_copycat("data", "check", "data=hub", "data.name=cifar10", status=2)
    line = "copycat: data=hub: expected datasets; it is not installed. Type pip install 'copycat-ml[hub]'.\n"
    assert capsys.readouterr().err == line


# ----- the Hub


@pytest.fixture
def hub(pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MiniHub]:
    """A Hub with someone/pets, of two commits: all pets, and those without the last."""
    rows = {FIRST: make_rows(pets), SECOND: make_rows(pets, FILES[:4])}
    served = MiniHub("someone/pets")
    for commit, table in rows.items():
        file = write_parquet(tmp_path / commit, train=table) / "train.parquet"
        served.commits[commit] = {"data/train-00000-of-00001.parquet": file.read_bytes()}
    with served.serve() as address:
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", address)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
            f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        )
        yield served


def test_a_revision_is_pinned_recorded_and_loaded_once(
    hub: MiniHub, pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, parts = load("someone/pets")
    assert parts["train"].digests == load_folder(pets)["train"].digests[:4]
    assert source.recorded == {"revision": SECOND}
    source, parts = load("someone/pets", revision=FIRST)
    assert (len(parts["train"]), source.recorded) == (5, {"revision": FIRST})
    assert DataModule(source, split="holdout").fingerprint()["revision"] == FIRST
    asked = len(hub.requests)
    assert len(load("someone/pets", revision=FIRST)[1]["train"]) == 5
    assert len(load("someone/pets", revision=SECOND)[1]["train"]) == 4
    assert len(hub.requests) == asked
    for line in (
        "data.name: no data set someone/cows on",
        "data.revision: expected a revision of someone/pets; got 'v9'",
    ):
        with pytest.raises(UserError, match=line):
            load("someone/cows") if "cows" in line else load("someone/pets", revision="v9")
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "http://127.0.0.1:9")  # where nobody listens
    source, parts = load("someone/pets")
    assert source.revision in (FIRST, SECOND)
    for revision in ("main", "c" * 40):
        with pytest.raises(
            FailedDownloadError, match=f"can't reach the Hugging Face Hub, and someone/pets at {revision} is not in"
        ):
            load("someone/pets", revision=revision)


def test_nothing_is_downloaded_where_the_data_are_of_a_stranger(hub: MiniHub, pets: Path) -> None:
    with pytest.raises(
        UserError, match=r"^data\.name: expected someone/pets in the cache of datasets, as data\.download"
    ):
        load("someone/pets", download=False)
    assert hub.requests == []
    (pets / "README.md").write_text("---\nconfigs: []\n---\n")
    with pytest.raises(UserError, match=r"expected a folder without README\.md"):
        load(pets, download=False)
