"""Targets that no untrusted configuration may name, with arguments under which each would do its worst."""

from collections.abc import Mapping

from tests.support.tampering import CANARY, Node

EVIL = "evil_copycat_module"
"""A file of this name lies in the current folder and in the run folder."""
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
