"""Load images from tars in the format of WebDataset, by an index of offsets."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.data.decode import image_extensions
from copycat.data.sources.converted import Manifest, ShardIndex, read_manifest
from copycat.data.sources.converted_rows import list_converted_rows
from copycat.data.sources.folder_walk import LeftOut
from copycat.data.sources.row_source import RowSource
from copycat.data.sources.row_table import Rows, Shard
from copycat.data.sources.storage import Storage, open_storage
from copycat.data.sources.tar_index import Sample, read_tar_index


@dataclass(frozen=True)
class TarReader:
    """Read encoded images of tars by row, each at its offset."""

    storage: Storage
    files: Sequence[str]
    offsets: Sequence[Sequence[tuple[int, int]]]
    """First byte and size of each image, of each file."""

    @cached_property
    def starts(self) -> Sequence[int]:
        """Return the first row of each file."""
        return [0, *accumulate(map(len, self.offsets))][:-1]

    @property
    def start_method(self) -> str | None:
        """Return how processes start that read from this storage."""
        return self.storage.start_method

    def read(self, row: int) -> bytes:
        """Return the encoded image of a row."""
        file = bisect_right(self.starts, row) - 1
        start, size = self.offsets[file][row - self.starts[file]]
        content = self.storage.read_range(self.files[file], start, size)
        if len(content) < size:
            raise OSError(f"{self.files[file]} ends within it")
        return content


class WebDataset(RowSource):
    """Load the samples of tars in the order of their names: KEY.ENDING of an image beside KEY.cls or KEY.json.

    The column `cls` holds KEY.cls; the keys of KEY.json are columns too.
    """

    option = "webdataset"

    def read_rows(self) -> Rows:
        """Return the samples, from the index of a conversion where there is one, else from the tars."""
        storage, files = open_storage(self.root)
        if files is None and (manifest := read_manifest(storage)) is not None:
            return self._read_converted(storage, manifest)
        files = files or storage.list_files(".tar")
        if not files:
            raise UserError(f"data.root: expected tars; {self.root} has none. Type data.root=FOLDER.")
        samples = {name: found for name in files if (found := self._read_index(storage, name)) is not None}
        listed = [sample for each in samples.values() for sample, _ in each]
        columns = list(dict.fromkeys(column for sample in listed for column in sample.cells))
        if "cls" in columns and self.label_column is None and "label" not in columns:
            columns = ["label", *columns]
        return Rows(
            address=self.root,
            columns={
                column: [s.cells.get(column, s.cells.get("cls", "") if column == "label" else "") for s in listed]
                for column in columns
            },
            names=[f"{sample.key}.{ending}" for each in samples.values() for sample, ending in each],
            shards=[Shard(name=name, rows=len(each), stamp=storage.stamp(name)) for name, each in samples.items()],
            reader=TarReader(
                storage,
                list(samples),
                [[sample.members[ending] for sample, ending in each] for each in samples.values()],
            ),
        )

    def _read_converted(self, storage: Storage, manifest: Manifest) -> Rows:
        def make_reader(indices: Sequence[ShardIndex]) -> TarReader:
            return TarReader(storage, [index.file for index in indices], [index.offsets or [] for index in indices])

        return list_converted_rows(
            manifest,
            storage,
            self.root,
            size=self.size,
            fit=self.fit,
            max_pixels=self.max_pixels,
            make_reader=make_reader,
        )

    def _read_index(self, storage: Storage, name: str) -> list[tuple[Sample, str]] | None:
        """Return the samples with an image and its ending; None of a damaged tar that is left out."""
        try:
            samples = read_tar_index(storage, self.root, name)
        except Exception as error:  # tarfile and fsspec raise many types for damaged and missing files
            reason = f"damaged: {first_line(error)}"
            if self.on_unreadable == "stop":
                raise UserError(
                    f"data.root: {name} of {self.root} is {reason}. Mend or remove it, or leave it out by"
                    " data.on_unreadable=skip."
                ) from error
            self.left_out = [*self.left_out, LeftOut(name, reason)]
            return None
        found = list(self._with_endings(samples))
        if without := len(samples) - len(found):
            self.left_out = [*self.left_out, LeftOut(name, "samples without an image", without)]
        return found

    def _with_endings(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, str]]:
        endings = image_extensions()
        for sample in samples:
            if self.image_column is not None:
                chosen = [self.image_column] if self.image_column in sample.members else []
            else:
                chosen = [ending for ending in sample.members if f".{ending.rpartition('.')[2]}" in endings]
            if chosen:
                yield sample, chosen[0]
