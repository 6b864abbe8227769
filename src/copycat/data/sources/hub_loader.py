"""Load a data set by Hugging Face `datasets`: from the Hub at a pinned revision, its cache, or a local path."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from copycat.config.errors import FailedDownloadError, UserError
from copycat.config.places import expand_home
from copycat.config.printable import printable
from copycat.data.sources.hub_cache import SHA, Splits, load_cached

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
TIMEOUT_SECONDS = 10.0
"""Time limit for asking the Hub for the latest revision."""
FORMATS = ("parquet", "imagefolder", "arrow", "webdataset", "cache")
"""Readers of datasets that may be used: others read other files than images, or follow links to files elsewhere."""
INDIRECT_FILES = ("README.md", ".huggingface.yaml")
"""Files in which a data set may name files elsewhere."""


def load_splits(name: str, *, subset: str | None, revision: str | None, download: bool) -> tuple[Splits, str | None]:
    """Load all splits of a data set, and return them with their revision; None where the data set is a local path.

    No code of a data set is ever run: `datasets` 4 and later load plain files alone.

    Args:
        name: of a data set of the Hub, or a path of a folder or a Parquet file.
        subset: configuration of the data set; None: its only or default one.
        revision: branch, tag or commit; None: the latest commit.
        download: whether what the cache lacks may be loaded from the Hub.

    Raises:
        FailedDownloadError: where the Hub cannot be reached.
        UserError: where there is no such data set, or its files are no table of rows.
    """
    path = expand_home(name)
    with _quiet():
        if path.exists():
            return _load_local(path, subset, download=download), None
        if not HUB_NAME.fullmatch(name):
            raise UserError(
                f"data.name: expected a data set of the Hugging Face Hub, as cifar10 or OWNER/NAME, or the path of a"
                f" folder or a Parquet file; got {name}."
            )
        sha = revision if revision is not None and SHA.fullmatch(revision) else None
        if sha is not None and (cached := load_cached(name, subset, sha)) is not None:
            return cached
        sha = _find_revision(name, revision) if download else sha
        if (sha or revision is None) and (cached := load_cached(name, subset, sha)) is not None:
            return cached
        if not download:
            words = f"data.name={name}" + (f" data.revision={sha}" if sha else "")
            raise UserError(
                f"data.name: expected {name} in the cache of datasets, as data.download=false; got nothing."
                f" Type copycat data check data=hub {words}."
            )
        if sha is None:
            at = f" at {revision}" if revision else ""
            raise FailedDownloadError(
                f"data.name: can't reach the Hugging Face Hub, and {name}{at} is not in the cache of datasets. Connect,"
                " or give the path of a folder or Parquet file."
            )
        return _load(name, subset, revision=sha), sha


def _load_local(path: Path, subset: str | None, *, download: bool) -> Splits:
    if path.is_file():
        if path.suffix != ".parquet":
            raise UserError(f"data.name: expected a folder or a Parquet file; got {path}.")
        return _load("parquet", None, data_files={"train": str(path)})
    if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
        from datasets import Dataset, load_from_disk

        with _one_line(str(path)):
            loaded = load_from_disk(str(path))
            return {"train": loaded} if isinstance(loaded, Dataset) else dict(loaded)
    if not download and (indirect := [name for name in INDIRECT_FILES if (path / name).exists()]):
        raise UserError(
            f"data.name: expected a folder without {indirect[0]}, as it may name files elsewhere and"
            f" data.download=false; got {path}."
        )
    return _load(str(path.absolute()), subset)


def _load(name: str, subset: str | None, **options: Any) -> Splits:
    from datasets import load_dataset_builder

    with _one_line(name):
        builder = load_dataset_builder(name, subset, **options)
        if (found := type(builder).__module__.rpartition(".")[2]) not in FORMATS:
            raise UserError(f"data.name: expected Parquet files or a folder of images; {name} has files of {found}.")
        builder.download_and_prepare()
        return dict(builder.as_dataset())


def _find_revision(name: str, revision: str | None) -> str | None:
    """Ask the Hub for the commit of a branch or tag, or the latest one; None where it cannot be reached."""
    import datasets
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    if datasets.config.HF_HUB_OFFLINE:
        return None
    try:
        about = HfApi(endpoint=datasets.config.HF_ENDPOINT).dataset_info(
            name, revision=revision, timeout=TIMEOUT_SECONDS
        )
    except GatedRepoError as error:
        raise UserError(
            f"data.name: {name} is given only to those who accepted its terms. Accept them on its page of the"
            " Hugging Face Hub, then type hf auth login."
        ) from error
    except RevisionNotFoundError as error:
        raise UserError(f"data.revision: expected a revision of {name}; got {revision!r}, which it lacks.") from error
    except RepositoryNotFoundError as error:
        raise UserError(
            f"data.name: no data set {name} on the Hugging Face Hub that may be read, and no such path here."
        ) from error
    except HfHubHTTPError as error:
        if error.response.status_code >= 500:
            return None
        raise UserError(f"data.name: the Hugging Face Hub refuses {name}: {_join_lines(error)}") from error
    except Exception as error:  # of the HTTP library, which huggingface_hub exchanges from version to version
        if isinstance(error, (AttributeError, TypeError)):
            raise
        return None
    return str(about.sha)


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # datasets raises errors of many types, also those of pyarrow and fsspec
        raise UserError(f"data.name: datasets can't load {name}: {_join_lines(error)}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out warnings of datasets, and its progress bars where standard error is no terminal."""
    import datasets

    before = datasets.logging.get_verbosity()
    hide = not sys.stderr.isatty() and not datasets.are_progress_bars_disabled()
    datasets.logging.set_verbosity_error()
    if hide:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(before)
        if hide:
            datasets.enable_progress_bars()


def _join_lines(error: BaseException) -> str:
    cause = error.__cause__ or error
    text = printable(" ".join(str(cause).split()))
    return f"{text[:300] or type(cause).__name__}{'' if text.endswith('.') else '.'}"
