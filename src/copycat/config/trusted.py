"""Read which packages the user trusts in run folders of others, from the user's settings alone."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from copycat.config.errors import UserError
from copycat.config.places import settings_folder
from copycat.config.suggestions import first_line

FILE = "trusted.yaml"
UNTRUSTABLE_PACKAGES = frozenset(
    (
        *("torch", "torchvision", "torchaudio", "torchmetrics", "pytorch_lightning", "lightning", "lightning_fabric"),
        *("lightning_utilities", "hydra", "hydra_plugins", "omegaconf", "yaml", "numpy", "scipy", "pandas", "sklearn"),
        *(
            "h5py",
            "PIL",
            "safetensors",
            "tensorboard",
            "mlflow",
            "wandb",
            "clearml",
            "sqlalchemy",
            "pooch",
            "requests",
            "urllib3",
            "rich",
        ),
        *("optuna", "matplotlib", "timm", "transformers", "onnx", "onnxruntime", "copycat", "pip", "setuptools"),
        *("pkg_resources", "wheel", "distutils", "pytest", "_pytest", "cloudpickle", "joblib", "dill", "fsspec"),
        *("datasets", "huggingface_hub", "pyarrow", "multiprocess"),
    )
)
"""Packages that cannot be trusted as a whole: some of their functions run arbitrary code or write files."""
_PACKAGE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def trusted_packages_file() -> Path:
    """Return the path of the user's list of trusted packages, which may not exist."""
    return settings_folder() / FILE


def can_be_trusted(target: str) -> bool:
    """Return whether the package of a target may be listed as trusted."""
    top = target.partition(".")[0]
    return top not in sys.stdlib_module_names and top not in UNTRUSTABLE_PACKAGES


def read_trusted_packages() -> Sequence[str]:
    """Read the names of trusted packages and modules, none without a file; raise a UserError for an invalid file."""
    file = trusted_packages_file()
    try:
        found: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{file}: expected packages: [mine, labkit.networks]; {first_line(error)}.") from error
    packages = found.get("packages") if isinstance(found, dict) and len(found) == 1 else None
    if not isinstance(packages, list):
        raise UserError(f"{file}: expected packages: [mine, labkit.networks]; got {found!r:.80}.")
    for name in packages:
        if not isinstance(name, str) or not _PACKAGE.fullmatch(name):
            raise UserError(f"{file}: expected names of packages, as mine or labkit.networks; got {name!r:.80}.")
        if not can_be_trusted(name):
            raise UserError(
                f"{file}: expected packages of networks and the like; got {name!r}, through which anything can be run."
            )
    return packages


def is_inside(target: str, packages: Sequence[str]) -> bool:
    """Return whether a dotted name is inside one of the packages."""
    return any(target.startswith(f"{package}.") for package in packages)
