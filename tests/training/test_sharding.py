"""Weights are spread over ranks block by block."""

from torch import nn

from copycat.models.networks import CNN, Normalized
from copycat.training.sharding import find_blocks


def test_the_blocks_of_a_normalized_network_are_those_of_the_network_itself() -> None:
    cnn = CNN(image_shape=(3, 8, 8), channels=[4, 8], out_features=1, activation=nn.ReLU, dropout=0)
    assert [*find_blocks(Normalized(cnn, mean=[0.5], std=[0.2]))] == [cnn.features[0], cnn.features[3]]
