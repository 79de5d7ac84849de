"""A linear layer of a running model whose product comes from elsewhere: the golden model, or whoever answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.dump.ranges import outliers_of_run
from models.load.kinds import Found
from models.prefill.calibrate import Setting, job_of
from models.prefill.store import Store
from stamp_hw.config import NpuConfig
from stamp_hw.engine.linear import run_linear
from stamp_hw.engine.wire_layer import arrange
from stamp_hw.errors import TraceError
from stamp_hw.layer import Layer


class Reached(Exception):
    """The model has come to a layer behind all that are wanted."""


class HostedLinear(torch.nn.Module):
    """Stands in a model for one of its linear layers; takes one sequence, float[1, S, K].

    `words(layer, config)` gives int16[W, N] in the order of the wire, `outliers` in front.
    """

    def __init__(self, found: Found, setting: Setting, config: NpuConfig,
                 words: Callable[[Layer, NpuConfig, Setting], np.ndarray]) -> None:
        super().__init__()
        self.found, self.setting, self.words = found, setting, words
        self.config = job_of(config, found.kind, setting.shift)

    def forward(self, x: Tensor) -> Tensor:
        """float[1, S, N]."""
        layer = layer_of(self.found, self.setting, x[0].float().numpy())
        own = arrange(layer, self.config).own
        words = self.words(layer, self.config, self.setting)
        y = words[own].astype(np.float32) * np.float32(self.setting.s_y)
        return torch.from_numpy(y)[None].to(x.dtype)


def layer_of(found: Found, setting: Setting, x: np.ndarray) -> Layer:
    """The layer with its input float32[S, K], and the outliers that are in it."""
    tokens = found.sees == "tokens"
    absmax = np.abs(x).max(axis=1)
    return Layer(found.name, np.ascontiguousarray(x), found.weight.float().numpy(),
                 None if found.bias is None else found.bias.float().numpy(), kind=found.kind, s_x=setting.s_x,
                 s_y=setting.s_y, transform=tokens,
                 outliers=outliers_of_run(absmax, "auto", setting.threshold) if tokens else ())


class Golden:
    """Answers by the golden model, keeps every layer in a store, and remembers what it saw of each (`rows`)."""

    def __init__(self, store: Store, wanted: set[str], progress: Callable[[str], None]) -> None:
        self.store, self.left, self.progress = store, set(wanted), progress
        self.rows: list[dict[str, Any]] = []
        self.following: str | None = None  # the layer that the model came to when all wanted ones had run

    def __call__(self, layer: Layer, config: NpuConfig, setting: Setting) -> np.ndarray:
        """Raises Reached."""
        key = self.store.key(layer.x)
        if not self.left:
            self.following = layer.name
            if self.store.known(layer, key) is None:
                self.store.add(layer, key, setting.shift, setting.threshold)
            raise Reached
        self.progress(f"layer {len(self.rows) + 1}, {layer.name}")
        words = self.store.known(layer, key)
        if words is None:
            words = run_linear(layer, config).sent
            self.store.add_words(layer.name, words)
            self.store.add(layer, key, setting.shift, setting.threshold)
        self.rows.append({"name": layer.name, "kind": layer.kind, "tokens": len(layer.x), "k": layer.x.shape[1],
                          "n": len(layer.weight), "outliers": list(layer.outliers), "hadamard": setting.shift})
        self.left.discard(layer.name)
        return words


class Asking:
    """Answers by whoever reads standard output: a line of JSON with a layer's trace goes out, a line with the path of
    its words, int16[W, N], comes in on standard input."""

    def __init__(self, store: Store, wanted: set[str]) -> None:
        self.store, self.left = store, set(wanted)

    def __call__(self, layer: Layer, _: NpuConfig, setting: Setting) -> np.ndarray:
        """Raises Reached, and TraceError for an answer that is none."""
        path = self.store.add(layer, self.store.key(layer.x), setting.shift, setting.threshold)
        say({"layer": layer.name, "trace": str(path), "wanted": bool(self.left)})
        if not self.left:
            raise Reached
        self.left.discard(layer.name)
        answer = sys.stdin.readline()
        try:
            words: np.ndarray = np.load(Path(json.loads(answer)["words"]), allow_pickle=False)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TraceError("no answer", where=f"layer {layer.name}", got=answer.strip() or "the end of the input",
                             expected="a line of JSON with the path of the layer's words") from error
        return words


def say(message: dict[str, Any]) -> None:
    """A line of JSON on standard output, at once."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
