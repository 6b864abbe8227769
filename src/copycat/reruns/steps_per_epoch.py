"""The number of optimizer steps per epoch of a recorded run."""

from math import ceil

from copycat.records.run_loader import Opened


def steps_per_epoch(run: Opened) -> int | None:
    """Derive it from the configuration and the number of images; None where they do not determine it."""
    images = run.manifest["data"]["images"].get("train")
    trainer, size = run.config["trainer"], run.config["data"].get("batch_size")
    if not images:
        return None
    batches = ceil(images / min(size or images, images))
    limit = trainer.get("limit_train_batches", 1.0)
    if limit is not None:
        batches = min(limit, batches) if isinstance(limit, int) else int(batches * limit)
    return ceil(batches / (trainer.get("accumulate_grad_batches") or 1)) or None
