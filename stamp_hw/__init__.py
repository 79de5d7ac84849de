"""STaMP quantization in hardware: the golden model, and what a program of yours imports.

>>> from stamp_hw import NpuConfig, Trace, run_linear

`NpuConfig` is the hardware and its job, `Trace` a file of captured layers, `Layer` one of them, `run_linear` the
bit-accurate engine. `stamp_hw.torch.StampLinear` stands in for a `torch.nn.Linear`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stamp_hw.config import NpuConfig
    from stamp_hw.engine.linear import run_linear
    from stamp_hw.formats.trace import Trace
    from stamp_hw.layer import Layer

    __version__: str

__all__ = ["Layer", "NpuConfig", "Trace", "__version__", "run_linear"]
#: Loaded when they are asked for, so that `stamp-hw --help` waits for none of them.
_WHERE = {"NpuConfig": "stamp_hw.config", "Layer": "stamp_hw.layer", "Trace": "stamp_hw.formats.trace",
          "run_linear": "stamp_hw.engine.linear"}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("stamp-hw")
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
