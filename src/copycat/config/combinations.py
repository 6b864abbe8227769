"""Find values that are valid alone but cannot be combined."""

from collections.abc import Iterator, Mapping
from typing import Any

from copycat.config.metric_names import find_mode, find_name_conflicts, metric_nodes
from copycat.config.options import is_option, is_ours
from copycat.config.rules import METRICS
from copycat.config.schedule_lengths import PARTS, find_length_conflicts
from copycat.config.suggestions import format_value

Config = Mapping[str, Any]

AVERAGING_OPTIONS = ("ema", "swa")
"""Options of `callbacks` that average the weights."""
MODELS_OF_PIXELS = ("transfer", "timm", "torchvision", "bag_of_colors")
"""Options of `model` that take pixels in [0, 1], which they normalize or count themselves."""
IMAGE_SIZE = 64
"""Default side of an image, in pixels."""

MANAGED_TRAINER_KEYS = (
    *("logger", "callbacks", "plugins", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"),
    *("num_sanity_val_steps", "log_every_n_steps", "use_distributed_sampler", "default_root_dir"),
    *("fast_dev_run", "barebones"),
)
"""Keys of the trainer that Copycat sets itself, or that would prevent the run from being recorded."""
INSTEAD = {
    "callbacks": "Type 'callbacks=[default,OPTION]'",
    "default_root_dir": "Type output_dir=FOLDER",
    "fast_dev_run": "Type trainer.max_epochs=1 trainer.limit_train_batches=1 trainer.limit_val_batches=1",
    "logger": "Type logger=OPTION",
}
"""What to type in place of some of them."""
OWN_CALLBACKS = {
    "BatchSizeFinder": "Type copycat inspect --batch-size",
    "LearningRateFinder": "Type copycat inspect --lr-find",
    **dict.fromkeys(("ProgressBar", "RichProgressBar", "TQDMProgressBar"), "Type callbacks=default"),
}
"""Callbacks of Lightning that cannot run here, with what to type for Copycat's own way."""
HALF_ON_CPU = (
    "trainer.precision=16-mixed: expected an accelerator, as Lightning has no float16 on the CPU; got the CPU. Type"
    " trainer.precision=bf16-mixed."
)


def find_conflicts(config: Config, *, check_data: bool) -> Iterator[str]:
    """Yield an error message for each invalid combination of values that are valid by themselves."""
    yield from _find_trainer_conflicts(config)
    yield from find_name_conflicts(metric_nodes(config), taken=(*METRICS, "loss_mean"))
    yield from _find_callback_conflicts(config)
    yield from find_mode_conflicts(config)
    yield from _find_averaging_conflicts(config)
    yield from _find_optimizer_conflicts(config)
    yield from _find_scheduler_conflicts(config)
    yield from _find_input_conflicts(config)
    yield from _find_loss_conflicts(config)
    yield from _find_label_conflicts(config)
    yield from _find_split_conflicts(config["data"])
    yield from _find_sampler_conflicts(config)
    if check_data and "image_size" in config["data"]:
        size = config["data"]["image_size"] or IMAGE_SIZE
        yield from _find_image_size_conflicts(config["model"], size)
        yield from find_shift_conflicts(config["augmentation"], size)


def describe_managed_key(key: str, value: Any) -> str:
    """Return the error message for a key of the trainer that Copycat sets itself."""
    instead = INSTEAD.get(key, "Leave it out")
    return f"trainer.{key}: expected nothing, as Copycat sets it; got {format_value(value)}. {instead}."


def _find_trainer_conflicts(config: Config) -> Iterator[str]:
    trainer = config["trainer"]
    yield from (describe_managed_key(key, trainer[key]) for key in MANAGED_TRAINER_KEYS if key in trainer)
    for key in ("devices", "num_nodes") if "strategy" not in trainer else ():
        value = trainer.get(key)
        if (len(value) if isinstance(value, list) else value) not in (None, 1):
            yield f"trainer.{key}: expected 1 without ranks; got {format_value(value)}. Type trainer=ddp."
    if isinstance(devices := trainer.get("devices"), list) and trainer.get("accelerator") == "cpu":
        yield (
            f"trainer.devices: expected a number of processes on a CPU; got {format_value(devices)}."
            f" Type trainer.devices={len(devices)}."
        )
    data = config["data"]
    if trainer.get("overfit_batches") and data.get("batch_size") and data.get("shuffle") is not False:
        yield (
            "trainer.overfit_batches: expected the same batches in each epoch; got"
            f" data.shuffle={format_value(data.get('shuffle'))}. Type data.shuffle=false."
        )
    if trainer.get("precision") == "64-true" and trainer.get("accelerator") == "mps":
        yield "trainer.precision=64-true: expected a device with float64; MPS has none. Type trainer.accelerator=cpu."
    if trainer.get("precision") == "16-mixed" and trainer.get("accelerator") == "cpu" and _is_lightnings(trainer):
        yield HALF_ON_CPU


def _is_lightnings(trainer: Config) -> bool:
    return bool(trainer["_target_"] == "pytorch_lightning.Trainer")


def _find_callback_conflicts(config: Config) -> Iterator[str]:
    for name, node in (config["callbacks"] or {}).items():
        package, _, last = str(node["_target_"]).rpartition(".") if node else ("", "", "")
        if package.startswith("pytorch_lightning.") and last in OWN_CALLBACKS:
            yield f"callbacks.{name}: expected no {last}, as Copycat has its own. {OWN_CALLBACKS[last]}."


def find_mode_conflicts(config: Config) -> Iterator[str]:
    """Yield an error message for each `mode` against the direction of the metric that is monitored, where known."""
    watchers = {f"callbacks.{name}": node for name, node in (config["callbacks"] or {}).items() if node}
    schedulers = {"scheduler": config["scheduler"], "scheduler.second": config["scheduler"].get("second") or {}}
    for key, node in {**watchers, **schedulers}.items():
        if not node.get("monitor") or "mode" not in node:
            continue
        mode = find_mode(node["monitor"], metric_nodes(config))
        if mode is not None and node["mode"] != mode:
            yield f"{key}.mode: expected {mode}, as {node['monitor']} is monitored; got {node['mode']!r}."


def _find_averaging_conflicts(config: Config) -> Iterator[str]:
    nodes = {name: node for name, node in (config["callbacks"] or {}).items() if node}
    averages = [name for name, node in nodes.items() if is_option(node["_target_"], "callbacks", *AVERAGING_OPTIONS)]
    if len(averages) > 1:
        yield f"callbacks: expected one average of the weights; got {' and '.join(averages)}. Leave one out."
    for name in averages:
        start, epochs = nodes[name].get("start_epoch", 0), config["trainer"]["max_epochs"]
        if start >= epochs:
            yield f"callbacks.{name}.start_epoch: expected less than trainer.max_epochs={epochs}; got {start}."


def _find_optimizer_conflicts(config: Config) -> Iterator[str]:
    model, optimizer = config["model"], config["optimizer"]
    name = optimizer["_target_"].rpartition(".")[2]
    if optimizer.get("nesterov") and (not optimizer.get("momentum") or optimizer.get("dampening")):
        yield "optimizer.nesterov: expected momentum > 0 and dampening 0. Type optimizer=nesterov."
    if config.get("lr_multipliers") and (name == "LBFGS" or "lr" not in optimizer):
        wanted = "an optimizer with groups of parameters" if "lr" in optimizer else "optimizer.lr"
        yield f"lr_multipliers: expected {wanted}; got {name}. Type optimizer=adam, or lr_multipliers=null."
    if config.get("decay_bias_and_norm") is False and "weight_decay" not in optimizer:
        yield f"decay_bias_and_norm=false: expected optimizer.weight_decay; got {name}. Type optimizer=adamw."
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
    if name == "LBFGS" and config["trainer"].get("precision") == "16-mixed":
        yield "optimizer=lbfgs: expected unscaled gradients; 16-mixed scales them. Type trainer.precision=bf16-mixed."
    if config["trainer"].get("strategy") == "fsdp":
        if name in ("LBFGS", "Rprop"):  # one joins all weights, the other sets single numbers
            yield f"optimizer={name.lower()}: expected whole weights; trainer=fsdp spreads them. Type trainer=ddp."
        if sparse:
            yield "model.sparse: expected dense gradients for trainer=fsdp; got sparse ones. Type trainer=ddp."


def _find_scheduler_conflicts(config: Config) -> Iterator[str]:
    scheduler = config["scheduler"]
    nested = {part: scheduler[part] for part in PARTS if isinstance(scheduler.get(part), Mapping)}
    for key, node in {"scheduler": scheduler, **{f"scheduler.{part}": inner for part, inner in nested.items()}}.items():
        if _is_plateau(node) and scheduler.get("interval") == "step":
            option = key.replace(".", "/")
            yield f"scheduler.interval: expected epoch, as {option}=plateau monitors a metric of the epoch; got 'step'."
        if _is_plateau(node) and node.get("factor") == 1:
            yield f"{key}.factor: expected a number above 0 and below 1, as the rate is to fall; got 1."
        if node.get("cycle_momentum") and is_option(node["_target_"], "scheduler", "one_cycle"):
            yield from _find_cycle_conflicts(key, config["optimizer"])
    for part, node in nested.items():
        if node.get("interval", scheduler.get("interval")) != scheduler.get("interval"):
            yield f"scheduler.{part}.interval: expected scheduler.interval={scheduler.get('interval')}; got another."
        if _is_plateau(node):
            yield from _find_plateau_conflicts(part, node, config["trainer"])
    for name, node in (config["callbacks"] or {}).items():
        changes_steps = node and str(node.get("_target_")).endswith(".GradientAccumulationScheduler")
        if changes_steps and scheduler.get("interval") == "step":
            yield f"scheduler.interval: expected epoch, as callbacks.{name} changes the steps of an epoch; got 'step'."
    is_open = all(scheduler.get(name) is None for name in ("warmup_iters", "total_iters"))
    in_epochs = is_open and isinstance(scheduler.get("warmup"), int)  # also where the rate changes by the step
    if scheduler.get("interval") == "epoch" or in_epochs:
        yield from find_length_conflicts(scheduler, total=config["trainer"]["max_epochs"], per_epoch=1)


def _is_plateau(scheduler: Config) -> bool:
    return str(scheduler.get("_target_")).endswith(".ReduceLROnPlateau")


def _find_plateau_conflicts(part: str, node: Config, trainer: Config) -> Iterator[str]:
    if part == "first":
        yield "scheduler.first: expected a schedule with a known end; got plateau. Type scheduler/second=plateau."
    if trainer.get("check_val_every_n_epoch") != 1 and str(node.get("monitor")).startswith("val/"):
        yield (
            "trainer.check_val_every_n_epoch: expected 1, as scheduler/second=plateau counts the epochs of"
            f" scheduler/first by validations; got {trainer.get('check_val_every_n_epoch')}."
        )


def _find_cycle_conflicts(key: str, optimizer: Config) -> Iterator[str]:
    name = optimizer["_target_"].rpartition(".")[2]
    if optimizer.get("momentum") or optimizer.get("betas") or not is_option(optimizer["_target_"], "optimizer"):
        return
    got = "optimizer.momentum=0" if "momentum" in optimizer else name
    yield (
        f"{key}.cycle_momentum: expected an optimizer with momentum or betas; got {got}."
        f" Type optimizer=momentum, optimizer=adam, or {key}.cycle_momentum=false."
    )


def _find_input_conflicts(config: Config) -> Iterator[str]:
    target, normalize = config["model"]["_target_"], config.get("normalize")
    if normalize is not None and is_option(target, "model", *MODELS_OF_PIXELS):
        name = target.rpartition(".")[2]
        got = f"got {format_value(normalize)}. Type normalize=null."
        yield f"normalize: expected null, as {name} takes pixels in [0, 1]; {got}"


def _find_loss_conflicts(config: Config) -> Iterator[str]:
    model, loss = config["model"], config["loss"]
    binary = is_option(loss["_target_"], "loss", "bce", "bce_with_logits")
    outputs = model.get("out_features")
    if binary and outputs not in (None, 1):
        yield f"loss: expected model.out_features=1; got {outputs}. Type loss=cross_entropy."
    if is_option(loss["_target_"], "loss", "cross_entropy") and outputs == 1:
        yield "loss=cross_entropy: expected model.out_features ≥ 2; got 1. Type loss=bce."


def is_multi_label(data: Config) -> bool:
    """Return whether a configuration's data states images of several classes; a source of the user's own may not."""
    return bool(data.get("label_columns") or data.get("label_separator") or data.get("multi_label"))


def _find_label_conflicts(config: Config) -> Iterator[str]:
    several, loss = is_multi_label(config["data"]), config["loss"]["_target_"]
    takes_several = is_option(loss, "loss", "multi_label")
    if several and not takes_several and is_option(loss, "loss") and not is_option(loss, "loss", "auto"):
        yield f"loss: expected multi_label or auto, as images have several classes; got {loss}. Type loss=auto."


def _find_split_conflicts(data: Config) -> Iterator[str]:
    fold, folds, split = data["fold"], data["folds"], data["split"]
    if fold is not None and fold >= folds:
        yield f"data.fold: expected a whole number from 0 to {folds - 1}; got {fold}."
    if split == "folds" and fold is None:
        yield f"data.split=folds: expected data.fold from 0 to {folds - 1}; got null."
    if fold is not None and split not in (None, "folds"):
        yield f"data.fold: expected data.split=folds; got data.split={split}."


def _find_sampler_conflicts(config: Config) -> Iterator[str]:
    data = config["data"]
    if data.get("sampler") is None:
        return
    if data.get("shuffle") is False:
        yield "data.sampler=balanced: expected data.shuffle=true or null, as each epoch has a new draw; got false."
    if is_multi_label(data):
        yield (
            "data.sampler=balanced: expected images of one class each, as one image may balance several classes"
            " differently. Type data.sampler=null loss.class_weights=balanced."
        )
    if config["loss"].get("class_weights") == "balanced":
        yield (
            "data.sampler=balanced: expected no loss.class_weights=balanced, which would correct the imbalance twice."
            " Type loss.class_weights=null, or data.sampler=null."
        )


def _find_image_size_conflicts(model: Config, size: int) -> Iterator[str]:
    features, shape = model.get("in_features"), model.get("image_shape")
    if features not in (None, 3 * size * size):
        yield (
            f"model.in_features: expected {3 * size * size}, as the data's images are 3×{size}×{size};"
            f" got {features}. Leave it null."
        )
    if shape not in (None, [3, size, size]):
        yield f"model.image_shape: expected [3,{size},{size}], as the data's; got {shape}. Leave it null."
    poolings = len(model.get("channels", []))
    if size < 2**poolings:
        yield f"model.channels: expected images of at least {2**poolings} pixels for {poolings} poolings; got {size}."


def find_shift_conflicts(augmentation: Config, size: int) -> Iterator[str]:
    """Yield an error message for each shift that would move an image of `size` pixels out of its frame."""
    for key, node in (("augmentation", augmentation), ("augmentation.base", augmentation.get("base"))):
        if not isinstance(node, Mapping) or not is_ours(node.get("_target_")):
            continue
        if (shift := node.get("shift", 0)) >= size:
            yield f"{key}.shift: expected less than the images' {size} pixels; got {shift}."
