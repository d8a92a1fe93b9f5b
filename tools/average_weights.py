"""Average the weights of checkpoints of one network, such as the ends of runs that started from the same weights.

Run: python -m tools.average_weights A.safetensors B.safetensors --shares 0.25 0.75 --out OUT.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from apanet_core.model.checkpoint import load_model, save_checkpoint


@torch.no_grad()
def main() -> None:
    """Write the average."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--shares", type=float, nargs="+", help="of each checkpoint, 1 together; equal by default")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    shares = args.shares or [1 / len(args.weights)] * len(args.weights)
    if len(shares) != len(args.weights) or abs(sum(shares) - 1) > 1e-6:
        parser.error(f"expected {len(args.weights)} shares with the sum 1: got {shares}")
    networks = [load_model(path) for path in args.weights]
    if any(network.config != networks[0].config for network in networks):
        parser.error("expected checkpoints of one network: their configs differ")
    states = [network.state_dict() for network in networks]
    for name, value in states[0].items():
        value.copy_(sum(share * state[name] for share, state in zip(shares, states)))
    save_checkpoint(networks[0], args.out, torch.float16)


if __name__ == "__main__":
    main()
