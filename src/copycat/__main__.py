"""`python -m copycat` is the command `copycat`."""

from copycat.cli import command

command()
