"""Define EfficientNet-Lite0 in plain PyTorch, with the parameter names of the published weights.

Source: Tan and Le 2019, EfficientNet, https://arxiv.org/abs/1905.11946; Lite omits squeeze-and-excitation, and uses
ReLU6.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCKS = (
    # kernel, stride, expansion, channels, times
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STEM, WIDTH = 32, 1280
CLASSES = 1000  # number of classes of ImageNet


class SamePadding(nn.Conv2d):
    """Convolve with TensorFlow's padding `same`: an odd pixel of padding is added at the right and bottom."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        """Create a convolution of square kernels without bias."""
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Pad and convolve: [B, C, H, W] -> [B, outputs, ⌈H / stride⌉, ⌈W / stride⌉]."""
        return super().forward(F.pad(x, (*self._around(x.shape[-1]), *self._around(x.shape[-2]))))

    def _around(self, length: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        missing = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        return missing // 2, missing - missing // 2


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Create a batch normalization with EfficientNet's epsilon and momentum."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Block(nn.Module):
    """Apply an inverted residual block: expansion, depthwise convolution, projection."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int) -> None:
        """Create the layers; without an expansion where its factor is 1."""
        super().__init__()
        inner = inputs * expansion
        self.expands, self.adds = expansion > 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = SamePadding(inputs, inner, 1), batch_norm(inner)
        self._depthwise_conv = SamePadding(inner, inner, kernel, stride=stride, groups=inner)
        self._bn1 = batch_norm(inner)
        self._project_conv, self._bn2 = SamePadding(inner, outputs, 1), batch_norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, with the input added where the shapes are equal."""
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        output: Tensor = x + y if self.adds else y
        return output


class EfficientNetLite0(nn.Module):
    """Classify normalized images into the classes of ImageNet.

    Shapes: [B, 3, H, W] float, of mean 0 and deviation 1, -> [B, 1000] logits.
    """

    def __init__(self) -> None:
        """Create the network with random weights."""
        super().__init__()
        self._conv_stem, self._bn0 = SamePadding(3, STEM, 3, stride=2), batch_norm(STEM)
        self._blocks = nn.ModuleList()
        inputs = STEM
        for kernel, stride, expansion, outputs, times in BLOCKS:
            for place in range(times):
                step = stride if place == 0 else 1
                self._blocks.append(Block(inputs, outputs, kernel=kernel, stride=step, expansion=expansion))
                inputs = outputs
        self._conv_head, self._bn1 = SamePadding(inputs, WIDTH, 1), batch_norm(WIDTH)
        self._fc = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch."""
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = F.relu6(self._bn1(self._conv_head(x)))
        logits: Tensor = self._fc(torch.mean(x, (2, 3)))
        return logits
