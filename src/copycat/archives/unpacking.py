"""Unpack a package, from whomever it is, into a new folder: nothing outside it is written, and nothing is run."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import mkdtemp
from zipfile import ZipFile

from copycat.archives.entry_names import CONTENTS
from copycat.archives.package_contents import MAX_BYTES, Contents, decode_contents
from copycat.archives.zip_layout import open_archive, read_entry
from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.records.safe_parsers import reason


@dataclass(frozen=True)
class Unpacked:
    """Hold a package's folder, and what lies there."""

    folder: Path
    contents: Contents

    @property
    def runs(self) -> list[Path]:
        """Return the folders of the runs, trials by number."""
        return [self.folder / name for name in self.contents.runs]

    def data_of(self, run: Path) -> Path | None:
        """Return the folder of a run's images; None where the package lacks them."""
        place = self.contents.data.get(run.relative_to(self.folder).as_posix())
        return None if place is None else self.folder / place


def unpack(package: Path, folder: Path) -> Unpacked:
    """Unpack a package into a new folder, or an empty one, and check every digest.

    Raises:
        UserError: where the package is damaged or not as `pack` writes it, or the folder cannot be used; then nothing
            is left in it.
    """
    if folder.is_symlink() or (folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))):
        raise UserError(f"{folder}: expected a new or empty folder; it is neither.")
    if not package.is_file():
        what = "it is no plain file" if package.exists() else "there is no such file"
        raise UserError(f"{package}: expected a package of copycat pack; {what}.")
    try:
        with package.open("rb") as file:
            archive = open_archive(file)
            contents = _read_contents(archive)
            _check_room(archive, folder.absolute().parent)
            was_there = folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            try:
                _extract(archive, contents, folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                if was_there:
                    folder.mkdir()
                raise
    except ValueError as error:
        raise UserError(f"{package}: expected a package of copycat pack; {first_line(error)}.") from error
    except OSError as error:
        raise UserError(f"{package}: expected to unpack it into {folder}; {reason(error)}.") from error
    return Unpacked(folder, contents)


@contextmanager
def unpacked(package: Path, folder: Path | None) -> Iterator[Unpacked]:
    """Unpack a package into a folder that stays, or into a temporary one for as long as the context.

    Errors inside name the package instead of the temporary folder.
    """
    if folder is not None:
        yield unpack(package, folder)
        return
    temporary = Path(mkdtemp(prefix="copycat-")).resolve()
    try:
        yield unpack(package, temporary)
    except UserError as error:
        raise UserError(str(error).replace(str(temporary), str(package)), key=error.key) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _read_contents(archive: ZipFile) -> Contents:
    if archive.infolist()[:1] and archive.infolist()[0].file_size > MAX_BYTES:
        raise ValueError(f"{CONTENTS} is larger than {MAX_BYTES} bytes")
    content = BytesIO()
    read_entry(archive, CONTENTS, content)
    contents = decode_contents(content.getvalue())
    names = set(archive.namelist()) - {CONTENTS}
    if names != contents.files.keys():
        odd = min(names ^ contents.files.keys())
        raise ValueError(f"{CONTENTS} and the entries differ in {odd[:80]!a}")
    return contents


def _check_room(archive: ZipFile, place: Path) -> None:
    """Refuse a package that does not fit on the disk."""
    while not place.exists():
        place = place.parent
    wanted, free = sum(entry.file_size for entry in archive.infolist()), shutil.disk_usage(place).free
    if wanted > free:
        raise ValueError(f"it needs {wanted / 1e6:.0f} MB, and {place} has {free / 1e6:.0f} MB left")


def _extract(archive: ZipFile, contents: Contents, folder: Path) -> None:
    """Write all entries; each file is new, as the folder is."""
    for name in archive.namelist():
        path = folder.joinpath(*name.split("/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            digest = read_entry(archive, name, file)
        if name != CONTENTS and digest != contents.files[name]:
            raise ValueError(f"{name[:80]!a} is not what {CONTENTS} says")
