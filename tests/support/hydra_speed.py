"""Have Hydra do once what it does in each composition, such as parsing files, and leave out what is not used."""

import os
import pickle
from functools import lru_cache
from typing import Any

import hydra._internal.defaults_list as lists
import omegaconf._utils
import omegaconf.base
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_store import ConfigStore
from hydra.core.default_element import InputDefault
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig, OmegaConf
from omegaconf.grammar_parser import parse


def shorten_compositions() -> None:
    """Have compositions take half of their time."""
    _keep_parsed_files()
    _share_stored_configurations()
    _leave_out_unused_choices()
    _keep_parsed_texts()


def _keep_parsed_texts() -> None:
    """Keep what OmegaConf parses of texts with interpolations, which it only reads."""
    omegaconf.base.parse = omegaconf._utils.parse = lru_cache(1000)(parse)  # type: ignore[attr-defined]


def _share_stored_configurations() -> None:
    """Have copies of Hydra's repository share its store, whose configurations are copied when they are loaded."""
    ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]


def _leave_out_unused_choices() -> None:
    """Have choices collected only for a defaults list that refers to one, as `/group: ${other}` does."""
    collect = lists._create_interpolation_map

    def collect_used(overrides: Any, defaults_list: list[InputDefault], self_added: bool) -> DictConfig:
        if any(default.is_interpolation() for default in defaults_list):
            return collect(overrides, defaults_list, self_added)
        return OmegaConf.create()

    lists._create_interpolation_map = collect_used


def _keep_parsed_files() -> None:
    """Keep what Hydra reads from files: a composition parses some thirty of them."""
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
