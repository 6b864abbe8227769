"""Define the rule of each configuration key. Long, as it is one table of rules."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from copycat.config.rule_builders import (
    ANY_NUMBER,
    BOOLEAN,
    FRACTION,
    HALF_OPEN_FRACTION,
    NOT_NEGATIVE,
    OPEN_FRACTION,
    POSITIVE,
    TEXT,
    Rule,
    any_of,
    choice,
    integer,
    is_integer,
    is_number,
    list_of,
    number,
    optional,
)

TARGET_GROUPS = (
    *("model", "initialization", "data", "augmentation"),
    *("optimizer", "scheduler", "loss", "activation", "trainer"),
)
"""Groups that hold one `_target_`."""
NAMED_TARGET_GROUPS = ("callbacks", "logger")
"""Groups that hold any number of targets, each under a name."""
METRICS = ("loss", "accuracy", "balanced_accuracy", "precision", "recall", "f1", "auroc")
# test/ metrics are excluded: choosing on them would bias the test
MONITOR = choice("train/loss_mean", *(f"{stage}/{metric}" for stage in ("train", "val") for metric in METRICS))
MODE = choice("min", "max")
COST_OBJECTIVES = ("parameters", "seconds")
"""Objectives of a sweep that are no metrics of an epoch: parameter count and wall time."""
OBJECTIVE = choice(*MONITOR.options, *COST_OBJECTIVES)
DIRECTION = choice("minimize", "maximize")
CONSTRAINT = Rule(
    words="METRIC<=NUMBER or METRIC>=NUMBER",
    allows=lambda v: (
        isinstance(v, str)
        and (match := re.fullmatch(r"\s*([\w/]+)\s*[<>]=\s*([-+.\de]+)\s*", v)) is not None
        and match[1] in OBJECTIVE.options
        and _is_number(match[2])
    ),
)

KEY_MAPPING = Rule(words="keys, each with words as on the command line", allows=lambda v: isinstance(v, Mapping))

TRANSFORM_RULES: dict[str, Rule] = {
    "flip": FRACTION,
    "shift": integer(0, 8192),
    "rotate": number(lambda v: 0 <= v <= 180, "from 0 to 180"),
    **dict.fromkeys(("scale", "move", "brightness", "contrast", "saturation", "erase", "erase_size"), FRACTION),
    "hue": number(lambda v: 0 <= v <= 0.5, "from 0 to 0.5"),
    "count": integer(1, 20),
    "magnitude": number(lambda v: 0 <= v <= 30, "from 0 to 30"),
    "operations": list_of(TEXT, "a list of operations, as [rotate,color]", least=1),
}
"""Keys of augmentations that transform images one by one."""

RULES: dict[str, Rule] = {
    "seed": integer(0, 2**32 - 1),
    "test": BOOLEAN,
    "output_dir": TEXT,
    "lr_multipliers": Rule(words="patterns with a factor each, as {head.*: 10}, or null", allows=lambda v: v is None),
    "lr_multipliers.*": NOT_NEGATIVE,  # each of them
    "print_losses": optional(list_of(integer(0), "a list of epochs, as [0,10,100]")),
    "sweep.objective": any_of(OBJECTIVE, list_of(OBJECTIVE, "a list of them, as [val/auroc,parameters]", least=1)),
    "sweep.direction": optional(any_of(DIRECTION, list_of(DIRECTION, "a list of them, one an objective"))),
    "sweep.max_failures": optional(integer(1)),
    "sweep.max_seconds": optional(POSITIVE),
    "sweep.folder": optional(TEXT),
    "sweep.allow_changes": BOOLEAN,
    "sweep.constraints": list_of(CONSTRAINT, "a list as ['val/recall>=0.8','parameters<=10000']"),
    "sweep.params": KEY_MAPPING,
    "sweep.when": KEY_MAPPING,
    "sweep.zip": any_of(
        list_of(TEXT, "keys that go together, as [optimizer.lr,model]"),
        list_of(list_of(TEXT, "", least=1), "a list of such lists"),
    ),
    "hydra.sweeper.params": KEY_MAPPING,
    "hydra.sweeper.n_trials": integer(1),
    "hydra.sweeper.max_batch_size": optional(integer(1)),
    "hydra.sweeper.storage": optional(TEXT),
    "hydra.sweeper.study_name": optional(TEXT),
    "hydra.sweeper.seed": integer(0, 2**32 - 1),
    "hydra.sweeper.sampler.seed": optional(integer(0, 2**31 - 1)),
    "hydra.sweeper.sampler.n_startup_trials": integer(0),
    "hydra.sweeper.sampler.qmc_type": choice("sobol", "halton"),
    "hydra.sweeper.pruner.percentile": number(lambda v: 0 <= v <= 100, "from 0 to 100"),
    "hydra.sweeper.pruner.n_startup_trials": integer(0),
    "hydra.sweeper.pruner.n_warmup_steps": integer(0),
    "hydra.sweeper.pruner.interval_steps": integer(1),
    "hydra.sweeper.pruner.min_resource": integer(1),
    "hydra.sweeper.pruner.max_resource": integer(1),
    "hydra.sweeper.pruner.reduction_factor": integer(2),
    "hydra.sweeper.pruner.min_early_stopping_rate": integer(0),
    "hydra.sweeper.pruner.bootstrap_count": integer(0),
    **{
        f"hydra.sweeper.sampler.{key}": BOOLEAN
        for key in ("multivariate", "group", "constant_liar", "scramble", "deterministic_objective")
    },
    "hydra.sweeper.sampler.warn_independent_sampling": BOOLEAN,
    "hydra.launcher.max_trials_per_pack": optional(integer(1)),
    "hydra.launcher.workers": optional(integer(1, 1024)),
    "hydra.launcher.threads": optional(integer(1, 1024)),
    "hydra.launcher.at_once": optional(integer(1)),
    "hydra.launcher.init.address": optional(TEXT),
    "hydra.launcher.init.include_dashboard": BOOLEAN,
    "hydra.launcher.init.log_to_driver": BOOLEAN,
    "hydra.launcher.remote.num_cpus": NOT_NEGATIVE,
    "hydra.launcher.remote.num_gpus": NOT_NEGATIVE,
    "optimizer.lr": POSITIVE,
    "optimizer.momentum": HALF_OPEN_FRACTION,
    "optimizer.momentum_decay": NOT_NEGATIVE,
    "optimizer.dampening": FRACTION,
    "optimizer.nesterov": BOOLEAN,
    "optimizer.amsgrad": BOOLEAN,
    "optimizer.centered": BOOLEAN,
    "optimizer.weight_decay": NOT_NEGATIVE,
    "optimizer.eps": NOT_NEGATIVE,
    "optimizer.alpha": NOT_NEGATIVE,
    "optimizer.lambd": NOT_NEGATIVE,
    "optimizer.t0": NOT_NEGATIVE,
    "optimizer.betas": list_of(HALF_OPEN_FRACTION, "two numbers from 0 to below 1, as [0.9,0.999]", length=2),
    "optimizer.etas": Rule(
        words="two numbers, 0 < first < 1 < second",
        allows=lambda v: isinstance(v, list) and len(v) == 2 and all(map(is_number, v)) and 0 < v[0] < 1 < v[1],
    ),
    "optimizer.step_sizes": Rule(
        words="two numbers, 0 < first ≤ second",
        allows=lambda v: isinstance(v, list) and len(v) == 2 and all(map(is_number, v)) and 0 < v[0] <= v[1],
    ),
    "optimizer.max_iter": integer(1),
    "optimizer.max_eval": optional(integer(1)),
    "optimizer.history_size": integer(1),
    "optimizer.tolerance_*": NOT_NEGATIVE,
    "optimizer.line_search_fn": optional(choice("strong_wolfe")),
    "scheduler.interval": choice("epoch", "step"),
    "scheduler.monitor": MONITOR,
    "scheduler.mode": MODE,
    "scheduler.gamma": POSITIVE,
    "scheduler.factor": number(lambda v: 0 < v <= 1, "above 0, at most 1"),
    "scheduler.threshold": NOT_NEGATIVE,
    "scheduler.eta_min": NOT_NEGATIVE,
    "scheduler.min_lr": NOT_NEGATIVE,
    "scheduler.step_size": integer(1),
    "scheduler.T_max": integer(1),
    "scheduler.patience": integer(0),
    "scheduler.total_iters": integer(1),
    "scheduler.start_factor": number(lambda v: 0 < v <= 1, "above 0, at most 1"),
    "scheduler.end_factor": FRACTION,
    "loss.reduction": choice("mean", "sum"),
    "loss.weight": optional(list_of(POSITIVE, "a number > 0 a class, as [1.0,2.0]")),
    "loss.label_smoothing": HALF_OPEN_FRACTION,
    "activation.num_parameters": integer(1),
    "activation.dim": Rule(words="a whole number", allows=is_integer),
    "activation.inplace": BOOLEAN,
    "activation.approximate": choice("none", "tanh"),
    "activation.beta": POSITIVE,
    **{f"activation.{key}": ANY_NUMBER for key in ("alpha", "negative_slope", "lambd", "init", "threshold", "value")},
    **{f"activation.{key}": ANY_NUMBER for key in ("lower", "upper", "min_val", "max_val")},
    "initialization.std": any_of(choice("lecun", "he", "xavier"), POSITIVE),
    "initialization.generator": choice("torch", "numpy_legacy"),
    "initialization.seed": optional(integer(0, 2**32 - 1)),
    "initialization.image_order": choice("channels_first", "channels_last"),
    "model.style": choice("sequential", "subclass"),
    "model.in_features": optional(integer(1)),
    "model.out_features": optional(integer(1)),
    "model.hidden": list_of(integer(1), "a list of widths ≥ 1, as [20,7,5]"),
    "model.channels": list_of(integer(1), "a list of channels ≥ 1, as [16,32,64]", least=1),
    "model.image_shape": optional(list_of(integer(1), "[channels,height,width]", length=3)),
    "model.dropout": HALF_OPEN_FRACTION,
    "model.batch_norm": BOOLEAN,
    "model.levels": integer(2, 256),
    "model.sparse": BOOLEAN,
    "model.frozen": BOOLEAN,
    "model.weights": optional(TEXT),
    "model.freeze_batch_norm": BOOLEAN,
    "model.backbone_size": optional(integer(32, 1024)),
    "model.name": Rule(
        words="a word of letters, digits, '.', '-' and '_', as resnet18",
        allows=lambda v: isinstance(v, str) and re.fullmatch(r"[\w.-]+", v) is not None,
    ),
    "model.package": choice("timm", "torchvision"),
    "model.pretrained": BOOLEAN,
    "data.root": optional(TEXT),
    "data.batch_size": optional(integer(1)),
    "data.shuffle": optional(BOOLEAN),
    "data.workers": optional(integer(0, 1024)),
    "data.split": optional(choice("official", "holdout", "folds")),
    "data.split_seed": integer(0, 2**32 - 1),
    "data.holdout": OPEN_FRACTION,
    "data.folds": integer(2),
    "data.fold": optional(integer(0)),
    "data.seed": integer(0, 2**32 - 1),
    "data.train": integer(1),
    "data.val": integer(1),
    "data.warmth": FRACTION,
    "data.image_size": optional(integer(1, 8192)),
    "data.max_megapixels": optional(POSITIVE),
    "data.memory_mb": NOT_NEGATIVE,
    "data.on_unreadable": choice("stop", "skip"),
    "data.fit": choice("crop", "squash", "pad"),
    **{f"augmentation.{key}": rule for key, rule in TRANSFORM_RULES.items()},
    **{f"augmentation.base.{key}": rule for key, rule in TRANSFORM_RULES.items()},
    "augmentation.alpha": number(lambda v: 0 < v <= 1000, "above 0, at most 1000"),
    "trainer.max_epochs": integer(1),
    "trainer.threads": optional(integer(1, 1024)),
    "trainer.steps_per_execution": optional(integer(1)),
    "trainer.accelerator": choice("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
    # the order of the data and the creation of the run folder support one process only
    "trainer.devices": any_of(integer(1, 1), list_of(integer(0), "a list of one device's number, as [0]", length=1)),
    "trainer.num_nodes": integer(1, 1),
    "trainer.precision": choice("32-true", "64-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true"),
    "trainer.deterministic": any_of(BOOLEAN, choice("warn")),
    "trainer.check_val_every_n_epoch": integer(1),
    "trainer.gradient_clip_val": optional(NOT_NEGATIVE),
    "trainer.gradient_clip_algorithm": choice("norm", "value"),
    "trainer.accumulate_grad_batches": integer(1),
    # Lightning reads an int as a number of batches and a float as a fraction; without batches nothing is recorded
    "trainer.limit_*_batches": Rule(
        words="a share above 0.0, at most 1.0, or a whole number ≥ 1",
        allows=lambda v: is_number(v) and v > 0 and (is_integer(v) or v <= 1),
    ),
    "callbacks.*.monitor": optional(MONITOR),
    "callbacks.*.mode": MODE,
    "callbacks.*.patience": integer(0),
    "callbacks.*.min_delta": NOT_NEGATIVE,
    "callbacks.*.every_n_epochs": optional(integer(1)),
    "callbacks.*.every_n_steps": optional(integer(1)),
    "callbacks.*.every_seconds": optional(NOT_NEGATIVE),
    "callbacks.*.dirpath": optional(TEXT),
    "callbacks.*.filename": optional(TEXT),
    **{f"callbacks.*.{key}": integer(1) for key in ("points", "images", "count", "steps")},
    "callbacks.*.first": integer(0),
    "callbacks.*.decay": HALF_OPEN_FRACTION,
    "callbacks.*.start": HALF_OPEN_FRACTION,
    "callbacks.*.start_epoch": integer(0),
    "callbacks.*.folder": TEXT,
    **{f"callbacks.*.{key}": BOOLEAN for key in ("verbose", "save_on_train_epoch_end", "enable_version_counter")},
    "logger.*.artifact_location": TEXT,
    **{f"logger.*.{key}": BOOLEAN for key in ("graph", "log_model")},
    **{f"logger.*.{key}": TEXT for key in ("folder", "save_dir", "experiment_name", "tracking_uri", "run_name")},
}
"""Rules by key; `*` matches any name. A key without a rule is checked by the signature of its target alone."""
TARGET = Rule(
    words="the dotted name of a class or function, as torch.optim.SGD",
    allows=lambda v: isinstance(v, str) and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", v) is not None,
)


def find_rule(key: str) -> Rule | None:
    """Return the rule of a key; None where there is none."""
    if key.rpartition(".")[2] == "_target_":
        return TARGET
    return RULES.get(key) or next((RULES[name] for name in RULES if "*" in name and fnmatchcase(key, name)), None)


def _is_number(word: str) -> bool:
    try:
        return is_number(float(word))
    except ValueError:
        return False
