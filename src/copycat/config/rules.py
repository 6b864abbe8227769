"""What values may be, alone and together: held against the whole tree before torch is imported."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from copycat.config.errors import UserError
from copycat.config.hints import did_you_mean, one_of

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """Values that a key takes, in words and as a test."""

    words: str
    allows: Callable[[Any], bool]


def _real(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def number(test: Callable[[float], bool], words: str) -> Rule:
    return Rule(f"a number {words}", lambda v: _real(v) and test(v))


def whole(least: int, most: float = math.inf) -> Rule:
    words = f"≥ {least}" if most == math.inf else f"from {least} to {most}"
    return Rule(f"a whole number {words}", lambda v: _whole(v) and least <= v <= most)


def optional(rule: Rule) -> Rule:
    return Rule(f"{rule.words}, or null", lambda v: v is None or rule.allows(v))


def word(*words: str) -> Rule:
    return Rule(f"one of {one_of(words)}", lambda v: v in words)


def listed(item: Rule, words: str, length: int | None = None) -> Rule:
    return Rule(
        words,
        lambda v: (
            isinstance(v, Sequence)
            and not isinstance(v, str)
            and length in (None, len(v))
            and all(item.allows(x) for x in v)
        ),
    )


SWITCH = Rule("true or false", lambda v: isinstance(v, bool))
TEXT = Rule("a word", lambda v: isinstance(v, str) and v != "")
POSITIVE = number(lambda v: v > 0, "> 0")
NOT_NEGATIVE = number(lambda v: v >= 0, "≥ 0")
SHARE = number(lambda v: 0 <= v < 1, "from 0 to below 1")
OPEN_SHARE = number(lambda v: 0 < v < 1, "above 0 and below 1")
# Lightning reads an int as a count of batches and a float as a share of them
LIMIT = Rule("a share from 0.0 to 1.0, or a whole number ≥ 0", lambda v: _real(v) and v >= 0 and (_whole(v) or v <= 1))

RULES: dict[str, Rule] = {
    "seed": whole(0, 2**32 - 1),
    "test": SWITCH,
    "output_dir": TEXT,
    "print_losses": optional(listed(whole(0), "a list of epochs, as [0,10,100]")),
    "optimizer.lr": POSITIVE,
    "optimizer.momentum": SHARE,
    "optimizer.dampening": number(lambda v: 0 <= v <= 1, "from 0 to 1"),
    "optimizer.nesterov": SWITCH,
    "optimizer.amsgrad": SWITCH,
    "optimizer.centered": SWITCH,
    "optimizer.weight_decay": NOT_NEGATIVE,
    "optimizer.eps": NOT_NEGATIVE,
    "optimizer.alpha": NOT_NEGATIVE,
    "optimizer.betas": listed(SHARE, "two numbers from 0 to below 1, as [0.9,0.999]", 2),
    "optimizer.etas": Rule(
        "two numbers, 0 < first < 1 < second",
        lambda v: isinstance(v, list) and len(v) == 2 and all(map(_real, v)) and 0 < v[0] < 1 < v[1],
    ),
    "optimizer.max_iter": whole(1),
    "optimizer.line_search_fn": optional(word("strong_wolfe")),
    "scheduler.interval": word("epoch", "step"),
    "scheduler.gamma": POSITIVE,
    "scheduler.step_size": whole(1),
    "scheduler.T_max": whole(1),
    "scheduler.patience": whole(0),
    "scheduler.total_iters": whole(0),
    "scheduler.start_factor": number(lambda v: 0 < v <= 1, "above 0, at most 1"),
    "loss.reduction": word("mean", "sum"),
    "loss.weight": optional(listed(POSITIVE, "a number > 0 a class, as [1.0,2.0]")),
    "model.style": word("sequential", "subclass"),
    "model.in_features": optional(whole(1)),
    "model.out_features": optional(whole(1)),
    "model.hidden": listed(whole(1), "a list of widths ≥ 1, as [20,7,5]"),
    "model.channels": listed(whole(1), "a list of channels ≥ 1, as [16,32,64]"),
    "model.image_shape": optional(listed(whole(1), "[channels,height,width]", 3)),
    "model.dropout": SHARE,
    "model.levels": whole(2, 256),
    "data.batch_size": optional(whole(1)),
    "data.shuffle": SWITCH,
    "data.workers": whole(0),
    "data.split": optional(word("official", "holdout", "folds")),
    "data.split_seed": whole(0),
    "data.holdout": OPEN_SHARE,
    "data.folds": whole(2),
    "data.fold": optional(whole(0)),
    "data.image_size": whole(1, 8192),
    "data.broken": word("stop", "skip"),
    "data.fit": word("crop", "squash", "pad"),
    "trainer.max_epochs": whole(1),
    "trainer.threads": optional(whole(1)),
    "trainer.accelerator": word("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
    "trainer.precision": word("32-true", "64-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true"),
    "trainer.check_val_every_n_epoch": whole(1),
    "trainer.gradient_clip_val": optional(NOT_NEGATIVE),
    "trainer.gradient_clip_algorithm": word("norm", "value"),
    "trainer.accumulate_grad_batches": whole(1),
    "trainer.limit_train_batches": LIMIT,
    "trainer.limit_val_batches": LIMIT,
}


def check(config: Config, *, data_too: bool = True) -> None:
    """Hold a resolved configuration against every rule.

    Args:
        data_too: hold the network's input against the data as well.

    Raises:
        UserError: for the first value or combination that cannot work.
    """
    for key, value in _leaves(config):
        rule = RULES.get(key)
        if rule and not rule.allows(value):
            hint = did_you_mean(value, rule.words[7:].split(", "), before=f"{key}=") if isinstance(value, str) else ""
            raise UserError(f"{key}: expected {rule.words}; got {value!r}.{hint}")
    for group in ("model", "data", "optimizer", "loss", "trainer"):
        node = config.get(group)
        if not isinstance(node, Mapping) or "_target_" not in node:
            raise UserError(f"{group}: expected an option or a _target_; got {node!r}. See copycat train --help.")
    for combination in _combinations(config, data_too=data_too):
        raise UserError(combination)


def _leaves(config: Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        yield f"{prefix}{name}", value
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")


def _combinations(config: Config, *, data_too: bool) -> Iterator[str]:
    """What cannot work together, each as the line that a user reads."""
    model, optimizer, loss, data = (config[group] for group in ("model", "optimizer", "loss", "data"))
    name = optimizer["_target_"].rpartition(".")[2]

    if optimizer.get("nesterov") and (not optimizer.get("momentum") or optimizer.get("dampening")):
        yield "optimizer.nesterov: expected momentum > 0 and dampening 0. Type optimizer=nesterov."
    sparse = bool(model.get("sparse"))
    if name == "SparseAdam" and not sparse:
        yield "optimizer=sparse_adam: expected a model with sparse gradients; got dense ones. Type model=bag_of_colors."
    if sparse and optimizer["_target_"].startswith("torch.optim.") and name not in ("SparseAdam", "SGD", "Adagrad"):
        yield (
            f"optimizer={name.lower()}: expected dense gradients; got sparse ones."
            " Type optimizer=sparse_adam, or model.sparse=false."
        )
    if sparse and name == "SGD" and (optimizer.get("momentum") or optimizer.get("weight_decay")):
        yield "optimizer=sgd: sparse gradients take no momentum and no weight decay. Type model.sparse=false."
    if sparse and config["trainer"].get("gradient_clip_val"):
        yield "trainer.gradient_clip_val: expected dense gradients; got sparse ones. Type model.sparse=false."
    if name == "LBFGS" and config["trainer"].get("accumulate_grad_batches", 1) != 1:
        yield "optimizer=lbfgs: expected trainer.accumulate_grad_batches=1, since each step evaluates the loss again."

    binary = loss["_target_"].rpartition(".")[2] in ("BCE", "BCEWithLogits")
    outputs = model.get("out_features")
    if binary and outputs not in (None, 1):
        yield f"loss: expected model.out_features=1; got {outputs}. Type loss=cross_entropy."
    if loss["_target_"].endswith(".CrossEntropy") and outputs == 1:
        yield "loss=cross_entropy: expected model.out_features ≥ 2; got 1. Type loss=bce."

    fold, folds, split = data.get("fold"), data.get("folds"), data.get("split")
    if fold is not None and folds is not None and fold >= folds:
        yield f"data.fold: expected a whole number from 0 to {folds - 1}; got {fold}."
    if split == "folds" and fold is None:
        yield f"data.split=folds: expected data.fold from 0 to {folds - 1}; got null."
    if fold is not None and split not in (None, "folds"):
        yield f"data.fold: expected data.split=folds; got data.split={split}."

    size = data.get("image_size")
    if data_too and size:
        features, shape = model.get("in_features"), model.get("image_shape")
        if features not in (None, 3 * size * size):
            yield (
                f"model.in_features: expected {3 * size * size}, as the data's images are 3×{size}×{size};"
                f" got {features}. Leave it null."
            )
        if shape is not None and list(shape) != [3, size, size]:
            yield f"model.image_shape: expected [3,{size},{size}], as the data's; got {shape}. Leave it null."
    if data_too and size and "channels" in model and size < 2 ** len(model["channels"]):
        yield (
            f"model.channels: expected images of at least {2 ** len(model['channels'])} pixels for"
            f" {len(model['channels'])} poolings; got {size}."
        )
