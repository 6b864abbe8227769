"""CSV and image files, which hold the callbacks' values beside the metrics of the run's own metrics.csv."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from copycat.config.atomic_write import replaced_file
from copycat.inspection.trackers.tracker import Row, TrackedRun, Tracker, image_suffix


class CsvLogger(Tracker):
    """Write the rows of a run to a CSV, and its images to files.

    A metric that a row lacks leaves its cell empty; a new metric adds a column.

    Args:
        folder: the run folder.
        save_dir: folder of metrics.csv and images/.
    """

    name = "csv"

    def __init__(self, folder: str, *, save_dir: str) -> None:
        """Keep the folder; files are created when something is written."""
        super().__init__(folder, log_model=False)
        self._folder = Path(save_dir)
        self._path = self._folder / "metrics.csv"
        self._last_step = ""

    @property
    def save_dir(self) -> str:
        """Return the folder of the files."""
        return str(self._folder)

    def connect(self, run: TrackedRun) -> str:
        """Return the run's name, as files need no id; drop the rows of a resumed run's former end."""
        if run.run_id is not None and self._path.exists():
            rows = [row for row in self._read() if row.get("train/loss")]
            self._replace(rows)
            self._last_step = rows[-1]["step"] if rows else ""
        return run.name

    def count_sent(self, recorded: int) -> int:
        """Return the number of epochs in the file."""
        return max([0, *(int(row["step"]) + 1 for row in self._read() if row.get("train/loss"))])

    def _read(self) -> list[dict[str, str]]:
        if not self._path.exists():
            return []
        with self._path.open(encoding="utf-8", newline="") as file:
            return [row for row in csv.DictReader(file) if None not in row.values()]  # the last may be cut short

    def send(self, rows: Sequence[Row]) -> None:
        """Append rows, or write the file again where a metric is new or the last row gets further ones."""
        texts = [{"step": str(step), **{name: repr(float(v)) for name, v in row.items()}} for step, row in rows]
        present = self._columns()
        columns = list(dict.fromkeys([*present, *(name for row in texts for name in row)]))
        self._folder.mkdir(exist_ok=True)  # without parents: a deleted run folder is not created again
        is_of_last_row, self._last_step = texts[0]["step"] == self._last_step, texts[-1]["step"]
        if columns == present and not is_of_last_row:
            with self._path.open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, columns, lineterminator="\n").writerows(texts)
            return
        written = self._read()
        if is_of_last_row:
            texts[0] = {**written.pop(), **texts[0]}
        self._replace([*written, *texts])

    def _replace(self, rows: Sequence[Mapping[str, str]]) -> None:
        columns = list(dict.fromkeys(name for row in rows for name, text in row.items() if text))
        with replaced_file(self._path) as temporary, temporary.open("x", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def _columns(self) -> list[str]:
        if not self._path.exists():
            return []
        with self._path.open(encoding="utf-8", newline="") as file:
            return next(csv.reader(file), [])

    def send_image(self, tag: str, content: bytes, step: int) -> None:
        """Write an image under its tag."""
        path = self._folder / "images" / f"{tag}.{image_suffix(content)}"
        self._folder.mkdir(exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def send_file(self, path: Path) -> None:
        """Do nothing: the file is in the run folder."""

    def finish(self, status: str, final: Mapping[str, float], *, step: int) -> None:
        """Write the final metrics, in the row of the step after the last epoch."""
        if final:
            self.send([(step, final)])
