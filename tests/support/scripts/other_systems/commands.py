"""Run commands one after another in one interpreter."""

from copycat.cli import main


def call(*words: object, status: int = 0) -> None:
    """Call `copycat` and require its exit status."""
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        if end.code != status:
            raise
