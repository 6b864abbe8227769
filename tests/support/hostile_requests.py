"""Untrusted configurations and requests, each made hostile in one way."""

from tests.support.hostile_targets import CALLBACKS, CODE_KEY, EVIL, EVIL_NODE, LOGGERS, SYSTEM, TARGETS
from tests.support.tampering import CANARY, Spoil, set_key, set_manifest_key

LAST = "callbacks.last"


def list_requests() -> dict[str, tuple[Spoil, str]]:
    """Return hostile configurations and requests by name, each with the key that the error message must name."""
    return {
        # what a target may be, by place
        **{f"model: {name}": (set_key("model", {"_target_": name, **node}), "model") for name, node in TARGETS.items()},
        **{
            f"callback {name}": (
                set_key("callbacks.x", {"_target_": f"pytorch_lightning.callbacks.{name}", **node}),
                "callbacks.x._target_",
            )
            for name, node in CALLBACKS.items()
        },
        **{
            f"logger {name}": (
                set_key("logger.x", {"_target_": f"pytorch_lightning.loggers.{name}", **node}),
                "logger.x._target_",
            )
            for name, node in LOGGERS.items()
        },
        **{
            f"{group}: os.system": (set_key(group, SYSTEM), f"{group}._target_")
            for group in ("activation", "loss", "optimizer", "scheduler", "data", "augmentation", "trainer")
        },
        "an optimizer as the network": (set_key("model", {"_target_": "torch.optim.SGD"}), "model._target_"),
        "a network as the loss": (set_key("loss", {"_target_": "torch.nn.Identity"}), "loss._target_"),
        "a network as a callback": (set_key("callbacks.x", {"_target_": "torch.nn.Identity"}), "callbacks.x._target_"),
        "a trainer of its own": (set_key("trainer._target_", f"{EVIL}.Net"), "trainer._target_"),
        "behind _partial_": (set_key("activation", {**SYSTEM, "_partial_": True}), "activation._target_"),
        "inside the network": (set_key("model.activation", SYSTEM), "model.activation._target_"),
        "inside the inside": (
            set_key("model.activation.inner", {"deeper": {"_target_": "os.system"}}),
            "model.activation.inner.deeper._target_",
        ),
        "before an augmentation": (set_key("augmentation.base", SYSTEM), "augmentation.base._target_"),
        "in a list": (set_key("model.hidden", [SYSTEM]), "model.hidden[0]._target_"),
        "in a list in a list": (set_key("model.hidden", [[1, [SYSTEM]]]), "model.hidden[0][1][0]._target_"),
        "in a loss's weights": (set_key("loss.class_weights", [EVIL_NODE]), "loss.class_weights[0]._target_"),
        "in _args_": (
            set_key("model", {"_target_": "torch.nn.Sequential", "_args_": [SYSTEM]}),
            "model._args_[0]._target_",
        ),
        "by place, in a callback": (set_key(f"{LAST}._args_", [CANARY]), f"{LAST}._args_"),
        "by place, in an optimizer": (set_key("optimizer._args_", [1]), "optimizer._args_"),
        "in a scheduler's keys": (set_key("scheduler.lr_lambda", SYSTEM), "scheduler.lr_lambda._target_"),
        "in the trainer's plugins": (set_key("trainer.plugins", [EVIL_NODE]), "trainer"),
        "in the trainer's callbacks": (set_key("trainer.callbacks", [EVIL_NODE]), "trainer"),
        "in the trainer's devices": (set_key("trainer.devices", [EVIL_NODE]), "trainer.devices"),
        "in a value at the top": (set_key("seed", SYSTEM), "seed"),
        "in a list at the top": (set_key("print_losses", [SYSTEM]), "print_losses"),
        "at the top itself": (set_key("_target_", "os.system"), "_target_"),
        "under a key of no group": (set_key("extra", {"x": SYSTEM}), "extra"),
        "a target that is a list": (set_key("model._target_", ["os", "system"]), "model._target_"),
        "a target that is a mapping": (set_key("model._target_", {"_target_": "os.system"}), "model._target_"),
        "a target of null": (set_key("model._target_", None), "model._target_"),
        "a target with blanks": (set_key("model._target_", " torch.nn.Linear"), "model._target_"),
        "a target of dunders": (set_key("model._target_", "torch.nn.Linear.__init__"), "model._target_"),
        "a key of Hydra's to come": (set_key("model._mode_", "x"), "model._mode_"),
        "_partial_ of another type": (set_key("activation._partial_", "yes please"), "activation._partial_"),
        # what is looked up
        "_target_ by interpolation": (set_key("model._target_", "${experiment}"), "model._target_"),
        "the environment": (set_key("output_dir", "${oc.env:HOME}"), "output_dir"),
        "the environment in a list": (set_key("model.hidden", ["${oc.env:HOME}"]), "model.hidden[0]"),
        "oc.decode": (set_key("seed", "${oc.decode:'1'}"), "seed"),
        "oc.create": (set_key("model.activation", "${oc.create:{_target_:os.system}}"), "model.activation"),
        "hydra's own": (set_key("output_dir", "${hydra:runtime.cwd}"), "output_dir"),
        "a plain interpolation": (set_key("optimizer.lr", "${seed}"), "optimizer.lr"),
        "an interpolation behind a backslash": (set_key("output_dir", "\\${oc.env:HOME}"), "output_dir"),
        "an interpolation as a key": (set_key("model", {"${oc.env:HOME}": 1}), "${oc.env:HOME}"),
        # what is written where
        "checkpoints elsewhere": (set_key(f"{LAST}.dirpath", CANARY), f"{LAST}.dirpath"),
        "checkpoints above": (set_key(f"{LAST}.dirpath", "{run}/../.."), f"{LAST}.dirpath"),
        "checkpoints in the current folder": (set_key(f"{LAST}.dirpath", "here"), f"{LAST}.dirpath"),
        "checkpoints at home": (set_key(f"{LAST}.dirpath", "~/here"), f"{LAST}.dirpath"),
        "a checkpoint's name with ..": (set_key(f"{LAST}.filename", "../../x"), f"{LAST}.filename"),
        "a checkpoint's absolute name": (set_key(f"{LAST}.filename", CANARY), f"{LAST}.filename"),
        "events elsewhere": (set_key("logger.tensorboard.folder", CANARY), "logger.tensorboard.folder"),
        "events on a server": (set_key("logger.tensorboard.folder", "s3://x/y"), "logger.tensorboard.folder"),
        "events by a second dirname": (
            set_key(
                "logger.x",
                {"_target_": "pytorch_lightning.loggers.TensorBoardLogger", "save_dir": "{run}", "sub_dir": CANARY},
            ),
            "logger.x.sub_dir",
        ),
        "a CSV logger's name": (
            set_key(
                "logger.x",
                {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": "{run}", "name": "../../x"},
            ),
            "logger.x.name",
        ),
        "the trainer's root": (set_key("trainer.default_root_dir", CANARY), "trainer.default_root_dir"),
        "the trainer's profiler": (set_key("trainer.profiler", "advanced"), "trainer.profiler"),
        "the trainer's strategy": (set_key("trainer.strategy", "deepspeed"), "trainer.strategy"),
        "the trainer's registry": (set_key("trainer.model_registry", "x"), "trainer.model_registry"),
        "images on a server": (set_key("data.root", "\\\\server\\share"), "data.root"),
        "an experiment above": (set_manifest_key("request.experiment", "../../x"), "request.experiment"),
        "an absolute experiment": (set_manifest_key("request.experiment", CANARY), "request.experiment"),
        "an experiment of escapes": (set_manifest_key("request.experiment", "a\x1b[2J"), "request.experiment"),
        "an experiment without end": (set_manifest_key("request.experiment", "x" * 1000), "request.experiment"),
        "an error of escapes": (set_manifest_key("error", "\x1b]0;x\x07"), "error"),
        "an override of two lines": (
            set_manifest_key("request.overrides", ["a\nidentical: bit for bit"]),
            "request.overrides",
        ),
        "code as a key": (
            set_key("model.activation", {"_target_": "torch.nn.Identity", "_partial_": True, f"a={CODE_KEY},b": 1}),
            "model.activation.a=",
        ),
        "a key with a blank, in a list": (set_key("model.hidden", [{"a b": 1}]), "model.hidden.a b"),
        "a key that begins with a digit": (set_key("data.1st", 1), "data.1st"),
        "an empty key": (set_key("model", {"": 1}), "expected a key of letters"),
        "a key of escapes": (set_key("\x1b[2J", 1), "expected keys that can be printed"),
    }
