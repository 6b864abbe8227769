"""Name what to type instead of the words of other frameworks, which resemble none of ours."""

from collections.abc import Collection
from shlex import quote

_DEVICE = "trainer.accelerator=gpu, or cpu"
_RESUME = " To resume a run, type copycat resume RUN."
_HOLDOUT, _CLIPPING = "data.holdout={0}", "trainer.gradient_clip_val={0}"
KEYS = {
    "learning_rate": "optimizer.lr={0}",
    "wd": "optimizer.weight_decay={0}",
    "epochs": "trainer.max_epochs={0}",
    "device": _DEVICE,
    "gpus": _DEVICE,
    "amp": "trainer.precision=bf16-mixed",
    "clip_grad": _CLIPPING,
    "grad_clip": _CLIPPING,
    "patience": "callbacks=early_stopping callbacks.early_stopping.patience={0}",
    "ema": "callbacks=[default,ema]",
    "warmup_epochs": "scheduler=warmup_cosine scheduler.warmup={0}",
    "data_dir": "data=folder data.root={0}",
    "data.path": "data=folder data.root={0}",
    "data.dir": "data=folder data.root={0}",
    "val_split": _HOLDOUT,
    "validation_split": _HOLDOUT,
    "image_size": "data=folder data.image_size={0}",
    "img_size": "data=folder data.image_size={0}",
    "mixup": "augmentation=mixup",
    "cutmix": "augmentation=cutmix",
    "dropout": "model=cnn model.dropout={0}",
    "pretrained": "model=transfer",
    **dict.fromkeys(("normalize", "normalization", "standardize", "mean", "std"), "normalize=train"),
    "random_state": "seed={0}",
    "optimized_metric": "sweep.objective={0}",
    "hydra.sweeper.direction": "sweep.direction={0}",
    "hydra.sweeper.n_jobs": "hydra/launcher=processes hydra.launcher.workers={0}",
}
"""Overrides by a whole key, or by its last name; `{0}` is the value that was typed."""
SENTENCES = {
    "ckpt_path": _RESUME,
    "resume": _RESUME,
    "num_classes": " Leave it out: the classes are those of the data.",
}
"""Hints by the last name of a key, for what is a command here, or follows from something else."""
OPTIONS = {
    "swish": "silu",
    "ce": "cross_entropy",
    "cosineannealing": "cosine",
    "cosineannealinglr": "cosine",
    "reduceonplateau": "plateau",
    "reducelronplateau": "plateau",
}
"""Options by names in lower case without `_`."""
COMMANDS = {
    "fit": "train",
    "test": "evaluate",
    "score": "evaluate",
    **dict.fromkeys(("sweep", "search", "tune", "optimize"), "train -m"),
    **dict.fromkeys(("list", "ls"), "runs"),
}
"""Commands by other names."""


def familiar_key(key: str, value: str) -> str:
    """Return a hint of what to type for a key of another framework; empty for any other key."""
    name = key.rpartition(".")[2]
    if name in SENTENCES:
        return SENTENCES[name]
    template = KEYS.get(key) or KEYS.get(name)
    return f" Did you mean {template.format(quote(value))}?" if template else ""


def familiar_option(name: str, options: Collection[str]) -> str | None:
    """Return the option that has this name elsewhere; None where there is none among the options."""
    option = OPTIONS.get(name.lower().replace("_", ""))
    return option if option in options else None
