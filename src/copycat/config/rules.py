"""Validate every value of a configuration, before torch is imported. Long, as it is one table of rules."""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from copycat.config.combinations import combinations
from copycat.config.errors import UserError
from copycat.config.options import PACKAGE, is_option
from copycat.config.renamed_keys import check_names
from copycat.config.rule import (
    ANY_NUMBER,
    FULL_SHARE,
    NOT_NEGATIVE,
    OPEN_SHARE,
    POSITIVE,
    SHARE,
    SWITCH,
    TEXT,
    Rule,
    either,
    is_real,
    is_whole,
    listed,
    number,
    optional,
    whole,
    word,
)
from copycat.config.suggestions import did_you_mean, one_of, quoted_override, shown

Config = Mapping[str, Any]

BUILT = ("model", "data", "augmentation", "optimizer", "scheduler", "loss", "activation", "trainer")
"""Groups that hold one `_target_`."""
NAMED = ("callbacks", "logger")
"""Groups that hold any number of targets, each under a name."""
METRICS = ("loss", "accuracy", "balanced_accuracy", "precision", "recall", "f1", "auroc")
# test/ metrics are excluded: choosing on them would bias the test
MONITOR = word("train/loss_mean", *(f"{stage}/{metric}" for stage in ("train", "val") for metric in METRICS))
MODE = word("min", "max")
MEASURES = ("parameters", "seconds")
"""Objectives of a sweep that are no metrics of an epoch: parameter count and wall time."""
OBJECTIVE = word(*MONITOR.options, *MEASURES)
DIRECTION = word("minimize", "maximize")
CONSTRAINT = Rule(
    words="METRIC<=NUMBER or METRIC>=NUMBER",
    allows=lambda v: (
        isinstance(v, str)
        and (match := re.fullmatch(r"\s*([\w/]+)\s*[<>]=\s*([-+.\de]+)\s*", v)) is not None
        and match[1] in OBJECTIVE.options
        and _is_number(match[2])
    ),
)

KEYS = Rule(words="keys, each with words as on the command line", allows=lambda v: isinstance(v, Mapping))

CHANGES: dict[str, Rule] = {
    "flip": FULL_SHARE,
    "shift": whole(0, 8192),
    "rotate": number(lambda v: 0 <= v <= 180, "from 0 to 180"),
    **dict.fromkeys(("scale", "move", "brightness", "contrast", "saturation", "erase", "erase_size"), FULL_SHARE),
    "hue": number(lambda v: 0 <= v <= 0.5, "from 0 to 0.5"),
    "count": whole(1, 20),
    "magnitude": number(lambda v: 0 <= v <= 30, "from 0 to 30"),
    "operations": listed(TEXT, "a list of operations, as [rotate,color]", least=1),
}
"""Keys of augmentations that transform images one by one."""

RULES: dict[str, Rule] = {
    "seed": whole(0, 2**32 - 1),
    "test": SWITCH,
    "output_dir": TEXT,
    "lr_multipliers": Rule(words="patterns with a factor each, as {head.*: 10}, or null", allows=lambda v: v is None),
    "lr_multipliers.*": NOT_NEGATIVE,  # each of them
    "print_losses": optional(listed(whole(0), "a list of epochs, as [0,10,100]")),
    "sweep.objective": either(OBJECTIVE, listed(OBJECTIVE, "a list of them, as [val/auroc,parameters]", least=1)),
    "sweep.direction": optional(either(DIRECTION, listed(DIRECTION, "a list of them, one an objective"))),
    "sweep.max_failures": optional(whole(1)),
    "sweep.max_seconds": optional(POSITIVE),
    "sweep.folder": optional(TEXT),
    "sweep.allow_changes": SWITCH,
    "sweep.constraints": listed(CONSTRAINT, "a list as ['val/recall>=0.8','parameters<=10000']"),
    "sweep.params": KEYS,
    "sweep.when": KEYS,
    "sweep.zip": either(
        listed(TEXT, "keys that go together, as [optimizer.lr,model]"),
        listed(listed(TEXT, "", least=1), "a list of such lists"),
    ),
    "hydra.sweeper.params": KEYS,
    "hydra.sweeper.n_trials": whole(1),
    "hydra.sweeper.max_batch_size": optional(whole(1)),
    "hydra.sweeper.storage": optional(TEXT),
    "hydra.sweeper.study_name": optional(TEXT),
    "hydra.sweeper.seed": whole(0, 2**32 - 1),
    "hydra.sweeper.sampler.seed": optional(whole(0, 2**31 - 1)),
    "hydra.sweeper.sampler.n_startup_trials": whole(0),
    "hydra.sweeper.sampler.qmc_type": word("sobol", "halton"),
    "hydra.sweeper.pruner.percentile": number(lambda v: 0 <= v <= 100, "from 0 to 100"),
    "hydra.sweeper.pruner.n_startup_trials": whole(0),
    "hydra.sweeper.pruner.n_warmup_steps": whole(0),
    "hydra.sweeper.pruner.interval_steps": whole(1),
    "hydra.sweeper.pruner.min_resource": whole(1),
    "hydra.sweeper.pruner.max_resource": whole(1),
    "hydra.sweeper.pruner.reduction_factor": whole(2),
    "hydra.sweeper.pruner.min_early_stopping_rate": whole(0),
    "hydra.sweeper.pruner.bootstrap_count": whole(0),
    **{
        f"hydra.sweeper.sampler.{key}": SWITCH
        for key in ("multivariate", "group", "constant_liar", "scramble", "deterministic_objective")
    },
    "hydra.sweeper.sampler.warn_independent_sampling": SWITCH,
    "hydra.launcher.max_trials_per_pack": optional(whole(1)),
    "hydra.launcher.workers": optional(whole(1, 1024)),
    "hydra.launcher.threads": optional(whole(1, 1024)),
    "hydra.launcher.at_once": optional(whole(1)),
    "hydra.launcher.init.address": optional(TEXT),
    "hydra.launcher.init.include_dashboard": SWITCH,
    "hydra.launcher.init.log_to_driver": SWITCH,
    "hydra.launcher.remote.num_cpus": NOT_NEGATIVE,
    "hydra.launcher.remote.num_gpus": NOT_NEGATIVE,
    "optimizer.lr": POSITIVE,
    "optimizer.momentum": SHARE,
    "optimizer.momentum_decay": NOT_NEGATIVE,
    "optimizer.dampening": FULL_SHARE,
    "optimizer.nesterov": SWITCH,
    "optimizer.amsgrad": SWITCH,
    "optimizer.centered": SWITCH,
    "optimizer.weight_decay": NOT_NEGATIVE,
    "optimizer.eps": NOT_NEGATIVE,
    "optimizer.alpha": NOT_NEGATIVE,
    "optimizer.lambd": NOT_NEGATIVE,
    "optimizer.t0": NOT_NEGATIVE,
    "optimizer.betas": listed(SHARE, "two numbers from 0 to below 1, as [0.9,0.999]", length=2),
    "optimizer.etas": Rule(
        words="two numbers, 0 < first < 1 < second",
        allows=lambda v: isinstance(v, list) and len(v) == 2 and all(map(is_real, v)) and 0 < v[0] < 1 < v[1],
    ),
    "optimizer.step_sizes": Rule(
        words="two numbers, 0 < first ≤ second",
        allows=lambda v: isinstance(v, list) and len(v) == 2 and all(map(is_real, v)) and 0 < v[0] <= v[1],
    ),
    "optimizer.max_iter": whole(1),
    "optimizer.max_eval": optional(whole(1)),
    "optimizer.history_size": whole(1),
    "optimizer.tolerance_*": NOT_NEGATIVE,
    "optimizer.line_search_fn": optional(word("strong_wolfe")),
    "scheduler.interval": word("epoch", "step"),
    "scheduler.monitor": MONITOR,
    "scheduler.mode": MODE,
    "scheduler.gamma": POSITIVE,
    "scheduler.factor": number(lambda v: 0 < v <= 1, "above 0, at most 1"),
    "scheduler.threshold": NOT_NEGATIVE,
    "scheduler.eta_min": NOT_NEGATIVE,
    "scheduler.min_lr": NOT_NEGATIVE,
    "scheduler.step_size": whole(1),
    "scheduler.T_max": whole(1),
    "scheduler.patience": whole(0),
    "scheduler.total_iters": whole(1),
    "scheduler.start_factor": number(lambda v: 0 < v <= 1, "above 0, at most 1"),
    "scheduler.end_factor": FULL_SHARE,
    "loss.reduction": word("mean", "sum"),
    "loss.weight": optional(listed(POSITIVE, "a number > 0 a class, as [1.0,2.0]")),
    "loss.label_smoothing": SHARE,
    "activation.num_parameters": whole(1),
    "activation.dim": Rule(words="a whole number", allows=is_whole),
    "activation.inplace": SWITCH,
    "activation.approximate": word("none", "tanh"),
    "activation.beta": POSITIVE,
    **{f"activation.{key}": ANY_NUMBER for key in ("alpha", "negative_slope", "lambd", "init", "threshold", "value")},
    **{f"activation.{key}": ANY_NUMBER for key in ("lower", "upper", "min_val", "max_val")},
    "model.style": word("sequential", "subclass"),
    "model.in_features": optional(whole(1)),
    "model.out_features": optional(whole(1)),
    "model.hidden": listed(whole(1), "a list of widths ≥ 1, as [20,7,5]"),
    "model.channels": Rule(
        words="a list of channels ≥ 1, as [16,32,64]",
        allows=lambda v: isinstance(v, list) and len(v) > 0 and all(is_whole(x) and x >= 1 for x in v),
    ),
    "model.image_shape": optional(listed(whole(1), "[channels,height,width]", length=3)),
    "model.dropout": SHARE,
    "model.batch_norm": SWITCH,
    "model.levels": whole(2, 256),
    "model.sparse": SWITCH,
    "model.frozen": SWITCH,
    "model.weights": optional(TEXT),
    "model.freeze_batch_norm": SWITCH,
    "model.backbone_size": optional(whole(32, 1024)),
    "model.name": Rule(
        words="a word of letters, digits, '.', '-' and '_', as resnet18",
        allows=lambda v: isinstance(v, str) and re.fullmatch(r"[\w.-]+", v) is not None,
    ),
    "model.package": word("timm", "torchvision"),
    "model.pretrained": SWITCH,
    "data.root": optional(TEXT),
    "data.batch_size": optional(whole(1)),
    "data.shuffle": optional(SWITCH),
    "data.workers": optional(whole(0, 1024)),
    "data.split": optional(word("official", "holdout", "folds")),
    "data.split_seed": whole(0, 2**32 - 1),
    "data.holdout": OPEN_SHARE,
    "data.folds": whole(2),
    "data.fold": optional(whole(0)),
    "data.seed": whole(0, 2**32 - 1),
    "data.train": whole(1),
    "data.val": whole(1),
    "data.warmth": FULL_SHARE,
    "data.image_size": optional(whole(1, 8192)),
    "data.max_megapixels": optional(POSITIVE),
    "data.memory_mb": NOT_NEGATIVE,
    "data.on_unreadable": word("stop", "skip"),
    "data.fit": word("crop", "squash", "pad"),
    **{f"augmentation.{key}": rule for key, rule in CHANGES.items()},
    **{f"augmentation.base.{key}": rule for key, rule in CHANGES.items()},
    "augmentation.alpha": number(lambda v: 0 < v <= 1000, "above 0, at most 1000"),
    "trainer.max_epochs": whole(1),
    "trainer.threads": optional(whole(1, 1024)),
    "trainer.steps_per_execution": optional(whole(1)),
    "trainer.accelerator": word("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
    # the order of the data and the creation of the run folder support one process only
    "trainer.devices": either(whole(1, 1), listed(whole(0), "a list of one device's number, as [0]", length=1)),
    "trainer.num_nodes": whole(1, 1),
    "trainer.precision": word("32-true", "64-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true"),
    "trainer.deterministic": either(SWITCH, word("warn")),
    "trainer.check_val_every_n_epoch": whole(1),
    "trainer.gradient_clip_val": optional(NOT_NEGATIVE),
    "trainer.gradient_clip_algorithm": word("norm", "value"),
    "trainer.accumulate_grad_batches": whole(1),
    # Lightning reads an int as a number of batches and a float as a fraction; without batches nothing is recorded
    "trainer.limit_*_batches": Rule(
        words="a share above 0.0, at most 1.0, or a whole number ≥ 1",
        allows=lambda v: is_real(v) and v > 0 and (is_whole(v) or v <= 1),
    ),
    "callbacks.*.monitor": optional(MONITOR),
    "callbacks.*.mode": MODE,
    "callbacks.*.patience": whole(0),
    "callbacks.*.min_delta": NOT_NEGATIVE,
    "callbacks.*.every_n_epochs": optional(whole(1)),
    "callbacks.*.every_n_steps": optional(whole(1)),
    "callbacks.*.every_seconds": optional(NOT_NEGATIVE),
    "callbacks.*.dirpath": optional(TEXT),
    "callbacks.*.filename": optional(TEXT),
    **{f"callbacks.*.{key}": whole(1) for key in ("points", "images", "count", "steps")},
    "callbacks.*.first": whole(0),
    "callbacks.*.decay": SHARE,
    "callbacks.*.start": SHARE,
    "callbacks.*.start_epoch": whole(0),
    "callbacks.*.folder": TEXT,
    **{f"callbacks.*.{key}": SWITCH for key in ("verbose", "save_on_train_epoch_end", "enable_version_counter")},
    "logger.*.artifact_location": TEXT,
    **{f"logger.*.{key}": SWITCH for key in ("graph", "log_model")},
    **{f"logger.*.{key}": TEXT for key in ("folder", "save_dir", "experiment_name", "tracking_uri", "run_name")},
}
"""Rules by key; `*` matches any name. A key without a rule is checked by the signature of its target alone."""
SINCE_THEN = frozenset(["lr_multipliers"])
"""Keys added later, which older recorded runs lack."""
KNOWN_PACKAGES = (f"{PACKAGE}.", "pytorch_lightning.", "torch.")
PATHS = ("root", "output_dir", "folder", "dirpath", "save_dir", "weights")
"""Last components of keys that take a path."""
FOR_ANY_TARGET = (
    *("trainer.devices", "trainer.num_nodes"),
    *("optimizer.lr", "scheduler.interval", "scheduler.monitor", "data.batch_size", "data.shuffle", "data.workers"),
    *("data.split", "data.split_seed", "data.holdout", "data.folds", "data.fold"),
)
"""Rules that apply to a user's own classes too; their other keys may have other meanings, such as three betas."""
TARGET = Rule(
    words="the dotted name of a class or function, as torch.optim.SGD",
    allows=lambda v: isinstance(v, str) and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", v) is not None,
)


def rule_of(key: str) -> Rule | None:
    """Return the rule of a key; None where there is none."""
    if key.rpartition(".")[2] == "_target_":
        return TARGET
    return RULES.get(key) or next((RULES[name] for name in RULES if "*" in name and fnmatchcase(key, name)), None)


def check(config: Config, *, data_too: bool = True) -> None:
    """Check a resolved configuration against every rule.

    Args:
        config: a whole configuration, without the nodes `hydra` and `sweep`.
        data_too: check the network's input against the data as well.

    Raises:
        UserError: for the first value or combination that cannot work.
    """
    _check_top(config)
    for key, value in _leaves(config):
        check_value(key, value, config)
    for group in BUILT:
        if not isinstance(config[group], Mapping) or "_target_" not in config[group]:
            raise UserError(f"{group}: expected an option or a _target_; got neither. Type {group}=OPTION.")
    for group in NAMED:
        for name, node in (config[group] or {}).items():
            if node is not None and not (isinstance(node, Mapping) and "_target_" in node):
                raise UserError(f"{group}.{name}: expected a _target_, or null; got {shown(node)}.")
    for combination in combinations(config, data_too=data_too):
        raise UserError(combination)


def check_value(key: str, value: Any, config: Config) -> None:
    """Check one value against the rule of its key.

    Args:
        key: dotted.
        value: resolved.
        config: whose targets decide whether the rule applies: keys of a user's own class may have other meanings.

    Raises:
        UserError: where the rule refuses the value.
    """
    rule = rule_of(key)
    if rule and _holds(key, config) and not rule.allows(value):
        hint = did_you_mean(value, rule.options, before=f"{key}=") if isinstance(value, str) else _as_text(key, value)
        raise UserError(f"{key}: expected {rule.words}; got {shown(value)}.{hint}", key=key)


def _as_text(key: str, value: Any) -> str:
    """Return a hint how to quote a word that was parsed as a number or boolean; empty where the key takes no words."""
    rule, text = rule_of(key), shown(value)
    if rule is None or not isinstance(value, (bool, int, float)) or not rule.allows(text):
        return ""
    return f" Type {key}=./{text}." if key.rpartition(".")[2] in PATHS else f" Type {quoted_override(key, text)}."


def check_hydra(hydra: Config) -> None:
    """Check our sweepers and launchers against every rule; those of other packages are not checked.

    Args:
        hydra: the nodes `sweeper` and `launcher`.

    Raises:
        UserError: for the first value that cannot work.
    """
    ours = {name: node for name, node in hydra.items() if is_option(node["_target_"], f"hydra/{name}")}
    check_names({"hydra": ours})
    for key, value in _leaves(ours, "hydra."):
        rule = rule_of(key)
        if rule and not rule.allows(value):
            raise UserError(f"{key}: expected {rule.words}; got {shown(value)}.")


def check_settings(sweep: Config) -> None:
    """Check the node `sweep` against every rule.

    Raises:
        UserError: for the first that cannot work.
    """
    for name, value in sweep.items():
        key = f"sweep.{name}"
        if (rule := RULES.get(key)) is None:
            known = [other.partition(".")[2] for other in RULES if other.startswith("sweep.")]
            hint = did_you_mean(name, known, before="sweep.")
            raise UserError(f"{key}: no such key; expected {one_of(known)}.{hint}")
        if not rule.allows(value):
            texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
            said = f"{key}: expected {rule.words}; got {shown(value)}"
            if any(text.strip().startswith("test/") for text in texts):
                raise UserError(f"{said}: a test metric is not to be chosen on.")
            wrong = next((text for text in texts if text not in rule.options), "")
            before = f"{key}=" if isinstance(value, str) else ""
            raise UserError(f"{said}.{did_you_mean(wrong, rule.options, before=before)}")
    names, directions = sweep["objective"], sweep["direction"]
    several = isinstance(names, list)
    if directions is not None and (isinstance(directions, list), several) not in ((True, True), (False, False)):
        raise UserError(f"sweep.direction: expected one for each objective; got {shown(directions)}.")
    if several and (len(set(names)) < len(names) or (directions is not None and len(directions) != len(names))):
        raise UserError(f"sweep.objective: expected each once, with a direction each; got {shown(names)}.")


def _is_number(word: str) -> bool:
    try:
        return is_real(float(word))
    except ValueError:
        return False


def _holds(key: str, config: Config) -> bool:
    *places, name = key.split(".")
    if not places or places[0] not in BUILT or key in FOR_ANY_TARGET or name == "_target_":
        return True
    node: Any = config
    for place in places:  # the target may be nested in another
        node = node.get(place) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping):
        return True
    return str(node.get("_target_", "")).startswith(KNOWN_PACKAGES)


def _check_top(config: Config) -> None:
    known = [*BUILT, *NAMED, *(key for key in RULES if "." not in key)]
    if isinstance(
        config.get("experiment"), Mapping
    ):  # an experiment without its first line is composed into a node of that name
        raise UserError("experiment: expected '# @package _global_' as the first line of its file; got none. Add it.")
    for key in config:
        if key not in known:
            raise UserError(f"{key}: no such key; expected {one_of(known)}.{did_you_mean(key, known)}")
    for key in known:
        if key not in config and key not in SINCE_THEN:
            raise UserError(f"{key}: expected a value; got none. Leave out ~{key}.")
    for key in ("data.folds", "data.fold", "data.split", "trainer.max_epochs"):
        group, _, name = key.partition(".")
        if isinstance(config[group], Mapping) and name not in config[group]:
            raise UserError(f"{key}: expected a value; got none. Leave out ~{key}.")


def _leaves(config: Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
