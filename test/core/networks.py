"""Networks for tests."""

import torch


def fill_zeros(network, std):
    """Give random values to parameters that start at zero, so that each part of an untrained network has an effect."""
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=std)
    return network
