"""Untrusted run folders: real runs, each made hostile in one way."""

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.support.run_folders import change_config, change_manifest

Spoil = Callable[[Path, Path], None]
"""Takes a run folder, and a path outside of it that exists only once hostile code has run."""
Node = dict[str, Any]

CANARY = "CANARY"
"""Stands for that path in a configuration."""
EVIL = "evil_copycat_module"
"""A file of this name lies in the current folder and in the run folder."""


@dataclass(frozen=True)
class HostileFolder:
    """Name one way to make a run folder hostile."""

    name: str
    spoil: Spoil
    says: str
    """Key or file that the error message must name."""


def strip_signature(folder: Path) -> None:
    """Remove a run's signature, which makes it untrusted."""
    change_manifest(folder, lambda manifest: manifest.pop("signature"))


def _with_canary(value: Any, canary: Path) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_canary(inner, canary) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_canary(inner, canary) for inner in value]
    return value.replace(CANARY, str(canary)) if isinstance(value, str) else value


def _put(key: str, value: Any) -> Spoil:
    """Set a dotted key of config.yaml."""

    def spoil(folder: Path, canary: Path) -> None:
        def change(config: Node) -> None:
            *parents, last = key.split(".")
            for name in parents:
                if config.get(name) is None:
                    config[name] = {}
                config = config[name]
            config[last] = _with_canary(value, canary)

        change_config(folder, change)

    return spoil


def _manifest(key: str, value: Any) -> Spoil:
    def spoil(folder: Path, canary: Path) -> None:
        def change(manifest: Node) -> None:
            *parents, last = key.split(".")
            for name in parents:
                manifest = manifest[name]
            manifest[last] = _with_canary(value, canary)

        change_manifest(folder, change)

    return spoil


def _write(name: str, content: str | bytes) -> Spoil:
    def spoil(folder: Path, canary: Path) -> None:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return spoil


def _append(name: str, content: str) -> Spoil:
    def spoil(folder: Path, canary: Path) -> None:
        with (folder / name).open("a") as file:
            file.write(content.replace(CANARY, str(canary)))

    return spoil


def _link(name: str) -> Spoil:
    """Replace a file, or a folder, by a link to one outside that holds the same."""

    def spoil(folder: Path, canary: Path) -> None:
        outside = canary.with_name(f"outside-{Path(name).name}")
        (folder / name).rename(outside)
        (folder / name).symlink_to(outside)

    return spoil


def _link_in_a_folder(folder: Path, canary: Path) -> None:
    (folder / "csv").mkdir()
    (folder / "csv" / "x").symlink_to(canary)


def _hard_link(folder: Path, canary: Path) -> None:
    os.link(folder / "metrics.csv", canary.with_name("outside.csv"))


def _pipe(name: str) -> Spoil:
    def spoil(folder: Path, canary: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return spoil


def _folder(name: str) -> Spoil:
    def spoil(folder: Path, canary: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return spoil


def _without(name: str) -> Spoil:
    return lambda folder, canary: (folder / name).unlink()


SHELL = f"touch {CANARY}"
CODE_KEY = "__import__('os').system('touch X')"
CODE = f"open({CANARY!r}, 'w').close()"
TARGETS: Mapping[str, Node] = {
    "pip.main": {"args": ["wheel", "--no-deps", "."]},
    "torch.hub.load": {"repo_or_dir": ".", "model": EVIL, "source": "local"},
    "torch.hub.download_url_to_file": {"url": "file:CANARY", "dst": CANARY},
    "torch.load": {"f": CANARY, "weights_only": False},
    "torch.save": {"obj": 1, "f": CANARY},
    "torch.utils.cpp_extension.load": {"name": "x", "sources": [CANARY]},
    "torch.nn.functional.relu": {"input": 1},
    "torch.nn.DataParallel": {"module": None},
    "torch.nn.modules.module.functools.partial": {"_args_": [CANARY]},
    "torch.optim.optimizer.functools.partial": {"_args_": [CANARY]},
    "torch.nn.parallel.distributed.os.system": {"command": SHELL},
    "torch.nn.modules.container.OrderedDict": {},
    "torch.nn.init.torch.load": {"f": CANARY},
    "numpy.load": {"file": CANARY, "allow_pickle": True},
    "numpy.save": {"file": CANARY, "arr": [1]},
    "pathlib.Path.write_text": {"self": {"_target_": "pathlib.Path", "_args_": [CANARY]}, "data": "x"},
    "pathlib.Path": {"_args_": [CANARY]},
    "builtins.open": {"file": CANARY, "mode": "w"},
    "builtins.exec": {"_args_": [CODE]},
    "builtins.eval": {"_args_": [CODE]},
    "builtins.__import__": {"name": EVIL},
    "os.system": {"command": SHELL},
    "posix.system": {"command": SHELL},
    "os.mkdir": {"path": CANARY},
    "subprocess.Popen": {"args": ["touch", CANARY]},
    "subprocess.run": {"args": ["touch", CANARY]},
    "shutil.copy": {"src": "/etc/hostname", "dst": CANARY},
    "urllib.request.urlopen": {"url": "http:127.0.0.1"},
    "urllib.request.urlretrieve": {"url": "file:CANARY", "filename": CANARY},
    "webbrowser.open": {"url": "x"},
    "venv.create": {"env_dir": CANARY},
    "logging.FileHandler": {"filename": CANARY},
    "logging.config.fileConfig": {"fname": CANARY},
    "logging.config.dictConfig": {
        "config": {"version": 1, "handlers": {"h": {"class": "logging.FileHandler", "filename": CANARY}}}
    },
    "functools.partial": {"_args_": [{"_target_": "hydra.utils.get_method", "path": "os.system"}, SHELL]},
    "functools.reduce": {"_args_": [{"_target_": "hydra.utils.get_method", "path": "os.mkdir"}, [CANARY]]},
    "operator.methodcaller": {"_args_": ["write_text", "x"]},
    "operator.attrgetter": {"_args_": ["system"]},
    "importlib.import_module": {"name": EVIL},
    "runpy.run_path": {"path_name": f"{EVIL}.py"},
    "code.interact": {},
    "hydra.utils.instantiate": {"config": {"_target_": "os.mkdir", "path": CANARY}},
    "hydra.utils.call": {"config": {"_target_": "os.mkdir", "path": CANARY}},
    "hydra.utils.get_method": {"path": "os.system"},
    "hydra.utils.get_class": {"path": f"{EVIL}.Net"},
    "yaml.unsafe_load": {"stream": "!!python/object/apply:os.mkdir [CANARY]"},
    "pickle.loads": {"data": "x"},
    "ctypes.CDLL": {"name": "libc.so.6"},
    "socket.create_connection": {"address": ["127.0.0.1", 9]},
    "antigravity.geohash": {"latitude": 1, "longitude": 1, "datedow": "x"},
    "copycat.config.targets.import_module": {"name": EVIL},
    "copycat.records.run_folder.shutil.rmtree": {"path": CANARY},
    "copycat.training.train.logged": {"file": CANARY},
    "copycat.records.run_folder.make_folder": {"root": CANARY, "experiment": "x"},
    "copycat.models.networks.nn.Linear": {"in_features": 1, "out_features": 1},
    "copycat.cli.main": {"argv": ["data", "draw", CANARY]},
    f"{EVIL}.Net": {},
    f"{EVIL}.inner.Net": {},
    "tests.support.networks.InplaceNetwork": {"style": None},
    "sitecustomize.anything": {},
}
"""By dotted name, with arguments under which it would do its worst."""

EVIL_NODE = {"_target_": f"{EVIL}.Net"}
SYSTEM = {"_target_": "os.system", "command": SHELL}
CALLBACKS: Mapping[str, Node] = {
    "LambdaCallback": {"on_fit_start": {"_target_": "os.system", "_partial_": True, "command": SHELL}},
    "ModelCheckpoint": {"dirpath": CANARY},
    "OnExceptionCheckpoint": {"dirpath": CANARY},
    "SpikeDetection": {"exclude_batches_path": CANARY},
    "ModelPruning": {"pruning_fn": "l1_unstructured"},
    "BackboneFinetuning": {"lambda_func": SYSTEM},
}
LOGGERS: Mapping[str, Node] = {
    "MLFlowLogger": {"experiment_name": "x", "tracking_uri": f"sqlite:{CANARY}"},
    "WandbLogger": {"save_dir": CANARY},
    "NeptuneLogger": {"prefix": "x"},
    "CometLogger": {"workspace": "x"},
}
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
LAST = "callbacks.last"


def _folders() -> dict[str, tuple[Spoil, str]]:
    return {
        # what a target may be, by place
        **{f"model: {name}": (_put("model", {"_target_": name, **node}), "model") for name, node in TARGETS.items()},
        **{
            f"callback {name}": (
                _put("callbacks.x", {"_target_": f"pytorch_lightning.callbacks.{name}", **node}),
                "callbacks.x._target_",
            )
            for name, node in CALLBACKS.items()
        },
        **{
            f"logger {name}": (
                _put("logger.x", {"_target_": f"pytorch_lightning.loggers.{name}", **node}),
                "logger.x._target_",
            )
            for name, node in LOGGERS.items()
        },
        **{
            f"{group}: os.system": (_put(group, SYSTEM), f"{group}._target_")
            for group in ("activation", "loss", "optimizer", "scheduler", "data", "augmentation", "trainer")
        },
        "an optimizer as the network": (_put("model", {"_target_": "torch.optim.SGD"}), "model._target_"),
        "a network as the loss": (_put("loss", {"_target_": "torch.nn.Identity"}), "loss._target_"),
        "a network as a callback": (_put("callbacks.x", {"_target_": "torch.nn.Identity"}), "callbacks.x._target_"),
        "a trainer of its own": (_put("trainer._target_", f"{EVIL}.Net"), "trainer._target_"),
        "behind _partial_": (_put("activation", {**SYSTEM, "_partial_": True}), "activation._target_"),
        "inside the network": (_put("model.activation", SYSTEM), "model.activation._target_"),
        "inside the inside": (
            _put("model.activation.inner", {"deeper": {"_target_": "os.system"}}),
            "model.activation.inner.deeper._target_",
        ),
        "before an augmentation": (_put("augmentation.base", SYSTEM), "augmentation.base._target_"),
        "in a list": (_put("model.hidden", [SYSTEM]), "model.hidden[0]._target_"),
        "in a list in a list": (_put("model.hidden", [[1, [SYSTEM]]]), "model.hidden[0][1][0]._target_"),
        "in a loss's weights": (_put("loss.weight", [EVIL_NODE]), "loss.weight[0]._target_"),
        "in _args_": (
            _put("model", {"_target_": "torch.nn.Sequential", "_args_": [SYSTEM]}),
            "model._args_[0]._target_",
        ),
        "by place, in a callback": (_put(f"{LAST}._args_", [CANARY]), f"{LAST}._args_"),
        "by place, in an optimizer": (_put("optimizer._args_", [1]), "optimizer._args_"),
        "in a scheduler's keys": (_put("scheduler.lr_lambda", SYSTEM), "scheduler.lr_lambda._target_"),
        "in the trainer's plugins": (_put("trainer.plugins", [EVIL_NODE]), "trainer"),
        "in the trainer's callbacks": (_put("trainer.callbacks", [EVIL_NODE]), "trainer"),
        "in the trainer's devices": (_put("trainer.devices", [EVIL_NODE]), "trainer.devices"),
        "in a value at the top": (_put("seed", SYSTEM), "seed"),
        "in a list at the top": (_put("print_losses", [SYSTEM]), "print_losses"),
        "at the top itself": (_put("_target_", "os.system"), "_target_"),
        "under a key of no group": (_put("extra", {"x": SYSTEM}), "extra"),
        "a target that is a list": (_put("model._target_", ["os", "system"]), "model._target_"),
        "a target that is a mapping": (_put("model._target_", {"_target_": "os.system"}), "model._target_"),
        "a target of null": (_put("model._target_", None), "model._target_"),
        "a target with blanks": (_put("model._target_", " torch.nn.Linear"), "model._target_"),
        "a target of dunders": (_put("model._target_", "torch.nn.Linear.__init__"), "model._target_"),
        "a key of Hydra's to come": (_put("model._mode_", "x"), "model._mode_"),
        "_partial_ of another type": (_put("activation._partial_", "yes please"), "activation._partial_"),
        # what is looked up
        "_target_ by interpolation": (_put("model._target_", "${experiment}"), "model._target_"),
        "the environment": (_put("output_dir", "${oc.env:HOME}"), "output_dir"),
        "the environment in a list": (_put("model.hidden", ["${oc.env:HOME}"]), "model.hidden[0]"),
        "oc.decode": (_put("seed", "${oc.decode:'1'}"), "seed"),
        "oc.create": (_put("model.activation", "${oc.create:{_target_:os.system}}"), "model.activation"),
        "hydra's own": (_put("output_dir", "${hydra:runtime.cwd}"), "output_dir"),
        "a plain interpolation": (_put("optimizer.lr", "${seed}"), "optimizer.lr"),
        "an interpolation behind a backslash": (_put("output_dir", "\\${oc.env:HOME}"), "output_dir"),
        "an interpolation as a key": (_put("model", {"${oc.env:HOME}": 1}), "${oc.env:HOME}"),
        # what is written where
        "checkpoints elsewhere": (_put(f"{LAST}.dirpath", CANARY), f"{LAST}.dirpath"),
        "checkpoints above": (_put(f"{LAST}.dirpath", "{run}/../.."), f"{LAST}.dirpath"),
        "checkpoints in the current folder": (_put(f"{LAST}.dirpath", "here"), f"{LAST}.dirpath"),
        "checkpoints at home": (_put(f"{LAST}.dirpath", "~/here"), f"{LAST}.dirpath"),
        "a checkpoint's name with ..": (_put(f"{LAST}.filename", "../../x"), f"{LAST}.filename"),
        "a checkpoint's absolute name": (_put(f"{LAST}.filename", CANARY), f"{LAST}.filename"),
        "events elsewhere": (_put("logger.tensorboard.folder", CANARY), "logger.tensorboard.folder"),
        "events on a server": (_put("logger.tensorboard.folder", "s3://x/y"), "logger.tensorboard.folder"),
        "events by a second dirname": (
            _put(
                "logger.x",
                {"_target_": "pytorch_lightning.loggers.TensorBoardLogger", "save_dir": "{run}", "sub_dir": CANARY},
            ),
            "logger.x.sub_dir",
        ),
        "a CSV logger's name": (
            _put(
                "logger.x",
                {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": "{run}", "name": "../../x"},
            ),
            "logger.x.name",
        ),
        "the trainer's root": (_put("trainer.default_root_dir", CANARY), "trainer.default_root_dir"),
        "the trainer's profiler": (_put("trainer.profiler", "advanced"), "trainer.profiler"),
        "the trainer's strategy": (_put("trainer.strategy", "ddp"), "trainer.strategy"),
        "the trainer's registry": (_put("trainer.model_registry", "x"), "trainer.model_registry"),
        "images on a server": (_put("data.root", "\\\\server\\share"), "data.root"),
        "an experiment above": (_manifest("request.experiment", "../../x"), "request.experiment"),
        "an absolute experiment": (_manifest("request.experiment", CANARY), "request.experiment"),
        "an experiment of escapes": (_manifest("request.experiment", "a\x1b[2J"), "request.experiment"),
        "an experiment without end": (_manifest("request.experiment", "x" * 1000), "request.experiment"),
        "an error of escapes": (_manifest("error", "\x1b]0;x\x07"), "error"),
        "an override of two lines": (
            _manifest("request.overrides", ["a\nidentical: bit for bit"]),
            "request.overrides",
        ),
        "code as a key": (
            _put("model.activation", {"_target_": "torch.nn.Identity", "_partial_": True, f"a={CODE_KEY},b": 1}),
            "model.activation.a=",
        ),
        "a key with a blank, in a list": (_put("model.hidden", [{"a b": 1}]), "model.hidden.a b"),
        "a key that begins with a digit": (_put("data.1st", 1), "data.1st"),
        "an empty key": (_put("model", {"": 1}), "expected a key of letters"),
        "a key of escapes": (_put("\x1b[2J", 1), "expected keys that can be printed"),
        # what lies in the folder
        **{
            f"a link: {name}": (_link(name), Path(name).name)
            for name in (
                *("config.yaml", "run.json", "metrics.csv", "weights.safetensors", "tensorboard", "train.log"),
                *("checkpoints", "checkpoints/last.ckpt"),
            )
        },
        "a link that hides": (lambda folder, canary: (folder / ".reserve").symlink_to(canary), ".reserve"),
        "a link for the lock": (lambda folder, canary: (folder / ".lock").symlink_to(canary), ".lock"),
        "a link in a folder of its own": (
            _link_in_a_folder,
            "csv",
        ),
        "a hard link": (_hard_link, "metrics.csv"),
        "a pipe: config.yaml": (_pipe("config.yaml"), "config.yaml"),
        "a pipe: run.json": (_pipe("run.json"), "run.json"),
        "a pipe: metrics.csv": (_pipe("metrics.csv"), "metrics.csv"),
        "a folder: config.yaml": (_folder("config.yaml"), "config.yaml"),
        "a folder: run.json": (_folder("run.json"), "run.json"),
        "no config.yaml": (_without("config.yaml"), "config.yaml"),
        "no run.json": (_without("run.json"), "run.json"),
        # what is no configuration
        "a YAML bomb": (_write("config.yaml", BOMB), "config.yaml"),
        "an alias": (_append("config.yaml", "x: &x [1]\ny: *x\n"), "config.yaml"),
        "python/object/apply": (
            _append("config.yaml", f"x: !!python/object/apply:os.system ['{SHELL}']\n"),
            "config.yaml",
        ),
        "python/name": (_append("config.yaml", "x: !!python/name:os.system\n"), "config.yaml"),
        "a tag of one's own": (_append("config.yaml", "x: !evil 1\n"), "config.yaml"),
        "a key twice": (_append("config.yaml", "seed: 1\n"), "config.yaml"),
        "a merge": (_append("config.yaml", "<<: {seed: 1}\n"), "config.yaml"),
        "YAML without a floor": (_write("config.yaml", "[" * 500_000), "config.yaml"),
        "YAML of a gigabyte's number": (_write("config.yaml", "seed: " + "9" * 500_000), "config.yaml"),
        "YAML that is too large": (_write("config.yaml", "#" * 2**21), "config.yaml"),
        "YAML of bytes": (_write("config.yaml", bytes(range(256))), "config.yaml"),
        "an empty config.yaml": (_write("config.yaml", b""), "config.yaml"),
        "a list for a configuration": (_write("config.yaml", "- 1\n"), "config.yaml"),
        "two documents": (_append("config.yaml", "---\nseed: 1\n"), "config.yaml"),
        "a group that is a list": (_put("callbacks", [EVIL_NODE]), "callbacks"),
        "a group that is a word": (_put("model", "mlp"), "model"),
        "a value of another type": (_put("model.channels", 5), "config.yaml"),
        # what is no manifest
        "a huge run.json": (_write("run.json", " " * 2**24), "run.json"),
        "run.json without a floor": (_write("run.json", "[" * 1_000_000), "run.json"),
        "a deep run.json": (_manifest("results.x", json.loads("[" * 200 + "]" * 200)), "run.json"),
        "run.json of NaN": (_manifest("seconds", float("nan")), "run.json"),
        "run.json of infinity": (_write("run.json", '{"schema": 2, "seconds": 1e999}'), "run.json"),
        "run.json of a list": (_write("run.json", "[]"), "run.json"),
        "run.json of bytes": (_write("run.json", b"\xff\xfe"), "run.json"),
        "an empty run.json": (_write("run.json", b""), "run.json"),
        "no manifest but its schema": (_write("run.json", '{"schema": 2}'), "run.json"),
        "a manifest of a year to come": (_manifest("schema", 99), "run.json"),
        **{
            f"{key} of another type": (_manifest(key, value), key)
            for key, value in {
                "status": "great",
                "started": 7,
                "seconds": "x",
                "request": [],
                "request.overrides": "x",
                "request.copy_of": 3,
                "provenance.code": None,
                "provenance.code.version": "1 --index-url x",
                "provenance.environment": 1,
                "provenance.environment.threads": 10**9,
                "provenance.data": [1],
                "data.classes": {"a": 1},
                "data.images": {"train": "many"},
                "results": "x",
                "results.final": {"val/loss": "x"},
                "resumed": {},
            }.items()
        },
    }


FOLDERS = [HostileFolder(name, spoil, says) for name, (spoil, says) in _folders().items()]


class _Touch:
    """A pickle that makes a file where it is loaded."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.canary),)


def _replace_checkpoint_parts(**parts: Callable[[Path], Any]) -> Spoil:
    """The real checkpoint with some parts replaced."""

    def spoil(folder: Path, canary: Path) -> None:
        path = folder / "checkpoints" / "last.ckpt"
        checkpoint = torch.load(path, weights_only=True)
        torch.save({**checkpoint, **{name: make(canary) for name, make in parts.items()}}, path)

    return spoil


def _bytes(change: Callable[[bytes, Path], bytes]) -> Spoil:
    def spoil(folder: Path, canary: Path) -> None:
        path = folder / "checkpoints" / "last.ckpt"
        path.write_bytes(change(path.read_bytes(), canary))

    return spoil


def _packed(bomb: int) -> Spoil:
    """An archive whose records are packed, one of them with so many zeros more."""

    def spoil(folder: Path, canary: Path) -> None:
        path = folder / "checkpoints" / "last.ckpt"
        with zipfile.ZipFile(path) as archive:
            records = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in records.items():
                archive.writestr(name, content + (bytes(bomb) if "/data/" in name else b""))

    return spoil


def _tree(depth: int) -> list[Any]:
    """Of a few lists, one of two to that power."""
    found: list[Any] = []
    for _ in range(depth):
        found = [found, found]
    return found


DELETES = {"best_model_path": CANARY, "best_k_models": {CANARY: torch.tensor(1.0)}, "dirpath": ""}
CHECKPOINTS: Mapping[str, Spoil] = {
    "a pickle in the archive": _replace_checkpoint_parts(extra=_Touch),
    "a pickle among the weights": _replace_checkpoint_parts(state_dict=lambda canary: {"x": _Touch(canary)}),
    "a plain pickle": _bytes(lambda content, canary: pickle.dumps(_Touch(canary))),
    "cut short": _bytes(lambda content, canary: content[: len(content) // 2]),
    "empty": _bytes(lambda content, canary: b""),
    "text": _bytes(lambda content, canary: b"hello" * 99),
    "packed records": _packed(0),
    "a zip bomb": _packed(2**26),
    "a tensor larger than the file": _replace_checkpoint_parts(
        state_dict=lambda canary: {"x": torch.zeros(1).expand(2**40)}
    ),
    "a tree of a billion lists": _replace_checkpoint_parts(extra=lambda canary: _tree(30)),
    "no weights": _replace_checkpoint_parts(state_dict=lambda canary: None),
    "weights that are words": _replace_checkpoint_parts(state_dict=lambda canary: {"x": "y"}),
    "a place that is none": _replace_checkpoint_parts(copycat=lambda canary: {"epoch": "x", "batch": -1}),
    "callbacks that delete": _replace_checkpoint_parts(
        callbacks=lambda canary: {"ModelCheckpoint": _with_canary(DELETES, canary)}
    ),
    "callbacks that keep": _replace_checkpoint_parts(
        callbacks=lambda canary: {"M": {"best_k_models": {str(canary): 1}}}
    ),
    "callbacks that delete here": _replace_checkpoint_parts(
        callbacks=lambda canary: {"M": {"last_model_path": "README.md"}}
    ),
    "callbacks that delete above": _replace_checkpoint_parts(callbacks=lambda canary: {"M": [("x", "a/../../b")]}),
    "callbacks that delete at home": _replace_checkpoint_parts(callbacks=lambda canary: {"M": "~/x"}),
    "a pipe": _pipe("checkpoints/last.ckpt"),
    "a link": _link("checkpoints/last.ckpt"),
}
"""By what is done to checkpoints/last.ckpt."""


def _make_safetensors(header: bytes, size: int | None = None, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if size is None else size) + header + body


WEIGHTS: Mapping[str, Spoil] = {
    name: _write("weights.safetensors", content)
    for name, content in {
        "a header of 2^63 bytes": _make_safetensors(b"{}", 2**63),
        "a header longer than the file": _make_safetensors(b"{}", 1000),
        "a header that is no JSON": _make_safetensors(b"{{{{"),
        "a tensor past the end": _make_safetensors(
            b'{"x":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}', body=bytes(4)
        ),
        "a tensor larger than its bytes": _make_safetensors(
            b'{"x":{"dtype":"F32","shape":[1000000],"data_offsets":[0,4]}}', body=bytes(4)
        ),
        "a tensor of negative size": _make_safetensors(
            b'{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', body=bytes(4)
        ),
        "tensors that overlap": _make_safetensors(
            b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
            body=bytes(4),
        ),
        "a type that is none": _make_safetensors(
            b'{"x":{"dtype":"EVIL","shape":[1],"data_offsets":[0,4]}}', body=bytes(4)
        ),
        "a header without a floor": _make_safetensors(b"[" * 100_000),
        "a pickle": pickle.dumps({"x": 1}),
        "nothing": b"",
    }.items()
}
"""By what weights.safetensors holds."""
