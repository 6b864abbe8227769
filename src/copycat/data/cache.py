"""Where copycat keeps what it can work out again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder named by COPYCAT_CACHE, else the operating system's cache folder for copycat; may not exist yet."""
    if named := os.environ.get("COPYCAT_CACHE"):
        return Path(named)
    import pooch  # takes a sixth of a second

    return Path(pooch.os_cache("copycat"))
