"""The network, plain PyTorch."""

from torch import Tensor, nn


class Logistic(nn.Module):
    """[B, in_features] float -> [B, 1] probabilities."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Linear(in_features, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)
