"""Name the experiments of the portfolio, which a search for the best model tries."""

from collections.abc import Sequence

from copycat.config.errors import UserError
from copycat.config.places import experiment_folders
from copycat.config.suggestions import did_you_mean, one_of

PORTFOLIO = "portfolio"
"""Folder of the experiments that are candidates; the user's own in ./experiments are added to the packaged ones."""


def list_experiments() -> list[str]:
    """Return the names of the experiments of the portfolio."""
    folders = [folder / PORTFOLIO for folder in experiment_folders()]
    return sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})


def choose_experiments(names: Sequence[str] | None, *, given_as: str = "hydra.sweeper.candidates") -> list[str]:
    """Return the named experiments of the portfolio, or all.

    Raises:
        UserError: for a name that is not one of them; it begins with the key or flag by which they were given.
    """
    known = list_experiments()
    for name in names or ():
        if name not in known:
            hint = did_you_mean(name, known)
            raise UserError(f"{given_as}: expected some of {one_of(known)}; got {name!r}.{hint}")
    return list(names or known)
