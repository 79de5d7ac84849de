"""The jobs of a prefill: its layers as `stamp-hw trace prefill` leaves them, the widest in several pieces."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stamp_hw.config import NpuConfig
from stamp_hw.errors import TraceError
from stamp_hw.formats.trace import Trace
from stamp_hw.rooms import sources_digest
from tb.engine.cases import Case

MOST = 4096  # output channels of a job: a vocabulary's layer is shared out among the processes
BLOCK_0 = r"\.0\."  # found in the names of the first block's layers


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A job of the engine: `channels` output channels, from `first` on, of a layer of `tokens` × `k`.

    `trace` holds the layer, `words` what all of it must give (a path of int16[W, N]), None for the golden model's.
    `key` tells it, and all that it is played with, from others.
    """

    layer: str
    kind: str
    tokens: int
    k: int
    first: int
    channels: int
    trace: str
    words: str | None
    key: str = ""

    @property
    def products(self) -> int:
        """Multiplications of the layer's tokens."""
        return self.tokens * self.k * self.channels

    def case(self, config: NpuConfig) -> Case:
        """Its registers, beats and words."""
        with Trace(self.trace) as trace:
            layer, shift = trace.layer(self.layer), trace.metadata.get("hadamard")
        own = config.for_kind(layer.kind)
        own = own if shift is None else own.with_job(hadamard=shift)
        part = slice(self.first, self.first + self.channels)
        layer = replace(layer, weight=layer.weight[part], bias=None if layer.bias is None else layer.bias[part])
        sent = None if self.words is None else np.load(self.words, mmap_mode="r", allow_pickle=False)[:, part]
        return Case.of(layer, own, sent=sent)


def of_index(folder: Path, index: Mapping[str, Any], pattern: str, run: str) -> list[Piece]:
    """The jobs of the layers in whose name the regular expression is found, in the model's order.

    Parameters
    ----------
    index : what `prefill.json` of the folder holds
    run : tells the hardware, the configuration and the models from others

    Raises TraceError for words that do not fit their layer.
    """
    found = []
    for row in index["layers"]:
        if re.search(pattern, row["name"]):
            found += list(_of_layer(folder, row, run))
    return found


def _of_layer(folder: Path, row: Mapping[str, Any], run: str) -> Iterator[Piece]:
    name, outputs = row["name"], int(row["n"])
    trace, words = folder / f"{name}.safetensors", words_path(folder, name)
    check_words(words, (row["tokens"] + len(row["outliers"]), outputs))
    content = _digest([run, _sha256(trace), _sha256(words)])
    for first in range(0, outputs, MOST):
        channels = min(MOST, outputs - first)
        yield Piece(layer=name, kind=row["kind"], tokens=row["tokens"], k=row["k"], first=first, channels=channels,
                    trace=str(trace), words=str(words), key=_digest([content, first, channels]))


def words_path(folder: Path, layer: str) -> Path:
    """Where a layer's words are."""
    return folder / f"{layer}.npy"


def check_words(path: Path, shape: tuple[int, int]) -> None:
    """Raise TraceError for a file that does not hold int16 of this shape."""
    try:
        words = np.load(path, mmap_mode="r", allow_pickle=False)
        got = f"{words.dtype}{list(words.shape)}"
    except (OSError, ValueError) as error:
        got = str(error)
    if got != f"int16{list(shape)}":
        raise TraceError("not the words of the layer", where=str(path), got=got, expected=f"int16{list(shape)}")


def run_digest(config: NpuConfig, files: Mapping[str, str]) -> str:
    """Tells hardware, configuration, golden model and cycle model from others: what was found with one of them changed
    is found anew."""
    return _digest([config.to_dict(), dict(files), sources_digest("stamp_hw", "sim")])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def total(pieces: Sequence[Piece]) -> int:
    """Products of them all."""
    return sum(piece.products for piece in pieces)
