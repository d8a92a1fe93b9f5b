"""The command `apanet`."""

from __future__ import annotations

import inspect
import os
import sys
from argparse import ArgumentError
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from docstring_parser import parse
from jsonargparse import ActionConfigFile, ArgumentParser

from apanet_core import __version__
from apanet_core.commands import (
    benchmark,
    cut_dataset,
    derain,
    derain_bag,
    distill,
    evaluate,
    export,
    import_checkpoint,
    info,
    render_rain,
    train,
)
from apanet_core.freed_memory import keep_freed_memory
from apanet_core.missing import install_hint
from apanet_core.progress import close_bars
from apanet_core.training.config import TrainConfig

COMMANDS: dict[str, Callable[..., None]] = {
    "derain": derain.run,
    "derain-bag": derain_bag.run,
    "train": train.run,
    "distill": distill.run,
    "import-checkpoint": import_checkpoint.run,
    "benchmark": benchmark.run,
    "evaluate": evaluate.run,
    "render-rain": render_rain.run,
    "cut-dataset": cut_dataset.run,
    "export": export.run,
    "info": info.run,
}


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; None: those of the process.

    Returns:
        0, 2 after an error in the input, which is printed in one line, or 130 after an interrupt.
    """
    parser = ArgumentParser(
        prog="apanet",
        description="Stereo image deraining with APANet.",
        version=__version__,
        exit_on_error=False,
    )
    subcommands = parser.add_subcommands(required=True)
    for name, run in COMMANDS.items():
        summary = (run.__doc__ or "").split("\n\n")[0]
        subcommands.add_subcommand(name, _parser_of(run, summary), help=summary)
    argv = [_underscored(argument) for argument in (sys.argv[1:] if argv is None else argv)]
    if len(argv) > 1 and argv[0] in ("train", "distill") and not argv[1].startswith("-"):
        argv = [argv[0], "--config", *argv[1:]]
    try:
        values = parser.instantiate(parser.parse_args(argv))
        keep_freed_memory()
        run = COMMANDS[values.subcommand]
        run(**_arguments(run, values[values.subcommand].as_dict()))
    except BrokenPipeError:  # the reader of the output ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, ImportError, MemoryError, FloatingPointError, ArgumentError) as error:
        close_bars()
        message = " ".join(str(error).split())
        if isinstance(error, ArgumentError) and argv:
            message = message.replace(f"{argv[0]}.", "")  # jsonargparse says train.out for --out
        print(f"apanet: error: {message}{install_hint(error)}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, without importing it for every command
            raise
        close_bars()
        print(
            "apanet: error: not enough memory on the graphics card: use smaller images or batches, or a smaller model",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        close_bars()
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _settings(run: Callable[..., None]) -> dict[str, Any]:
    """Return the dataclasses among the parameters of a command, by name; their fields are options."""
    types = get_type_hints(run)
    return {name: types[name] for name in inspect.signature(run).parameters if is_dataclass(types[name])}


def _parser_of(run: Callable[..., None], summary: str) -> ArgumentParser:
    """Return the parser of a command, with its parameters and the fields of its settings.

    Parameters without a default are positional, keyword-only ones are always options, a list takes one or more values.
    """
    parser = ArgumentParser(description=summary, exit_on_error=False)
    parameters, types, settings = inspect.signature(run).parameters, get_type_hints(run), _settings(run)
    described = {about.arg_name: about.description for about in parse(run.__doc__ or "").params}
    required = [p for p in parameters.values() if p.default is p.empty and p.name not in settings]
    lists = {p.name for p in required if types[p.name] == list[Path]}
    for name in lists:
        parser.add_argument(name, nargs="+", type=Path, help=described[name])
    positional = any(p.kind is not p.KEYWORD_ONLY for p in required)
    parser.add_function_arguments(run, as_group=False, as_positional=positional, skip={*lists, *settings})
    for kind in settings.values():
        if kind is TrainConfig:
            parser.add_argument("--config", action=ActionConfigFile, help="YAML file; also as first argument")
        parser.add_class_arguments(kind, as_group=False)
    return parser


def _arguments(run: Callable[..., None], values: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a command; fields are put back into their settings."""
    values.pop("config", None)
    settings = {
        name: kind(**{field.name: values.pop(field.name) for field in fields(kind)})
        for name, kind in _settings(run).items()
    }
    return {**values, **settings}


def _underscored(argument: str) -> str:
    """Convert dashes in an option's name: --left-topic becomes --left_topic."""
    name, equals, value = argument.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else argument


if __name__ == "__main__":
    sys.exit(main())
