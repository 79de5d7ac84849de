"""Hooks on the layers of a running model: each input goes to the disk when it is seen, and is dropped.

No more than one layer's activations are held beside the model, whatever its size.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from models.dump.parts import PartWriter, Seen
from models.load.kinds import Found
from models.load.tensors import absmax, coded, dtype_of, raw
from stamp_hw.errors import TraceError

#: How tensors of a part begin: a layer's input; absmax of each token of it, float32[sequences, S], of a sequence.
INPUT, ABSMAX = "input.", "absmax."
Hook = Callable[[Found, Any, Any], None]
Progress = Callable[[str], None]


@contextmanager
def hooked(layers: Sequence[Found], hook: Hook) -> Iterator[None]:
    """While the block runs, `hook(layer, x, y)` sees input and output of every layer that runs."""

    def attach(layer: Found) -> Any:
        return layer.module.register_forward_hook(lambda _, args, y: hook(layer, args[0], y))

    handles = [attach(layer) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def rows(value: Any, layer: Found, sequences: int) -> Any:
    """[sequences, tokens, channels] of a `Linear`'s [B, …, K] or a convolution's [B, K, H, W], tokens in raster order.

    What has no part for each sequence (a vector that all share) counts as one sequence.
    """
    import torch

    if isinstance(layer.module, torch.nn.Conv2d):
        value = value.permute(0, 2, 3, 1)
    count = value.numel() // value.shape[-1]
    return value.reshape(sequences if count % sequences == 0 else 1, -1, value.shape[-1])


class Recorder:
    """Puts what the layers of one run show into a part.

    Parameters
    ----------
    part : takes it; its `sequences` and `grid` are set before the run
    tokens : length of the model's sequence, or H·W of its grid
    store : False where only ranges are wanted. What is stored is the last sequence of the batch: with classifier-free
        guidance that is the conditional one
    where : names the run in messages
    total : number of layers, for `progress`
    """

    def __init__(self, part: PartWriter, *, tokens: int, store: bool = True, where: str = "",
                 total: int = 0, progress: Progress = lambda line: None) -> None:
        self.part, self.tokens, self.store = part, tokens, store
        self.where, self.total, self.progress = where, total, progress
        self._stored: dict[str, str] = {}  # digest → tensor

    def __call__(self, layer: Found, x: Any, y: Any) -> None:
        where = f"layer {layer.name}{self.where}"
        if layer.name in self.part.layers:
            raise TraceError("layer runs more than once a pass", where=where, expected="one input a layer")
        x, y = (rows(value, layer, self.part.sequences) for value in (x, y))
        fits = x.shape[1] == self.tokens
        if layer.sees == "tokens" and not fits:
            raise TraceError("layer does not see the model's tokens", where=where, got=f"{x.shape[1]} tokens",
                             expected=f"{self.tokens}")
        transform = layer.sees == "tokens" or (layer.sees == "unknown" and fits)
        ranges = absmax(x), absmax(y)
        if not all(map(math.isfinite, ranges)):
            raise TraceError("the model meets NaN or infinite activations", where=where, expected="finite values")
        name = self._store(layer, x[-1], where) if self.store else None
        if transform and self.part.grid is None:
            self._look(layer, x, where)
        self.part.layers[layer.name] = Seen(input=name, transform=transform, x=ranges[0], y=ranges[1])
        self.progress(f"{len(self.part.layers)}/{self.total}")

    def _store(self, layer: Found, x: Any, where: str) -> str:
        """The tensor that holds these values: stored now, or before by another layer that read the same ones."""
        value, dtype = coded(x, where), dtype_of(x)
        digest = _hashed(value, dtype)
        if digest not in self._stored:
            self._stored[digest] = f"{INPUT}{layer.name}"
            self._add(self._stored[digest], value, dtype, digest)
        return self._stored[digest]

    def _look(self, layer: Found, x: Any, where: str) -> None:
        """Store the absmax of each token."""
        low, high = x.detach().aminmax(dim=-1)
        value = coded(high.maximum(-low).float(), where)
        self._add(f"{ABSMAX}{layer.name}", value, "float32", _hashed(value, "float32"))

    def _add(self, name: str, value: Any, dtype: str, digest: str) -> None:
        self.part.file.add(name, value, dtype)
        self.part.digests[name] = digest


def _hashed(value: Any, dtype: str) -> str:
    hashed = digest_of(dtype, value.shape)
    hashed.update(raw(value))
    return str(hashed.hexdigest())


def digest_of(dtype: str, shape: tuple[int, ...]) -> Any:
    """SHA-256 of a tensor that its bytes are to be added to."""
    return hashlib.sha256(f"{dtype} {list(shape)}\n".encode())
