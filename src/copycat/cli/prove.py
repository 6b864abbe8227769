"""`copycat prove`: race the best configurations of a sweep until one is proved best, or none can be."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from copycat.cli import train
from copycat.cli.arguments import make_parser
from copycat.config.errors import UserError
from copycat.config.suggestions import did_you_mean, one_of

KEYS = ("sweep.prove_candidates", "sweep.prove_rounds", "sweep.prove_margin")
"""Keys that configure a race."""


def run(words: Sequence[str]) -> int:
    """Race the best configurations of a sweep; a race that stopped resumes."""
    parser = make_parser("prove")
    parser.add_argument("sweep", type=Path, metavar="SWEEP", help="the folder of a sweep")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help=f"{one_of(KEYS)}, each with =VALUE")
    arguments = parser.parse_args(words)
    from copycat.sweeps.sweep_file import check_sweep, read_own_sweep, started_directory

    check_sweep(arguments.sweep)
    sweep = read_own_sweep(arguments.sweep)
    if sweep.race is not None:
        raise UserError(
            f"{arguments.sweep}: expected a sweep; got its race. Type copycat prove"
            f" {quote(str(arguments.sweep.parent))}."
        )
    for word in arguments.settings:
        if (key := word.partition("=")[0]) not in KEYS:
            raise UserError(f"prove: expected {one_of(KEYS)}; got {key}.{did_you_mean(key, KEYS)}")
    from copycat.config.application import quote_path

    typed = {word.partition("=")[0] for word in (*arguments.settings, "sweep.prove=true")}
    kept = [word for word in sweep.words if word.partition("=")[0] not in typed]
    with started_directory(sweep, arguments.sweep) as folder:
        return train.run(["-m", *kept, *arguments.settings, "sweep.prove=true", f"sweep.folder={quote_path(folder)}"])
