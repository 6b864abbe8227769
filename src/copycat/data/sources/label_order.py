"""Define the order of classes whose names come from a table."""

from collections.abc import Iterable


def sort_classes(names: Iterable[str]) -> list[str]:
    """Return the names sorted: by their numbers where all are whole numbers, so that 10 comes after 9, else as text."""
    unique = set(names)
    is_numbered = all(name.isascii() and name.isdigit() for name in unique)
    return sorted(unique, key=lambda name: (int(name), name) if is_numbered else (0, name))
