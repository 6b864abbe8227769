"""Join the ranks of a run: share work, threads, logs and the result."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import torch

from copycat.data.batch_order import Share
from copycat.models.shared_batches import SharedBatches
from copycat.training.components import RunComponents
from copycat.training.process_state import LOG
from copycat.training.ranks import Ranks
from copycat.training.result import RunResult


def choose_threads(trainer: Mapping[str, Any], ranks: Ranks) -> int | None:
    """Return the number of threads, the same on all ranks; None: PyTorch's number, of which ranks have a part each."""
    threads: int | None = trainer.get("threads")
    if ranks.size == 1 or threads is not None:
        return threads
    return ranks.from_first(lambda: max(1, torch.get_num_threads() // ranks.local_size))


def share_work(components: RunComponents, ranks: Ranks) -> None:
    """Let data and classifier work on this rank's share of each batch.

    Raises:
        UserError: where the ranks have other labels or sizes of images.
    """
    if ranks.size == 1:
        return
    data = components.data
    data.serve_share(Share(ranks.rank, ranks.size), local_ranks=ranks.local_size)
    components.classifier.share_batches(SharedBatches(ranks))
    hasher = blake2b(repr((data.image_shape, data.classes)).encode(), digest_size=16)
    for name, part in data.parts.items():
        hasher.update(name.encode() + part.labels.numpy().tobytes())
    ranks.check_equal(hasher.hexdigest(), key="data", what="labels and sizes of images")


def log_name(ranks: Ranks) -> str:
    """Return the name of this rank's log in the run folder."""
    return LOG if ranks.is_first else f"train.{ranks.rank}.log"


def share_result(result: RunResult, ranks: Ranks) -> RunResult:
    """Return the first rank's result, where the ranks ended together."""
    if ranks.size == 1 or result.status == "failed":
        return result
    return replace(result, manifest=ranks.from_first(lambda: dict(result.manifest)))
