"""Complete `copycat` command lines by Hydra's tab completion: eval "$(copycat -sc install=bash)"."""

import os
import sys
from collections.abc import Sequence

import hydra

from copycat.config.places import CONF, MAIN

COMMANDS_WITH_OVERRIDES = ("train", "inspect")


def complete(words: Sequence[str], *, commands: Sequence[str]) -> None:
    """Answer a shell's request, one of install=SHELL, uninstall=SHELL and query=SHELL, as Hydra does."""
    line = os.environ.get("COMP_LINE", "").split(" ")
    if words[-1].startswith("query="):
        if len(line) <= 2:
            print(" ".join(command for command in commands if command.startswith(line[-1])))
            return
        if line[1] not in COMMANDS_WITH_OVERRIDES:
            return
        os.environ["COMP_LINE"] = " ".join([line[0], *line[2:]])  # Hydra knows no subcommands
    argv, sys.argv = sys.argv, ["copycat", *words]
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=MAIN)(lambda _: None)()
    finally:
        sys.argv = argv
