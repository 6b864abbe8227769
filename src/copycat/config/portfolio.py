"""Name the experiments of the portfolio, which a search for the best model tries."""

from collections.abc import Iterator, Sequence
from typing import Any

from copycat.config.dotted_keys import iterate_values
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


SHARED = ("trainer.", "data.")
"""Keys that say how long and in which batches candidates train: with one value for all, each stays what it is."""


def check_shared(overrides: Sequence[str], names: Sequence[str]) -> None:
    """Refuse overrides that would replace what makes one candidate another than the others.

    Raises:
        UserError: for a group or a key that an experiment of the portfolio sets.
    """
    for name in names:
        own = {*_own_keys(f"{PORTFOLIO}/{name}")}
        for word in overrides:
            key = word.partition("=")[0].lstrip("+~")
            if not key.startswith(SHARED) and any(
                key == one or key.startswith(f"{one}.") or one.startswith(f"{key}.") for one in own
            ):
                raise UserError(
                    f"{word}: expected a key that all candidates share; got {key}, which {name} sets itself."
                    " Type --candidates NAME, or add an experiment of your own to ./experiments/portfolio."
                )


def _own_keys(experiment: str) -> Iterator[str]:
    """Yield the groups that an experiment chooses from, and the keys that it sets, with those it is based on."""
    import yaml  # late: other commands do not need it

    files = (folder / f"{experiment}.yaml" for folder in experiment_folders())
    file = next((file for file in files if file.is_file()), None)
    content: Any = yaml.safe_load(file.read_text(encoding="utf-8")) if file else None
    if not isinstance(content, dict):
        return
    for default in content.pop("defaults", None) or ():
        if isinstance(default, dict):
            yield from (str(group).removeprefix("override ").strip().removeprefix("/") for group in default)
        elif default != "_self_":
            yield from _own_keys(str(default).removeprefix("/"))
    yield from (key for key, _ in iterate_values(content))
