"""Find a data set of the Hugging Face Hub in the cache of `datasets`, by its revision."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SHA = re.compile(r"[0-9a-f]{40}")
"""A revision that names one state of a data set, and not a branch or tag, which may move."""
Splits = Mapping[str, Any]
"""Dataset of Hugging Face by split."""


def load_cached(name: str, subset: str | None, sha: str | None) -> tuple[Splits, str] | None:
    """Return the splits of this revision, or of the one loaded last, from the cache of datasets; None if it lacks it.

    datasets itself gives the revision loaded last, whichever is asked for, and only after it waited for the Hub.
    """
    import datasets
    from datasets.naming import camelcase_to_snakecase
    from datasets.packaged_modules.cache.cache import Cache

    owner, slash, own_name = name.rpartition("/")
    folder = Path(datasets.config.HF_DATASETS_CACHE) / f"{owner}{slash and '___'}{camelcase_to_snakecase(own_name)}"
    found = [path for path in folder.glob(f"{subset or '*'}/*/{sha or '*'}") if SHA.fullmatch(path.name)]
    if not found:
        return None
    latest = max(found, key=lambda path: path.stat().st_mtime_ns)
    if subset is None and len({path.parts[-3] for path in found if path.name == latest.name}) > 1:
        return None
    config, version, revision = latest.parts[-3:]
    try:
        builder = Cache(dataset_name=own_name, repo_id=name, config_name=config, version=version, hash=revision)
        return dict(builder.as_dataset()), revision
    except (OSError, ValueError):  # a damaged cache, which loading mends
        return None
