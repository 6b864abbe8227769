"""Where copycat keeps what it can work out again."""

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """The folder named by COPYCAT_CACHE, else the operating system's cache folder for copycat; may not exist yet."""
    if named := os.environ.get("COPYCAT_CACHE"):
        return Path(named)
    return platformdirs.user_cache_path("copycat")
