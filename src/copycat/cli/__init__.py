"""The commands, one file each: a command parses its words, imports late, and calls.

May import every other package; only `__main__` imports it. Public names: `command` and `main`.
"""

from copycat.cli.dispatch import command, main

__all__ = ["command", "main"]
