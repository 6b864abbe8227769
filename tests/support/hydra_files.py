"""Have Hydra parse each configuration file once a process, and again when it changes."""

import os
import pickle
from typing import Any

from hydra._internal.config_repository import ConfigRepository
from hydra.core.object_type import ObjectType


def keep_parsed_files() -> None:
    """Keep what Hydra reads from files: a composition parses some thirty of them, which is a third of its time."""
    load, kept = ConfigRepository.load_config, dict[object, bytes]()

    def load_config(self: ConfigRepository, config_path: str) -> Any:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is None or source.scheme() not in ("file", "experiments", "pkg"):
            return load(self, config_path)
        state = None  # of a package, which stays as it is
        if source.scheme() != "pkg":
            name = config_path if source.scheme() == "file" else config_path.removeprefix("experiment/")
            found = os.stat(os.path.join(source.path, f"{name.removesuffix('.yaml')}.yaml"))
            state = found.st_ino, found.st_mtime_ns, found.st_size
        key = (source.scheme(), source.path, source.provider, config_path, state)
        if key not in kept:
            kept[key] = pickle.dumps(load(self, config_path))
        return pickle.loads(kept[key])

    ConfigRepository.load_config = load_config  # type: ignore[method-assign]
