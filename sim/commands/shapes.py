"""Shapes of layers as a command line writes them: `2048x4096x4096`, or `16x16,192,192` on a grid."""

from __future__ import annotations

from collections.abc import Sequence

from sim.studies import shape_study
from sim.task import Shape
from stamp_hw.cli.common import numbers
from stamp_hw.config import NpuConfig
from stamp_hw.errors import StampError


def parse_all(texts: Sequence[str], config: NpuConfig) -> list[Shape]:
    """The layers of some shapes. Raises StampError for what is none, and for one given twice."""
    shapes = [parse(text, config) for text in texts]
    if len({(shape.tokens, shape.grid, shape.k, shape.n) for shape in shapes}) < len(shapes):
        raise StampError("shape given twice", where="--shape", got=" ".join(texts), expected="each shape once")
    return shapes


def parse(text: str, config: NpuConfig) -> Shape:
    """The layer of a shape as it is written. Raises StampError for what is none."""
    form = "tokens, inputs and outputs, as in 2048x4096x4096 or 16x16,192,192"
    first, comma, rest = text.partition(",")
    tokens = numbers("--shape", first, "x", form)
    tokens, sizes = (tokens, numbers("--shape", rest, ",", form)) if comma else (tokens[:-2], tokens[-2:])
    if (len(tokens), len(sizes)) != (2 if comma else 1, 2):
        raise StampError("not a shape", where="--shape", got=text, expected=form)
    return shape_study.shape_of(text, tokens, sizes[0], sizes[1], config)
