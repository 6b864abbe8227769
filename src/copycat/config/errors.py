"""The one error that a user's mistake raises."""


class UserError(Exception):
    """A mistake in what was asked: one line that says what was expected, what came and what to type.

    `cli` alone turns it into that line on standard error and exit status 2.
    """
