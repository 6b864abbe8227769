"""Write names of files as text."""

import os


def escape_name(name: str) -> str:
    """Return a file's name as text that can be printed and stored; bytes that are not UTF-8 are escaped."""
    return os.fsencode(name).decode(errors="backslashreplace")


def is_address(root: str) -> bool:
    """Return whether the root of a data set is an address, as s3://BUCKET/FOLDER, not a path."""
    return "://" in root
