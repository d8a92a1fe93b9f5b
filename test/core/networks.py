"""Networks and pairs for tests."""

import numpy as np
import torch

CPU_ENGINES = ("torch", "openvino")


def fill_zeros(network, std):
    """Give random values to parameters that start at zero, so that each part of an untrained network has an effect."""
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=std)
    return network


def random_pair(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(2))


def apply_coring(rainy, derained, coring):
    """docs/decisions/013."""
    change = derained - rainy
    if coring:
        k = coring * max(0.5, coring**2 / abs(np.mean(change * np.abs(change))))
        change = change**3 / (change**2 + k**2)
    return rainy + change
