"""The command `apanet`."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentError
from collections.abc import Callable
from pathlib import Path

from jsonargparse import ActionConfigFile, ArgumentParser

from apanet_core.commands.bags import derain_bag
from apanet_core.commands.data import cut_dataset, render_rain
from apanet_core.commands.learning import distill, evaluate, train
from apanet_core.commands.models import benchmark, derain, export, import_checkpoint, info
from apanet_core.training.config import TrainConfig

COMMANDS: dict[str, Callable[..., None]] = {
    "derain": derain,
    "derain-bag": derain_bag,
    "train": train,
    "distill": distill,
    "import-checkpoint": import_checkpoint,
    "benchmark": benchmark,
    "evaluate": evaluate,
    "render-rain": render_rain,
    "cut-dataset": cut_dataset,
    "export": export,
    "info": info,
}


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; those of the process when None.

    Returns:
        0, or 2 after one line on what is wrong with the input.
    """
    parser = ArgumentParser(prog="apanet", description="Stereo image deraining with APANet.", exit_on_error=False)
    subcommands = parser.add_subcommands(required=True)
    for name, function in COMMANDS.items():
        summary = (function.__doc__ or "").split("\n\n")[0]
        subparser = ArgumentParser(description=summary, exit_on_error=False)
        if function in (train, distill):
            subparser.add_argument("--config", action=ActionConfigFile, help="YAML file; also as first argument")
            subparser.add_class_arguments(TrainConfig, as_group=False)
        elif function is cut_dataset:
            subparser.add_argument("bags", nargs="+", type=Path, help="folders of the recordings, or files in them")
            subparser.add_function_arguments(function, as_group=False, skip={"bags"})
        elif function is derain_bag:
            subparser.add_argument("bags", nargs="+", type=Path, help="folders of the recordings, or files in them")
            subparser.add_argument("out", type=Path, help="folder to make; of several recordings, theirs go into it")
            subparser.add_function_arguments(function, as_group=False, skip={"bags", "out"})
        else:
            subparser.add_function_arguments(
                function, as_group=False, as_positional=function in (import_checkpoint, export, evaluate, render_rain)
            )
        subcommands.add_subcommand(name, subparser, help=summary)
    argv = [_underscored(argument) for argument in (sys.argv[1:] if argv is None else argv)]
    if len(argv) > 1 and argv[0] in ("train", "distill") and not argv[1].startswith("-"):
        argv = [argv[0], "--config", *argv[1:]]
    try:
        values = parser.instantiate(parser.parse_args(argv))
        arguments = values[values.subcommand].as_dict()
        arguments.pop("config", None)
        if values.subcommand in ("train", "distill"):
            arguments = {"config": TrainConfig(**arguments)}
        COMMANDS[values.subcommand](**arguments)
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, ImportError, MemoryError, FloatingPointError, ArgumentError) as error:
        print(f"apanet: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _underscored(argument: str) -> str:
    """Let options be written with dashes too: --left-topic is --left_topic."""
    name, equals, value = argument.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else argument


if __name__ == "__main__":
    sys.exit(main())
