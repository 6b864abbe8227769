"""Define the network in plain PyTorch."""

from torch import Tensor, nn


class Logistic(nn.Module):
    """Classify [B, in_features] float to [B, 1] probabilities."""

    def __init__(self, in_features: int) -> None:
        """Build the layer."""
        super().__init__()
        self.model = nn.Sequential(nn.Linear(in_features, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Return probabilities."""
        return self.model(x)
