"""Where copycat keeps what it can work out again."""

import os
from pathlib import Path

import pooch


def cache_folder() -> Path:
    """The folder named by COPYCAT_CACHE, else the operating system's cache folder for copycat; may not exist yet."""
    return Path(os.environ.get("COPYCAT_CACHE") or pooch.os_cache("copycat"))
