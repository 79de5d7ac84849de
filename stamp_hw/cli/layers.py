"""Which layers of a trace a command takes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stamp_hw.config import NpuConfig
from stamp_hw.errors import StampError
from stamp_hw.formats.safetensors_file import printable
from stamp_hw.formats.trace import Trace


def chosen(trace: Trace, pattern: str) -> tuple[str, ...]:
    """Layers in which the regular expression is found. Raises StampError for none, or for no regular expression."""
    try:
        found = tuple(name for name in trace.layer_names if re.search(pattern, name))
    except (re.error, OverflowError, RecursionError) as error:  # a{9999999999}; thousands of nested brackets
        raise StampError("not a regular expression", where="--layers",
                         got=f"{printable(repr(pattern))} ({printable(error)})") from None
    if not found:
        raise StampError("no layer matches", where="--layers", got=printable(repr(pattern)),
                         expected="a name that `stamp-hw trace info` lists")
    return found


def check_n_hi(trace: Trace, config: NpuConfig, names: Sequence[str]) -> None:
    """Raise ConfigError where a job's n_hi is beyond the tokens of each of these layers that takes it."""
    layers = []
    for name in names:
        entry = trace.entry(name)
        layers.append((entry.kind, trace.tensor(entry.input).shape[0]))
    config.check_n_hi(layers)
