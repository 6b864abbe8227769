"""Group trials into packs: of like networks, or of unlike ones whose first layers read the images together."""

from collections.abc import Iterable, Sequence

from copycat.sweeps.packed.layer_chain import read_chain
from copycat.sweeps.packed.optimizer import ELEMENTWISE
from copycat.sweeps.packed.preparation import PackedTrial


def group_trials(trials: Iterable[PackedTrial]) -> list[list[PackedTrial]]:
    """Return the trials of each pack in the order of their places, before packs are split by size."""
    like: dict[str, list[PackedTrial]] = {}
    for trial in sorted(trials, key=lambda trial: trial.job.number):  # a place in a pack could change bits too
        like.setdefault(trial.pack_key, []).append(trial)
    joint: dict[str, list[list[PackedTrial]]] = {}
    for key, group in like.items():
        joint.setdefault(_describe_group(group) or key, []).append(group)
    return [groups[0] if len(groups) == 1 else _join(groups) for groups in joint.values()]


def _describe_group(group: Sequence[PackedTrial]) -> str | None:
    """Set the kind of network of like trials; return a key that trials of one pack share, None if none can join.

    Where an optimizer divides by nothing but the gradient, padding would give 0 / 0.
    """
    classifier = group[0].parts.classifier
    chain, optimizer = read_chain(classifier.network), classifier.create_optimizer()
    if (
        chain is None
        or type(optimizer) not in ELEMENTWISE
        or any(trial.request.config["optimizer"].get("eps") == 0 for trial in group)
    ):
        return None
    for trial in group:
        trial.chain_kind = chain.kind
    return group[0].joint_key(chain)


def _join(groups: Sequence[Sequence[PackedTrial]]) -> list[PackedTrial]:
    """Return the trials of several groups by kind of network, then by number."""
    return sorted(
        (trial for group in groups for trial in group), key=lambda trial: (trial.chain_kind, trial.job.number)
    )
