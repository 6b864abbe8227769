"""Validate the values of a configuration by the table of rules, before torch is imported."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from copycat.config.added_keys import ADDED_GROUPS, ADDED_KEYS
from copycat.config.combinations import find_conflicts
from copycat.config.dotted_keys import iterate_nodes, iterate_values
from copycat.config.errors import UserError
from copycat.config.metric_names import OWN_KEYS as METRIC_KEYS
from copycat.config.metric_names import metric_nodes
from copycat.config.options import PACKAGE, is_option, missing_target, packaged_targets
from copycat.config.renamed_keys import check_renamed_keys
from copycat.config.rule_builders import Rule
from copycat.config.rules import (
    CONSTRAINT,
    COST_OBJECTIVES,
    METRICS,
    NAMED_TARGET_GROUPS,
    RULES,
    TARGET_GROUPS,
    find_rule,
)
from copycat.config.suggestions import did_you_mean, format_value, one_of, quoted_override

Config = Mapping[str, Any]

NO_PACKAGE = (
    "experiment: expected '# @package _global_' as the first line of its file; got it below another, or not at all."
    " Put it first."
)
"""Error for the file of an experiment that Hydra composes into a node of that name."""
SWEEP_DEFAULTS = "Write 'defaults: [default]' into the file of your preset."
"""Advice where an option of the group `sweep` lacks keys of its default."""
KNOWN_PACKAGES = (f"{PACKAGE}.", "pytorch_lightning.", "torch.", "torchmetrics.")
PATH_KEYS = ("root", "file", "output_dir", "folder", "dirpath", "save_dir", "weights")
"""Last components of keys that take a path."""
UNIVERSAL_KEYS = (
    *("trainer.devices", "trainer.num_nodes", "trainer.strategy"),
    *("optimizer.lr", "scheduler.interval", "data.batch_size", "data.shuffle", "data.workers"),
    *("data.sampler", "data.split", "data.split_seed", "data.holdout", "data.folds", "data.fold"),
)
"""Rules that apply to a user's own classes too; their other keys may have other meanings, such as three betas."""


def check_config(config: Config, *, check_data: bool = True) -> None:
    """Raise a UserError for the first value or combination of a resolved configuration that cannot work.

    The configuration is that of a run, without the nodes `hydra` and `sweep`.
    """
    _check_top(config)
    for key, value in (*iterate_nodes(config), *iterate_values(config)):  # keys may stand where a value is expected
        check_value(key, value, config)
    for group in TARGET_GROUPS:
        if group in ADDED_GROUPS and group not in config:
            continue
        if not isinstance(config[group], Mapping) or "_target_" not in config[group]:
            raise missing_target(group)
    for group in NAMED_TARGET_GROUPS:
        for name, node in (config.get(group) or {}).items():
            if node is not None and not (isinstance(node, Mapping) and "_target_" in node):
                raise UserError(f"{group}.{name}: expected a _target_, or null; got {format_value(node)}.")
    for combination in find_conflicts(config, check_data=check_data):
        raise UserError(combination)


def check_recorded(config: Any, *, where: str) -> None:
    """Check a configuration as `check_config` does, of any content, as it was read from the file `where`."""
    if not isinstance(config, dict) or not all(isinstance(name, str) for name in config):
        raise UserError(f"{where}: expected a whole configuration; got none.")
    try:
        check_config(config)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise UserError(f"{where}: expected a whole configuration; got one with values of other types.") from error


def check_value(key: str, value: Any, config: Config) -> None:
    """Raise a UserError where the rule of a dotted key refuses its resolved value.

    The targets of the configuration decide whether the rule applies: keys of a user's class may have other meanings.
    """
    rule = find_rule(key, measured=metric_nodes(config))
    if rule and _rule_applies(key, config) and not rule.allows(value):
        is_text = isinstance(value, str)
        hint = _metric_hint(value, rule) if is_text else _quoting_hint(key, value, rule)
        if is_text and not hint:
            hint = _number_hint(value, rule) or did_you_mean(value, rule.options, before=f"{key}=")
        raise UserError(f"{key}: expected {rule.words}; got {format_value(value)}.{hint}", key=key)


def _metric_hint(word: str, rule: Rule) -> str:
    """Return which option of the group `metrics` measures a metric that the run lacks; empty where none does."""
    stage, _, metric = word.partition("/")
    is_measurable = f"{stage}/{METRICS[0]}" in rule.options and metric in packaged_targets("metrics")
    return f" Type metrics={metric} too." if is_measurable else ""


def _number_hint(text: str, rule: Rule) -> str:
    """Return how an environment variable becomes a number; empty for a text that is none that the key takes."""
    for kind in (int, float):
        with suppress(ValueError):
            if rule.allows(kind(text)):
                return " This is a text. For the number of an environment variable, write ${oc.decode:${oc.env:NAME}}."
    return ""


def _quoting_hint(key: str, value: Any, rule: Rule) -> str:
    """Return a hint how to quote a word that was parsed as a number or boolean; empty where the key takes no words."""
    text = format_value(value)
    if not isinstance(value, (bool, int, float)) or not rule.allows(text):
        return ""
    return f" Type {key}=./{text}." if key.rpartition(".")[2] in PATH_KEYS else f" Type {quoted_override(key, text)}."


def check_hydra(hydra: Config) -> None:
    """Raise a UserError for the first wrong value in the nodes `sweeper` and `launcher`, where they are ours."""
    ours = {name: node for name, node in hydra.items() if is_option(node["_target_"], f"hydra/{name}")}
    check_renamed_keys({"hydra": ours})
    for key, value in iterate_values(ours, "hydra."):
        rule = find_rule(key)
        if rule and not rule.allows(value):
            raise UserError(f"{key}: expected {rule.words}; got {format_value(value)}.")


def check_sweep_settings(sweep: Config, *, measured: Collection[str]) -> None:
    """Raise a UserError for the first value or combination of the node `sweep` that cannot work.

    `measured` are the names in the group `metrics`.
    """
    known = [other.partition(".")[2] for other in RULES if other.startswith("sweep.")]
    for name, value in sweep.items():
        key = f"sweep.{name}"
        if (rule := find_rule(key, measured=measured)) is None:
            hint = did_you_mean(name, known, before="sweep.")
            raise UserError(f"{key}: no such key; expected {one_of(known)}.{hint}")
        if not rule.allows(value):
            texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
            message = f"{key}: expected {rule.words}; got {format_value(value)}"
            if any(text.strip().startswith("test/") for text in texts):
                raise UserError(f"{message}: test metrics cannot be used to select trials.")
            wrong = next((text for text in texts if not (rule.allows(text) or rule.allows([text]))), "")
            if name == "constraints":
                constraint = CONSTRAINT.fullmatch(wrong)
                wrong = constraint[1] if constraint and not rule.allows([f"{constraint[1]}<=0"]) else ""
                if wrong:
                    message = f"{key}: expected a metric before <= or >=; got {wrong!r} in {format_value(value)}"
            before = f"{key}=" if isinstance(value, str) else ""
            hint = _metric_hint(wrong, rule) or did_you_mean(wrong, rule.options, before=before)
            raise UserError(f"{message}.{hint}")
    if missing := set(known) - sweep.keys():
        raise UserError(f"sweep: expected all keys of sweep=default; got none of {one_of(missing)}. {SWEEP_DEFAULTS}")
    names, directions = sweep["objective"], sweep["direction"]
    several = isinstance(names, list)
    if directions is not None and (isinstance(directions, list), several) not in ((True, True), (False, False)):
        raise UserError(f"sweep.direction: expected one for each objective; got {format_value(directions)}.")
    if several and (len(set(names)) < len(names) or (directions is not None and len(directions) != len(names))):
        raise UserError(f"sweep.objective: expected each once, with a direction each; got {format_value(names)}.")
    if sweep.get("prove") and (first := names[0] if several else names) in COST_OBJECTIVES:
        raise UserError(f"sweep.prove: expected a metric as the first objective; got {first}. It needs no proof.")


def _rule_applies(key: str, config: Config) -> bool:
    *places, name = key.split(".")
    has_targets = places and places[0] in (*TARGET_GROUPS, *NAMED_TARGET_GROUPS)
    if not has_targets or key in UNIVERSAL_KEYS or name in ("_target_", "monitor", *METRIC_KEYS):
        return True
    node: Any = config
    for place in places:  # the target may be nested in another
        node = node.get(place) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping):
        return True
    return str(node.get("_target_", "")).startswith(KNOWN_PACKAGES)


def _check_top(config: Config) -> None:
    known = [*TARGET_GROUPS, *NAMED_TARGET_GROUPS, *(key for key in RULES if "." not in key)]
    if isinstance(config.get("experiment"), Mapping):  # a file without that line is composed into a node of that name
        raise UserError(NO_PACKAGE)
    for key in config:
        if key not in known:
            raise UserError(f"{key}: no such key; expected {one_of(known)}.{did_you_mean(key, known)}")
    for key in known:
        if key not in config and key not in ADDED_KEYS:
            raise UserError(f"{key}: expected a value; got none. Leave out ~{key}, or restore the file that lacks it.")
    for key in ("data.folds", "data.fold", "data.split", "trainer.max_epochs"):
        group, _, name = key.partition(".")
        if isinstance(config[group], Mapping) and name not in config[group]:
            raise UserError(f"{key}: expected a value; got none. Leave out ~{key}, or restore the file that lacks it.")
