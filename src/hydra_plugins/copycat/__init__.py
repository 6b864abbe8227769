"""Add Copycat's configuration folders to Hydra's search path; other Hydra programs are unaffected."""

import os

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin

from copycat.config.places import CONF, EXPERIMENTS, user_options_folder


class ExperimentSource(FileConfigSource):
    """Read a folder of experiments, each file an option of the group `experiment`."""

    group = "experiment"

    @staticmethod
    def scheme() -> str:
        """Return the scheme of such folders in the search path."""
        return "experiments"

    def _inside(self, config_path: str) -> str | None:
        head, _, rest = config_path.partition("/")
        return rest if head == self.group else None

    def load_config(self, config_path: str) -> ConfigResult:
        """Read the file of an experiment."""
        inside = self._inside(config_path)
        assert inside is not None
        return super().load_config(inside)

    def available(self) -> bool:
        """Return whether the folder exists."""
        return os.path.isdir(self.path)

    def is_group(self, config_path: str) -> bool:
        """Return whether a path is the root, `experiment` or a folder in it."""
        inside = self._inside(config_path)
        return config_path == "" or (inside is not None and super().is_group(inside))

    def is_config(self, config_path: str) -> bool:
        """Return whether a path is an experiment."""
        inside = self._inside(config_path)
        return bool(inside) and super().is_config(str(inside))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """List the group at the root, and the experiments in it."""
        if config_path == "":
            return [] if results_filter == ObjectType.CONFIG else [self.group]
        names = os.listdir(os.path.join(self.path, self._inside(config_path) or ""))
        found: list[str] = []
        for name in names:
            self._list_add_result(found, f"{config_path}/{name}", name, results_filter)
        return sorted(set(found))


class CopycatSearchPath(SearchPathPlugin):
    """Add experiments/, and the user's own ./conf and ./experiments, to the search path of Copycat."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append experiments/, and prepend the user's folders, so that their options take precedence."""
        main = [entry.path.removeprefix("file://") for entry in search_path.get_path() if entry.provider == "main"]
        if main != [str(CONF)]:
            return
        search_path.append("copycat", f"experiments://{EXPERIMENTS}")
        for scheme, packaged in (("experiments", EXPERIMENTS), ("file", CONF)):
            if own := user_options_folder(packaged):
                search_path.prepend("user", f"{scheme}://{own}")
