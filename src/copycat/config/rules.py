"""Define the rule of each configuration key. Long, as it is one table of rules."""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from copycat.config.durations import DURATION
from copycat.config.rule_builders import (
    ANY_NUMBER,
    BOOLEAN,
    FRACTION,
    HALF_OPEN_FRACTION,
    NOT_NEGATIVE,
    OPEN_FRACTION,
    POSITIVE,
    TEXT,
    WHOLE_NUMBER,
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
from copycat.config.suggestions import one_of

MAX_DEVICES, MAX_NODES = 256, 2**16
"""Largest numbers of devices of a host, and of hosts."""
TARGET_GROUPS = (
    *("model", "initialization", "data", "augmentation"),
    *("optimizer", "scheduler", "loss", "activation", "trainer"),
)
"""Groups that hold one `_target_`."""
NAMED_TARGET_GROUPS = ("callbacks", "logger", "metrics")
"""Groups that hold any number of targets, each under a name."""
METRICS = ("loss", "accuracy", "balanced_accuracy", "precision", "recall", "f1", "auroc")
"""Metrics that every run has; those of the group `metrics` come on top."""
DEFAULT_METRIC = "val/loss"
"""Metric by which conf/ chooses, named first where a list of metrics is abbreviated."""
MODE = choice("min", "max")
SCHEDULERS = ("scheduler", "scheduler.first", "scheduler.second")
"""Nodes of schedulers: the scheduler, and those of a sequence."""
COST_OBJECTIVES = ("parameters", "seconds")
"""Objectives of a sweep that are no metrics of an epoch: parameter count and wall time."""
DIRECTION = choice("minimize", "maximize")
CONSTRAINT = re.compile(r"\s*([\w/.+-]+)\s*([<>])=\s*([-+.\de]+)\s*")
"""A constraint of a sweep: metric, direction and limit."""


def _metric(*costs: str, measured: Collection[str]) -> Rule:
    """Accept metrics of training and validation; not those of the test, as choosing on them would bias it.

    A metric of the group `metrics` may have a value for each class, as `val/recall/cat`.
    """
    names = (f"{stage}/{metric}" for stage in ("train", "val") for metric in dict.fromkeys([*METRICS, *measured]))
    rule = choice("train/loss_mean", *names, *costs)
    others = one_of((name for name in rule.options if name != DEFAULT_METRIC), most=15)

    def allows(value: Any) -> bool:
        stage, _, rest = str(value).partition("/")
        metric, _, label = rest.partition("/")
        return rule.allows(value) or (stage in ("train", "val") and metric in measured and label != "")

    return replace(rule, words=f"one of {DEFAULT_METRIC}, {others}", allows=allows)


def _constraint(objective: Rule) -> Rule:
    return Rule(
        words="METRIC<=NUMBER or METRIC>=NUMBER",
        allows=lambda v: (
            isinstance(v, str)
            and (match := CONSTRAINT.fullmatch(v)) is not None
            and objective.allows(match[1])
            and _is_number(match[3])
        ),
    )


@lru_cache(64)
def metric_rules(measured: tuple[str, ...] = ()) -> Mapping[str, Rule]:
    """Return the rules of the keys that name metrics, for a configuration that measures further ones."""
    monitor, objective = _metric(measured=measured), _metric(*COST_OBJECTIVES, measured=measured)
    return {
        "sweep.objective": any_of(objective, list_of(objective, "a list of them, as [val/auroc,parameters]", least=1)),
        "sweep.constraints": replace(
            list_of(_constraint(objective), "a list as ['val/recall>=0.8','parameters<=10000']"),
            options=objective.options,
        ),
        **{f"{key}.monitor": monitor for key in SCHEDULERS},
        "callbacks.*.monitor": optional(monitor),
    }


KEY_MAPPING = Rule(words="keys, each with values as on the command line", allows=lambda v: isinstance(v, Mapping))
NODE = Rule(words="keys with a _target_", allows=lambda v: isinstance(v, Mapping) and "_target_" in v)


def _same(node: str, rule: Rule, *names: str) -> dict[str, Rule]:
    """Give several keys of a node the same rule."""
    return {f"{node}.{name}": rule for name in names}


TRANSFORM_RULES: dict[str, Rule] = {
    "flip": FRACTION,
    "shift": integer(0, 8192),
    "rotate": number(lambda v: 0 <= v <= 180, "from 0 to 180"),
    **dict.fromkeys(("scale", "move", "brightness", "contrast", "saturation", "erase", "erase_size"), FRACTION),
    "hue": number(lambda v: 0 <= v <= 0.5, "from 0 to 0.5"),
    "count": integer(1, 20),
    "magnitude": number(lambda v: 0 <= v <= 30, "from 0 to 30"),
    "operations": list_of(TEXT, "a list of operations, as [rotate,color]", least=1),
    "transforms": list_of(NODE, "a list of keys with a _target_ each, as [{_target_: CLASS, p: 0.5}]", least=1),
}
"""Keys of augmentations that transform images one by one."""

MILESTONE = any_of(integer(1), OPEN_FRACTION)
SCHEDULER_RULES: dict[str, Rule] = {
    "interval": choice("epoch", "step"),
    "mode": MODE,
    **dict.fromkeys(("gamma", "power", "div_factor", "final_div_factor"), POSITIVE),
    **dict.fromkeys(("factor", "start_factor"), number(lambda v: 0 < v <= 1, "above 0, at most 1")),
    **dict.fromkeys(("end_factor", "pct_start"), FRACTION),
    **dict.fromkeys(("threshold", "eta_min", "min_lr"), NOT_NEGATIVE),
    "step_size": integer(1),
    **dict.fromkeys(("T_max", "total_iters", "total_steps"), optional(integer(1))),
    "warmup": any_of(integer(0), OPEN_FRACTION),
    "warmup_iters": optional(integer(0)),
    "milestone": MILESTONE,
    "milestones": list_of(MILESTONE, "a list of shares of the run, as [0.5,0.75], or of whole numbers", least=1),
    "anneal_strategy": choice("cos", "linear"),
    **dict.fromkeys(("three_phase", "cycle_momentum"), BOOLEAN),
    **dict.fromkeys(("base_momentum", "max_momentum"), HALF_OPEN_FRACTION),
    "patience": integer(0),
}
"""Keys of schedulers, also of those in a sequence."""

RULES: dict[str, Rule] = {
    "seed": integer(0, 2**32 - 1),
    "test": BOOLEAN,
    "output_dir": TEXT,
    "normalize": optional(
        Rule(
            words="train, {mean: [0.5], std: [0.25]}",
            allows=lambda v: v == "train" or (isinstance(v, Mapping) and {*v} == {"mean", "std"}),
            options=["train"],
        )
    ),
    "normalize.mean": list_of(ANY_NUMBER, "a list of numbers, one for all channels or one each", least=1),
    "normalize.std": list_of(POSITIVE, "a list of numbers > 0, one for all channels or one each", least=1),
    "lr_multipliers": optional(
        Rule(words="patterns with a factor each, as {head.*: 10}", allows=lambda v: isinstance(v, Mapping) and bool(v))
    ),
    "lr_multipliers.*": NOT_NEGATIVE,  # each of them
    "decay_bias_and_norm": BOOLEAN,
    "print_losses": optional(list_of(integer(0), "a list of epochs, as [0,10,100]")),
    **metric_rules(),
    "sweep.direction": optional(any_of(DIRECTION, list_of(DIRECTION, "a list of them, one an objective"))),
    "sweep.max_failures": optional(integer(1)),
    "sweep.max_seconds": optional(POSITIVE),
    "sweep.max_time": optional(DURATION),
    "sweep.folder": optional(TEXT),
    "sweep.allow_changes": BOOLEAN,
    "sweep.prove": BOOLEAN,
    "sweep.prove_candidates": integer(2, 1000),
    "sweep.prove_rounds": integer(2, 50),
    "sweep.prove_margin": NOT_NEGATIVE,
    "sweep.params": KEY_MAPPING,
    "sweep.when": KEY_MAPPING,
    "sweep.zip": any_of(
        list_of(TEXT, "keys that go together, as [optimizer.lr,model]"),
        list_of(list_of(TEXT, "", least=1), "a list of such lists"),
    ),
    "hydra.sweeper.params": KEY_MAPPING,
    "hydra.sweeper.candidates": optional(
        list_of(TEXT, "a list of experiments of the portfolio, as [features,cnn]", least=1)
    ),
    "hydra.sweeper.preferred": list_of(TEXT, "a list of experiments of the portfolio, as [features]"),
    "hydra.sweeper.n_trials": integer(1),
    "hydra.sweeper.max_batch_size": optional(integer(1)),
    **_same("hydra.sweeper", optional(TEXT), "storage", "study_name"),
    "hydra.sweeper.seed": integer(0, 2**32 - 1),
    "hydra.sweeper.sampler.seed": optional(integer(0, 2**31 - 1)),
    "hydra.sweeper.sampler.n_startup_trials": integer(0),
    "hydra.sweeper.sampler.qmc_type": choice("sobol", "halton"),
    **_same("hydra.sweeper.sampler", BOOLEAN, "multivariate", "group", "constant_liar", "scramble"),
    **_same("hydra.sweeper.sampler", BOOLEAN, "deterministic_objective", "warn_independent_sampling"),
    "hydra.sweeper.pruner.percentile": number(lambda v: 0 <= v <= 100, "from 0 to 100"),
    **_same("hydra.sweeper.pruner", integer(0), "n_startup_trials", "n_warmup_steps"),
    **_same("hydra.sweeper.pruner", integer(0), "min_early_stopping_rate", "bootstrap_count"),
    **_same("hydra.sweeper.pruner", integer(1), "interval_steps", "min_resource", "max_resource"),
    "hydra.sweeper.pruner.reduction_factor": integer(2),
    **_same("hydra.launcher", optional(integer(1)), "max_trials_per_pack", "max_submitted"),
    **_same("hydra.launcher", optional(integer(1, 1024)), "workers", "threads"),
    "hydra.launcher.init.address": optional(TEXT),
    **_same("hydra.launcher.init", BOOLEAN, "include_dashboard", "log_to_driver"),
    **_same("hydra.launcher.remote", NOT_NEGATIVE, "num_cpus", "num_gpus"),
    "hydra.launcher.cluster": choice("local", "slurm"),
    "hydra.launcher.timeout_min": integer(1),
    **_same("hydra.launcher", optional(integer(1)), "cpus_per_task", "cpus_per_gpu", "array_parallelism"),
    **_same("hydra.launcher", optional(integer(0)), "gpus_per_node", "gpus_per_task", "signal_delay_s"),
    "hydra.launcher.mem_gb": optional(POSITIVE),
    "hydra.launcher.stderr_to_stdout": BOOLEAN,
    **_same(
        "hydra.launcher", optional(TEXT), "partition", "qos", "account", "comment", "constraint", "exclude", "gres"
    ),
    **_same("hydra.launcher", optional(TEXT), "mem_per_gpu", "mem_per_cpu"),
    "hydra.launcher.setup": optional(list_of(TEXT, "a list of shell commands")),
    "optimizer.lr": POSITIVE,
    "optimizer.momentum": HALF_OPEN_FRACTION,
    "optimizer.dampening": FRACTION,
    **_same("optimizer", BOOLEAN, "nesterov", "amsgrad", "centered"),
    **_same("optimizer", NOT_NEGATIVE, "weight_decay", "momentum_decay", "eps", "alpha", "lambd", "t0", "tolerance_*"),
    "optimizer.betas": list_of(HALF_OPEN_FRACTION, "two numbers from 0 to below 1, as [0.9,0.999]", length=2),
    "optimizer.etas": Rule(
        words="two numbers, 0 < first < 1 < second",
        allows=lambda v: isinstance(v, list) and len(v) == 2 and all(map(is_number, v)) and 0 < v[0] < 1 < v[1],
    ),
    "optimizer.step_sizes": Rule(
        words="two numbers, 0 < first ≤ second",
        allows=lambda v: isinstance(v, list) and len(v) == 2 and all(map(is_number, v)) and 0 < v[0] <= v[1],
    ),
    **_same("optimizer", integer(1), "max_iter", "history_size"),
    "optimizer.max_eval": optional(integer(1)),
    "optimizer.line_search_fn": optional(choice("strong_wolfe")),
    **{f"{key}.{name}": rule for key in SCHEDULERS for name, rule in SCHEDULER_RULES.items()},
    "loss.reduction": choice("mean", "sum"),
    "loss.class_weights": optional(
        any_of(choice("balanced"), list_of(POSITIVE, "a number > 0 per class, as [1.0,2.0]", least=1))
    ),
    "loss.gamma": NOT_NEGATIVE,
    "loss.label_smoothing": HALF_OPEN_FRACTION,
    "activation.num_parameters": integer(1),
    "activation.dim": Rule(words="a whole number", allows=is_integer),
    "activation.inplace": BOOLEAN,
    "activation.approximate": choice("none", "tanh"),
    "activation.beta": POSITIVE,
    **_same("activation", ANY_NUMBER, "alpha", "negative_slope", "lambd", "init", "threshold", "value"),
    **_same("activation", ANY_NUMBER, "lower", "upper", "min_val", "max_val"),
    "initialization.std": any_of(choice("lecun", "he", "xavier"), POSITIVE),
    "initialization.generator": choice("torch", "numpy_legacy"),
    "initialization.seed": optional(integer(0, 2**32 - 1)),
    "initialization.image_order": choice("channels_first", "channels_last"),
    "model.style": choice("sequential", "subclass"),
    **_same("model", optional(integer(1)), "in_features", "out_features"),
    "model.hidden": list_of(integer(1), "a list of widths ≥ 1, as [20,7,5]"),
    "model.channels": list_of(integer(1), "a list of channels ≥ 1, as [16,32,64]", least=1),
    "model.image_shape": optional(list_of(integer(1), "[channels,height,width]", length=3)),
    "model.dropout": HALF_OPEN_FRACTION,
    **_same("model", BOOLEAN, "batch_norm", "sparse", "frozen", "freeze_batch_norm", "pretrained"),
    "model.levels": integer(2, 256),
    "model.weights": optional(TEXT),
    "model.backbone_size": optional(integer(32, 1024)),
    "model.name": Rule(
        words="a name of letters, digits, '.', '-' and '_', as resnet18",
        allows=lambda v: isinstance(v, str) and re.fullmatch(r"[\w.-]+", v) is not None,
    ),
    "model.package": choice("timm", "torchvision"),
    **_same("data", optional(TEXT), "root", "groups", "path_column", "label_column", "split_column", "exclude_column"),
    **_same("data", optional(TEXT), "subset", "revision", "image_column"),
    "data.name": TEXT,
    "data.download": BOOLEAN,
    "data.file": TEXT,
    "data.label_columns": optional(
        list_of(any_of(TEXT, WHOLE_NUMBER), "a list of two or more columns, as [cat,dog] or [0,1]", least=2)
    ),
    "data.label_separator": optional(TEXT),
    "data.multi_label": BOOLEAN,
    "data.delimiter": optional(choice("comma", "semicolon", "tab", "bar")),
    "data.classes": optional(
        list_of(any_of(TEXT, WHOLE_NUMBER), "a list of two or more names, as [non-cat,cat] or [0,1]", least=2)
    ),
    "data.batch_size": optional(integer(1)),
    "data.shuffle": optional(BOOLEAN),
    "data.sampler": optional(choice("balanced")),
    "data.workers": optional(integer(0, 1024)),
    "data.split": optional(choice("official", "holdout", "folds")),
    **_same("data", integer(0, 2**32 - 1), "seed", "split_seed"),
    "data.holdout": OPEN_FRACTION,
    "data.folds": integer(2),
    "data.fold": optional(integer(0)),
    **_same("data", integer(1), "train", "val"),
    "data.warmth": FRACTION,
    "data.cat_share": optional(OPEN_FRACTION),
    "data.image_size": optional(integer(1, 8192)),
    "data.max_megapixels": optional(POSITIVE),
    "data.memory_mb": integer(0),
    "data.cache": BOOLEAN,
    "data.cache_gb": POSITIVE,
    "data.on_unreadable": choice("stop", "skip"),
    "data.fit": choice("crop", "squash", "pad"),
    **{f"augmentation.{key}": rule for key, rule in TRANSFORM_RULES.items()},
    **{f"augmentation.base.{key}": rule for key, rule in TRANSFORM_RULES.items()},
    "augmentation.alpha": number(lambda v: 0 < v <= 1000, "above 0, at most 1000"),
    "trainer.max_epochs": integer(1),
    "trainer.max_time": optional(DURATION),
    "trainer.threads": optional(integer(1, 1024)),
    "trainer.steps_per_execution": optional(integer(1)),
    "trainer.accelerator": choice("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
    # the order of the data and the creation of the run folder support one process only
    "trainer.devices": any_of(
        integer(1, MAX_DEVICES), choice("auto"), list_of(integer(0), "a list of devices' numbers, as [0]", least=1)
    ),
    "trainer.num_nodes": optional(integer(1, MAX_NODES)),
    "trainer.strategy": choice("ddp", "fsdp"),
    "trainer.timeout": DURATION,
    "trainer.precision": choice("32-true", "64-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true"),
    "trainer.deterministic": any_of(BOOLEAN, choice("warn")),
    "trainer.check_val_every_n_epoch": integer(1),
    "trainer.gradient_clip_val": optional(NOT_NEGATIVE),
    "trainer.gradient_clip_algorithm": choice("norm", "value"),
    "trainer.accumulate_grad_batches": integer(1),
    **_same("trainer", BOOLEAN, "compile", "channels_last", "activation_checkpointing"),
    # Lightning reads an int as a number of batches and a float as a fraction; without batches nothing is recorded
    "trainer.limit_*_batches": Rule(
        words="a share above 0.0, at most 1.0, or a whole number ≥ 1",
        allows=lambda v: is_number(v) and v > 0 and (is_integer(v) or v <= 1),
    ),
    "callbacks.*.mode": MODE,
    **_same("callbacks.*", integer(0), "patience", "first", "start_epoch"),
    "callbacks.*.min_delta": NOT_NEGATIVE,
    **_same("callbacks.*", optional(integer(1)), "every_n_epochs", "every_n_steps"),
    "callbacks.*.every_seconds": optional(NOT_NEGATIVE),
    **_same("callbacks.*", optional(TEXT), "dirpath", "filename", "layer"),
    **_same("callbacks.*", integer(1), "points", "images", "count", "steps"),
    **_same("callbacks.*", HALF_OPEN_FRACTION, "decay", "start"),
    "callbacks.*.folder": TEXT,
    **_same("callbacks.*", BOOLEAN, "verbose", "save_on_train_epoch_end", "enable_version_counter"),
    "metrics.*.higher_is_better": optional(BOOLEAN),
    "metrics.*.needs_all_classes": BOOLEAN,
    **_same("metrics.*", integer(1), "top_k", "n_bins"),
    "metrics.*.weights": optional(choice("linear", "quadratic")),
    "metrics.*.norm": choice("l1", "l2", "max"),
    "metrics.*.average": optional(choice("macro", "micro", "weighted", "none")),
    **_same("logger.*", BOOLEAN, "graph", "log_model", "offline"),
    **_same("logger.*", TEXT, "folder", "save_dir", "experiment_name", "tracking_uri", "project"),
    **_same("logger.*", optional(TEXT), "run_name", "artifact_location", "entity"),
    "logger.*.mode": optional(choice("online", "offline", "disabled")),
    "logger.*.timeout": POSITIVE,
}
"""Rules by key; `*` matches any name. A key without a rule is checked by the signature of its target alone."""
TARGET = Rule(
    words="the dotted name of a class or function, as torch.optim.SGD",
    allows=lambda v: isinstance(v, str) and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", v) is not None,
)


@lru_cache(1024)  # every trial of a sweep has the same keys
def _rule_name(key: str) -> str | None:
    """Return the name under which RULES has the rule of a key."""
    return key if key in RULES else next((name for name in RULES if "*" in name and fnmatchcase(key, name)), None)


def find_rule(key: str, *, measured: Collection[str] = ()) -> Rule | None:
    """Return the rule of a key; None where there is none.

    `measured` are the names in the group `metrics`, which extend the rules of keys that name a metric.
    """
    if key.rpartition(".")[2] == "_target_":
        return TARGET
    name = _rule_name(key)
    return metric_rules(tuple(measured)).get(name) or RULES[name] if name else None


def _is_number(word: str) -> bool:
    try:
        return is_number(float(word))
    except ValueError:
        return False
