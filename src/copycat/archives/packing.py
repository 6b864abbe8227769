"""Pack a run or a sweep into one file, with the exact versions of its packages and, if wanted, its images."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b, file_digest, sha256
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import Any

import copycat
from copycat.archives.entry_names import why_not_portable
from copycat.archives.package_contents import RUN, SWEEP, Contents, encode_contents
from copycat.archives.zip_layout import write_archive
from copycat.config.errors import UserError
from copycat.config.options import is_option
from copycat.data.sources.folder_walk import SYNTHETIC_MARKER
from copycat.data.sources.root import ROW_OPTIONS, check_has_root, list_row_files
from copycat.models.stored_weights import KEY, PACKAGED, stored_file
from copycat.records.digests import CALIBRATION, WRITTEN_LATER, changed_files, recorded_digests
from copycat.records.image_index import read_images
from copycat.records.lock import is_locked
from copycat.records.reader import check_files, check_run_folder, list_files, parse_config, read_checked_manifest
from copycat.records.run_folder import CONFIG, MANIFEST
from copycat.records.safe_parsers import reason
from copycat.records.trial_file import FILE as TRIAL
from copycat.sweeps.sweep_file import FILE as SWEEP_FILE
from copycat.sweeps.sweep_file import read_sweep

MAX_DATA_BYTES = 500 * 10**6
CAT_FILES = ("train_catvnoncat.h5", "test_catvnoncat.h5")
GENERATED = tuple(name for name in WRITTEN_LATER if name not in (MANIFEST, TRIAL, CALIBRATION))
"""Files that other commands make again, which a package leaves out."""
_DISTRIBUTION, _VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"), re.compile(r"[\w.+!]{1,64}", re.ASCII)
_DIGEST = re.compile("[0-9a-f]{32}")
OWN_DISTRIBUTIONS = ("copycat", "copycat-ml")


@dataclass(frozen=True)
class Packed:
    """Describe a package that was written."""

    path: Path
    files: int
    bytes: int
    sha256: str
    """Digest of the whole package: the same for the same folder."""
    runs: int
    missing_data: str
    """Folder, or table, of images that the package lacks; empty where it needs none."""
    to_give: str
    """What `copycat rerun --data` takes instead."""


def pack(folder: Path, to: Path, *, with_data: bool = False) -> Packed:
    """Write a run or a sweep as one file, the same bytes for the same folder.

    Raises:
        UserError: where the folder is neither, still runs, or holds what cannot be packed.
    """
    if to.suffix != ".zip":
        raise UserError(f"{to}: expected the name of a new file that ends in .zip.")
    if to.exists() or to.is_symlink():
        raise UserError(f"{to}: expected the name of a new file; it exists. Remove it, or type another name.")
    if not to.parent.is_dir():
        raise UserError(f"{to}: expected a file in an existing folder; {to.parent} is none.")
    is_sweep = (folder / SWEEP_FILE).is_file()
    if not is_sweep:
        check_run_folder(folder)
    runs = dict(_find_trials(folder)) if is_sweep else {RUN: folder}
    files = dict(_sweep_files(folder)) if is_sweep else {}
    configs: dict[str, Any] = {}
    manifests: dict[str, Any] = {}
    for name, run in runs.items():
        files |= {f"{name}/{file}": run / file for file in _run_files(run)}
        if (run / MANIFEST).exists() or not is_sweep:
            manifests[name], configs[name] = _read_run(run)
    files |= {f"{PACKAGED}/{file.name}": file for file in _backbone_files(manifests)}
    data, roots, lacking = {}, dict[str, str](), list[tuple[str, str]]()
    for name, config in configs.items():
        root = None if "file" in config["data"] else config["data"].get("root")  # a table names files anywhere
        if root and with_data:
            place = roots.setdefault(str(root), f"data/{len(roots)}")
            data[name] = place
            files |= {f"{place}/{file}": path for file, path in _image_files(runs[name], config, Path(root))}
        elif table := config["data"].get("file"):
            lacking.append((str(table), "TABLE.csv"))
        elif root:
            lacking.append((str(root), "FOLDER"))
    if with_data and not data and configs:
        name, config = next(iter(configs.items()))
        if manifests[name]["data"]["synthetic"] and "file" not in config["data"]:
            raise UserError("--data: expected a run on images in a folder; a rerun draws those of this one.")
        if table := config["data"].get("file"):
            raise UserError(
                f"--data: expected a run whose images lie in one folder; those of the table {table} may lie anywhere."
                " Pack it without --data, and pass the table and its images on beside it."
            )
        check_has_root(config["data"])
    with TemporaryDirectory(prefix="copycat-") as temporary:
        environments = _write_environments(manifests, Path(temporary), files)
        _check_names(files)
        try:
            digests = {name: _digest(path) for name, path in files.items()}
            kind = SWEEP if is_sweep else RUN
            contents = Contents(
                kind="sweep" if kind == SWEEP else "run",
                copycat=copycat.__version__,
                files=dict(sorted(digests.items())),
                environments=environments,
                data=data,
            )
            write_archive(to, encode_contents(contents), files)
        except OSError as error:
            raise UserError(f"{to}: expected to write the package; {reason(error)}: {error.filename}.") from error
    with to.open("rb") as file:
        digest = file_digest(file, sha256).hexdigest()
    return Packed(to, len(files) + 1, to.stat().st_size, digest, len(configs), *(lacking or [("", "")])[0])


def _find_trials(sweep: Path) -> Iterator[tuple[str, Path]]:
    """Yield the folders of a sweep's trials by their names in the package; raise a UserError for a running sweep."""
    read_sweep(sweep)
    if is_locked(sweep):
        raise UserError(f"{sweep}: expected a sweep that stopped; it is still running.")
    for number in sorted(int(place.name) for place in sweep.iterdir() if place.name.isdecimal()):
        if (sweep / str(number) / TRIAL).is_file():
            yield f"{SWEEP}/{number}", sweep / str(number)


def _sweep_files(sweep: Path) -> Iterator[tuple[str, Path]]:
    for name in (SWEEP_FILE, "study.journal"):
        path = sweep / name
        if path.is_symlink():
            raise UserError(f"{path}: expected a plain file; got a link.")
        if path.is_file():
            yield f"{SWEEP}/{name}", path


def _run_files(run: Path) -> list[str]:
    """List the files of a run that a package holds; raise a UserError for a link among them, or a running run."""
    check_files(run)
    if is_locked(run):
        raise UserError(f"{run}: expected a run that stopped; it is still running.")
    visible = (name for name in list_files(run) if not any(part.startswith(".") for part in name.split("/")))
    return [name for name in visible if name.partition("/")[0] not in GENERATED]


def _read_run(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    manifest, (_, config) = read_checked_manifest(run), parse_config(run)
    if not isinstance(config.get("data"), dict):
        raise UserError(f"{run / CONFIG}: expected a whole configuration; it has no data.")
    for name, what in changed_files(run, recorded_digests(manifest)):
        raise UserError(
            f"{run / name}: expected an intact file; it {what}. Restore it, or train the run again:"
            f" copycat rerun {quote(str(run))}."
        )
    return manifest, config


def _image_files(run: Path, config: Mapping[str, Any], root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files that a run's images are in, by their names below the root."""
    if is_option(config["data"]["_target_"], "data", "cats"):
        names = list(CAT_FILES)
    elif is_option(config["data"]["_target_"], "data", *ROW_OPTIONS):
        root, names = list_row_files(root)
    elif (images := read_images(run)) is not None:
        names = list(dict.fromkeys(image.name for image in images))
        if (root / SYNTHETIC_MARKER).is_file():
            names.append(SYNTHETIC_MARKER)
    else:
        raise UserError(f"--data: expected a run with images.csv, which lists its files; {run} has none.")
    total = 0
    for name in names:
        path = root / name
        if path.is_symlink() or not path.is_file():
            raise UserError(f"--data: expected the run's images in {root}; {name!a:.200} is no plain file there.")
        total += path.stat().st_size
        if total > MAX_DATA_BYTES:
            raise UserError(f"--data: expected images of at most {MAX_DATA_BYTES // 10**6} MB; {root} has more.")
        yield name, path


def _backbone_files(manifests: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the stored weights of the runs' backbones, which lie outside the run folders."""
    for manifest in manifests.values():
        digest = manifest["provenance"].get(KEY)
        if isinstance(digest, str) and _DIGEST.fullmatch(digest) and (file := stored_file(digest)).is_file():
            yield file


def _write_environments(manifests: Mapping[str, Any], at: Path, files: dict[str, Path]) -> dict[str, str]:
    """Write the versions of each run's packages, equal ones once; return the file of each run."""
    names: dict[bytes, str] = {}
    environments = {}
    for run, manifest in manifests.items():
        content = lock_environment(manifest["provenance"]["environment"])
        if content not in names:
            names[content] = f"environment/requirements{f'-{len(names) + 1}' if names else ''}.txt"
            files[names[content]] = at / str(len(names))
            files[names[content]].write_bytes(content)
        environments[run] = names[content]
    return environments


def lock_environment(environment: Mapping[str, Any]) -> bytes:
    """Return the versions of all packages that a run recorded, as a file of requirements."""
    packages = environment.get("packages")
    pins = [
        f"{name}=={version}"
        for name, version in sorted((packages if isinstance(packages, dict) else {}).items())
        if name not in OWN_DISTRIBUTIONS and _DISTRIBUTION.fullmatch(name) and _VERSION.fullmatch(str(version))
    ]
    python = str(environment.get("python", "unknown"))
    first = f"# Python {python if _VERSION.fullmatch(python) else 'unknown'}; all packages that were installed"
    return ("\n".join([first, *pins]) + "\n").encode()


def _check_names(files: Mapping[str, Path]) -> None:
    for name, path in files.items():
        if why := why_not_portable(name):
            raise UserError(f"{path!s:.300}: expected a name that fits in a package; it {why}. Rename it.")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()
