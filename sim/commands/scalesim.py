"""`stamp-hw simulate --mode scalesim`: its options, and what has no meaning with it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from sim.task import Shape
from stamp_hw.cli.show import show
from stamp_hw.config import NpuConfig
from stamp_hw.errors import StampError

MODES = ("engine", "scalesim")
_DATAFLOWS = ("os", "ws", "is")


@dataclass(frozen=True, kw_only=True)
class ModeOptions:
    """What the command line says of the way to count."""

    mode: str
    dataflow: str | None


def add_mode_options(parser: argparse.ArgumentParser) -> None:
    """The options of `ModeOptions`."""
    shapes = parser.add_argument_group("with --shape")
    shapes.add_argument("--mode", choices=MODES, default=MODES[0],
                        help="what is counted: the engine (default), or the array alone, as SCALE-Sim 3.0.0 does")
    shapes.add_argument("--dataflow", choices=_DATAFLOWS,
                        help="of --mode scalesim: output-, weight- or input-stationary (default: all three)")


def check(options: ModeOptions, *, shapes: bool, others: Sequence[str]) -> None:
    """Raise StampError for a mode without shapes, and an option that its mode has no use for: `others` are those given
    that only the engine's has."""
    if options.mode == MODES[0]:
        if options.dataflow is not None:
            raise StampError("option of another mode", where="--dataflow", expected="--mode scalesim with it")
        return
    if not shapes:
        raise StampError("only shapes are counted that way", where="--mode", got=options.mode, expected="--shape")
    if others:
        raise StampError("option of the engine", where=others[0], expected="no --mode scalesim with it")


def run(options: ModeOptions, shapes: Sequence[Shape], config: NpuConfig, json: Path | None) -> int:
    """Count, write, print."""
    from sim.studies import scalesim
    from stamp_hw.formats.files import write_json

    dataflows = _DATAFLOWS if options.dataflow is None else (options.dataflow,)
    document = scalesim.document(shapes, dataflows, config.hw, metadata.version("stamp-hw"))
    if json is not None:
        write_json(json, document)
    show(scalesim.render(document))
    return 0
