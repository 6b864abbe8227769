"""Define the error that a user's mistake raises."""


class UserError(Exception):
    """Report a user's mistake in one line: what was expected, what was received, what to type.

    `cli` alone prints it to standard error, with exit status 2. Where the value of one key is wrong by itself, `key` is
    that key, dotted.
    """

    def __init__(self, message: str, *, key: str = "") -> None:
        """Create the error; see the class."""
        super().__init__(message)
        self.key = key


class FailedDownloadError(UserError):
    """Report that a download failed though the call was right: `cli` ends with exit status 1."""


class LateRankError(UserError):
    """Report that not all ranks of a run joined."""


class JoinError(LateRankError):
    """Report that the first rank of a run cannot be reached, so that any other rank must say so itself."""


def hides_interrupt(error: BaseException | None, *orders: type[BaseException]) -> bool:
    """Return whether an error came up while Ctrl-C was raised, as in a `finally` whose `try` had hardly begun.

    `orders` are further exceptions that end a run on purpose.
    """
    while error is not None and not isinstance(error, (KeyboardInterrupt, *orders)):
        error = error.__context__
    return error is not None
