"""Parquet files that other programs wrote, on disk and at addresses."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import fsspec
import pyarrow as pa
import pytest
import torch
from moto.server import ThreadedMotoServer
from pyarrow import parquet
from pyarrow.fs import LocalFileSystem, S3FileSystem, copy_files

from copycat.config.errors import UserError
from copycat.data.datamodule import DataModule
from copycat.data.sources.folder import Folder
from tests.support.conversions import convert_folder, load_rows, make_source
from tests.support.images import load_folder, stack_images, write_image_folder
from tests.support.web_server import serve_folder

FILES = ["cat/a.png", "cat/b.jpeg", "cat/more/c.bmp", "dog/1.png", "dog/2.PNG"]
LABELS = ["cat", "cat", "cat", "dog", "dog"]


def make_table(pets: Path, rows: Sequence[int] = range(5), **columns: Sequence[Any]) -> pa.Table:
    chosen = {name: [cells[row] for row in rows] for name, cells in columns.items()}
    return pa.table({"photo": [(pets / FILES[row]).read_bytes() for row in rows], **chosen})


def write_parquet(path: Path, table: pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path, row_group_size=2)
    return path.parent


# ----- files of other programs


def test_columns_are_found_or_stated_and_rows_keep_the_order_of_the_files(pets: Path, tmp_path: Path) -> None:
    kinds = ["b", "a", "b", "c", "c"]
    write_parquet(tmp_path / "rows/b.parquet", make_table(pets, [2, 3, 4], label=LABELS, kind=kinds))
    root = write_parquet(tmp_path / "rows/a.parquet", make_table(pets, [0, 1], label=LABELS, kind=kinds))
    for options in ({}, {"memory_mb": 0}):
        part = load_rows("shards", root, **options)["train"]
        assert part.digests == load_folder(pets)["train"].digests
        assert part.labels.tolist() == [0, 0, 0, 1, 1]
        assert part.names == ["a.parquet[0]", "a.parquet[1]", "b.parquet[0]", "b.parquet[1]", "b.parquet[2]"]
    source = make_source("shards", root, label_column="kind", image_column="photo", classes=["c", "b", "a"])
    assert source.load()["train"].labels.tolist() == [1, 2, 1, 0, 0]
    assert list(source.classes) == ["c", "b", "a"]
    one = load_rows("shards", root / "b.parquet")["train"]
    assert one.labels.tolist() == [0, 1, 1]


def test_parts_come_from_a_column_or_from_the_names_of_the_files(pets: Path, tmp_path: Path) -> None:
    splits = ["train", "test", "train", "train", "test"]
    root = write_parquet(tmp_path / "column/all.parquet", make_table(pets, label=LABELS, split=splits))
    assert {name: len(part) for name, part in load_rows("shards", root).items()} == {"train": 3, "test": 2}
    assert len(load_rows("shards", root, split_column="none")["train"]) == 5
    write_parquet(tmp_path / "files/train-00000-of-00002.parquet", make_table(pets, [0, 3], label=LABELS))
    write_parquet(tmp_path / "files/train-00001-of-00002.parquet", make_table(pets, [1], label=LABELS))
    root = write_parquet(tmp_path / "files/validation-00000.parquet", make_table(pets, [2, 4], label=LABELS))
    assert {name: len(part) for name, part in load_rows("shards", root).items()} == {"train": 3, "val": 2}
    write_parquet(root / "extra.parquet", make_table(pets, [2, 4], label=LABELS))  # all would train, val too
    with pytest.raises(UserError, match=r"^data\.root: expected files .* of one part, .*; got extra\.parquet beside"):
        load_rows("shards", root)
    assert {name: len(part) for name, part in load_rows("shards", root, split_column="none").items()} == {"train": 7}


def test_classes_of_hugging_face_have_their_names_and_its_images_their_files(pets: Path, tmp_path: Path) -> None:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["dog", "cat"])})
    cells = [{"bytes": (pets / file).read_bytes(), "path": file} for file in FILES]
    rows = datasets.Dataset.from_dict({"image": cells, "label": [1, 1, 1, 0, 0]}, features=features)
    (tmp_path / "rows").mkdir()
    rows.to_parquet(tmp_path / "rows/all.parquet")
    source = make_source("shards", tmp_path / "rows", groups=r"(\w)\.")
    part = source.load()["train"]
    assert list(source.classes) == ["dog", "cat"]
    assert part.labels.tolist() == [1, 1, 1, 0, 0]
    assert part.groups == ["a", "b", "c", "1", "2"]
    assert list(part.names) == FILES


def test_a_shard_whose_footer_is_damaged_stops_or_is_left_out_and_counted(pets: Path, tmp_path: Path) -> None:
    root = write_parquet(tmp_path / "rows/a.parquet", make_table(pets, label=LABELS))
    (root / "b.parquet").write_bytes(b"PAR1 no footer")
    with pytest.raises(UserError, match=r"^data\.root: b\.parquet of .* is damaged: .*on_unreadable=skip"):
        load_rows("shards", root)
    source = make_source("shards", root, on_unreadable="skip")
    assert len(source.load()["train"]) == 5
    assert [one.name for one in source.left_out] == ["b.parquet"]


def test_a_row_without_an_image_or_label_is_named(pets: Path, tmp_path: Path) -> None:
    table = make_table(pets, label=LABELS)
    cells = [*table["photo"].to_pylist()[:4], None]
    root = write_parquet(tmp_path / "rows/a.parquet", table.set_column(0, "photo", pa.array(cells, pa.binary())))
    with pytest.raises(UserError, match=r"1 of 5 images of .* can't be read, first a\.parquet\[4\]: empty file"):
        load_rows("shards", root)
    root = write_parquet(tmp_path / "other/a.parquet", make_table(pets, label=[*LABELS[:4], None]))
    with pytest.raises(UserError, match=r"^data\.root: .*, row 4: expected a label; got an empty cell\."):
        load_rows("shards", root)


@pytest.mark.parametrize(
    ("stated", "line"),
    [
        (None, r"expected the column of the class names; .* has none of words or whole numbers\. Type"),
        ("label", r"expected a column of words or whole numbers; got 'label'\."),
    ],
)
def test_labels_that_are_fractions_are_refused_in_one_line(
    stated: str | None, line: str, pets: Path, tmp_path: Path
) -> None:
    root = write_parquet(tmp_path / "rows/a.parquet", make_table(pets, label=[0.0, 0.0, 0.0, 1.0, 1.0]))
    with pytest.raises(UserError, match=rf"^data\.label_column: {line}"):
        load_rows("shards", root, label_column=stated)


def test_a_wrong_column_of_images_is_one_clear_line(pets: Path, tmp_path: Path) -> None:
    root = write_parquet(tmp_path / "rows/a.parquet", make_table(pets, label=LABELS))
    with pytest.raises(UserError, match=r"^data\.image_column: expected one of photo; got 'foto'\. Did you mean"):
        load_rows("shards", root, image_column="foto")
    root = write_parquet(tmp_path / "none/a.parquet", pa.table({"label": LABELS}))
    with pytest.raises(UserError, match=r"^data\.image_column: expected the column of the images, .* has label\."):
        load_rows("shards", root)


# ----- addresses


@pytest.fixture
def many(tmp_path: Path) -> Path:
    return write_image_folder(tmp_path / "many", classes={"cat": 0, "dog": 50}, parts={"": 9}, levels=200)


def check_address(address: str, many: Path, *, workers: int = 0) -> None:
    """Compare a converted folder at an address with the folder, read by an epoch of shuffled batches."""
    options: dict[str, Any] = {"split": "official", "holdout": 0.3, "batch_size": 4, "shuffle": True, "seed": 2}
    options["split"] = "holdout"
    local = DataModule(Folder(root=str(many), image_size=8), **options)
    remote = DataModule(make_source("shards", address, memory_mb=0), workers=workers, **options)
    assert remote.fingerprint() == local.fingerprint()
    for expected, batch in zip(local.train_dataloader(), remote.train_dataloader(), strict=True):
        assert torch.equal(batch["image"], expected["image"])
        assert torch.equal(batch["index"], expected["index"])


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_in_a_store_of_fsspec_are_those_of_the_folder(workers: int, many: Path, tmp_path: Path) -> None:
    convert_folder(many, tmp_path / "rows", rows=5)
    store = fsspec.filesystem("memory")
    store.put(str(tmp_path / "rows"), "/pets", recursive=True)
    try:
        check_address("memory://pets", many, workers=workers)
        for name in ("copycat.json", *(path.name for path in (tmp_path / "rows").glob("train*.json"))):
            store.rm(f"/pets/{name}")  # so that the footers are read instead
        part = load_rows("shards", "memory://pets/")["train"]
        assert part.digests == load_folder(many)["train"].digests
        with pytest.raises(UserError, match=r"^data\.root: expected Parquet files; memory://nowhere has none"):
            load_rows("shards", "memory://nowhere")
    finally:
        store.rm("/pets", recursive=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_of_an_http_server_are_those_of_the_folder(workers: int, many: Path, tmp_path: Path) -> None:
    convert_folder(many, tmp_path / "rows", rows=5)
    with serve_folder(tmp_path) as address:
        check_address(f"{address}/rows", many, workers=workers)
        one = load_rows("shards", f"{address}/rows/train-00001.parquet", memory_mb=0)["train"]
        assert one.digests == load_folder(many)["train"].digests[5:10]
        with pytest.raises(UserError, match=r"^data\.root: expected Parquet files; http.*/nowhere has none"):
            load_rows("shards", f"{address}/nowhere")
    with pytest.raises(UserError, match=r"^data\.root: expected a data set that can be read; "):
        load_rows("shards", f"{address}/rows")


@pytest.fixture
def s3_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3FileSystem]:
    """A bucket of moto's server, which answers as S3 does."""
    for name, value in {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    files = S3FileSystem(endpoint_override=f"http://{host}:{port}", allow_bucket_creation=True)
    files.create_dir("bucket")
    yield files
    server.stop()


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_in_a_bucket_of_s3_are_those_of_the_folder(
    workers: int, s3_bucket: S3FileSystem, many: Path, tmp_path: Path
) -> None:
    convert_folder(many, tmp_path / "rows", rows=5)
    copy_files(
        str(tmp_path / "rows"), "bucket/pets", source_filesystem=LocalFileSystem(), destination_filesystem=s3_bucket
    )
    check_address("s3://bucket/pets", many, workers=workers)
    s3_bucket.delete_file("bucket/pets/copycat.json")
    part = load_rows("shards", "s3://bucket/pets")["train"]
    assert torch.equal(stack_images(part), stack_images(load_folder(many)["train"]))
