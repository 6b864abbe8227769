"""Run the command `copycat` by `python -m copycat`."""

import os
import sys

if not sys.flags.safe_path and sys.path[:1] in ([""], [os.getcwd()]):
    del sys.path[0]  # `python -m` puts the working directory first, where a file would hide any installed package

from copycat.cli import command

command()
