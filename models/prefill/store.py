"""The layers of a prefill on the disk: of each a trace with its input, weights and scales, and the words that it gave.

A layer is there once its trace is, which is written last; `prefill.json` says which layers there are and what of. A
trace's metadata holds `key`, which tells its input and settings from others, and `hadamard`, the shift of its job.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stamp_hw.errors import TraceError
from stamp_hw.formats.files import atomic_file, write_json
from stamp_hw.formats.trace import Trace, TraceWriter
from stamp_hw.layer import Layer

INDEX = "prefill.json"


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON-able value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


class Store:
    """A folder of layers; `settings` is what all of them were made with."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder, self.settings, self.digest = folder, dict(settings), digest_of(settings)

    def trace(self, name: str) -> Path:
        """Where the trace of a layer is."""
        return self.folder / f"{name}.safetensors"

    def words(self, name: str) -> Path:
        """Where its words are: int16[W, N], in the order of the wire."""
        return self.folder / f"{name}.npy"

    def index(self) -> dict[str, Any] | None:
        """What an earlier run of these settings has left; None where there was none."""
        path = self.folder / INDEX
        try:
            found = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and found.get("digest") == self.digest else None

    def finish(self, found: Mapping[str, Any]) -> None:
        """Say what is there."""
        write_json(self.folder / INDEX, {"digest": self.digest, "settings": self.settings, **found})

    def key(self, x: np.ndarray) -> str:
        """Tells a layer's input float32[S, K] of these settings from others."""
        return digest_of([self.digest, list(x.shape), hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()])

    def known(self, layer: Layer, key: str) -> np.ndarray | None:
        """The words of a layer that an earlier run has finished on the same input."""
        try:
            with Trace(self.trace(layer.name)) as trace:
                same = trace.metadata.get("key") == key
            words = np.load(self.words(layer.name), allow_pickle=False) if same else None
        except (OSError, ValueError, TraceError):
            return None
        return words if words is not None and words.shape[1:] == (len(layer.weight),) else None

    def add_words(self, name: str, words: np.ndarray) -> None:
        """Store what a layer gave."""
        with atomic_file(self.words(name), "wb") as stream:
            np.save(stream, words, allow_pickle=False)

    def add(self, layer: Layer, key: str, shift: int | None, threshold: float | None) -> Path:
        """Store a layer."""
        calibration = f"static: {self.settings['sequences']} sequences of {self.settings['calibration']}"
        described = {"calibration": calibration, "key": key, "hadamard": shift,
                     **{name: self.settings[name] for name in ("model", "text")}}
        path = self.trace(layer.name)
        with TraceWriter(path, described) as writer:
            writer.add_input(layer.name, layer.x, "float32")
            writer.add_layer(name=layer.name, kind=layer.kind, input_key=layer.name, weight=layer.weight,
                             bias=layer.bias, outliers=layer.outliers, s_x=layer.s_x, s_y=layer.s_y,
                             transform=layer.transform, threshold=threshold)
        return path
