"""`python -m copycat` is the command `copycat`."""

from copycat.cli import main

main()
