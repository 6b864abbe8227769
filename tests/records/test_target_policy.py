"""What an untrusted folder may name as a transform of images."""

import pytest

from copycat.config.errors import UserError
from copycat.config.untrusted import check_untrusted
from copycat.records.target_policy import make_untrusted_check
from tests.support.runs import compose_quickly


def check(transform: str) -> None:
    words = ["augmentation=mixup", "augmentation/base=pipeline", f"augmentation.base.transforms=[{transform}]"]
    check_untrusted(compose_quickly(words).config, where="folder", refuse=make_untrusted_check())


def test_transforms_of_kornia_are_allowed_nested_ones_too() -> None:
    check("{_target_: kornia.augmentation.RandomAffine, degrees: [-15, 15]}")
    nested = (
        "{_target_: kornia.augmentation.RandomErasing, transforms: [{_target_: kornia.augmentation.RandomGrayscale}]}"
    )
    check(nested)


@pytest.mark.parametrize(
    "target",
    [
        "kornia.augmentation.torch.load",
        "kornia.io.load_image",
        "torchvision.transforms.v2.Lambda",
        "torch.nn.Identity",
        "os.system",
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_nothing_else_is_allowed_among_them(target: str, nested: bool) -> None:
    node = f"{{_target_: {target}}}"
    inside = f"{{_target_: kornia.augmentation.RandomErasing, transforms: [{node}]}}"
    with pytest.raises(UserError, match=r"augmentation.base.transforms\[0\].*_target_: expected a transform of kornia"):
        check(inside if nested else node)
