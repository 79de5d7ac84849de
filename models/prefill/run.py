"""Runs a causal language model over the first tokens of a text, every linear layer computed by the golden model or by
whoever answers; the host does norms, attention and activations in float."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.evaluate.language import predictions
from models.load.checkpoint import Checkpoint, load, sequences
from models.load.hub import fingerprint, locate, require_torch, running
from models.load.kinds import Found, survey
from models.prefill.calibrate import Setting, calibrate
from models.prefill.hosted import Asking, Golden, HostedLinear, Reached, say
from models.prefill.store import Store
from stamp_hw.config import NpuConfig
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.wire import WeightFormat
from stamp_hw.errors import ConfigError, TraceError
from stamp_hw.rooms import sources_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefill:
    """What is run: the first `tokens` of `text`; scales and shifts from `sequences` of as many tokens of `calibration`;
    `layers` is a regular expression, behind whose last layer the run ends."""

    model: str
    text: Path
    calibration: Path
    sequences: int
    tokens: int
    layers: str
    config: NpuConfig

    def __post_init__(self) -> None:
        if self.tokens < 2:
            raise TraceError("no prefill", where="--tokens", got=self.tokens, expected="2 tokens at least")
        if self.tokens > self.config.hw.max_tokens:
            raise ConfigError("too many tokens for the hardware", where="--tokens", got=self.tokens,
                              expected=f"at most hw.max_tokens = {self.config.hw.max_tokens}")
        for where, job in (("job", self.config.job), *((f"kinds.{kind}", job) for kind, job in self.config.kinds)):
            if job.calibration == "self" or job.outliers != "auto":
                raise ConfigError("a prefill has scales and outliers of its calibration",
                                  where=f"{where}.{'calibration' if job.calibration == 'self' else 'outliers'}",
                                  got=job.calibration if job.calibration == "self" else job.outliers, expected="auto")

    def settings(self) -> dict[str, Any]:
        """All that decides a layer's input and words."""
        return {"model": self.model, "fingerprint": fingerprint(locate(self.model)), "tokens": self.tokens,
                "sequences": self.sequences, "text": self.text.name, "calibration": self.calibration.name,
                "sha256": [_sha256(path) for path in (self.text, self.calibration)], "config": self.config.to_dict(),
                "sources": sources_digest("stamp_hw", "models")}


def store(prefill: Prefill, folder: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    """Run the quantized model once and keep its layers in `folder`; returns what `prefill.json` says.

    Layers that an earlier run has finished are not computed again, and nothing is run where all are there. Raises
    TraceError, ConfigError and LayerError for what cannot be run.
    """
    kept = Store(folder, prefill.settings())
    found = kept.index()
    if found is not None and set(_chosen(prefill.layers, found["model_layers"])) <= {
            row["name"] for row in found["layers"]}:
        return found
    began = time.time()
    checkpoint, layers, tokens, settings = _ready(prefill, progress)
    names = [layer.name for layer in layers]
    golden = Golden(kept, set(_chosen(prefill.layers, names)), progress)
    with torch.inference_mode(), running("prefill"):
        reference = _perplexity(checkpoint.model, tokens)
        with _hosted(checkpoint.model, layers, settings, prefill.config, golden):
            try:
                perplexity: float | None = _perplexity(checkpoint.model, tokens)
            except Reached:
                perplexity = None
    kept.finish({"model_layers": names, "layers": golden.rows, "following": golden.following, "perplexity": perplexity,
                 "float_perplexity": reference, "began": began, "ended": time.time()})
    return kept.index() or {}


def ask(prefill: Prefill, folder: Path) -> None:
    """Run the model as far as its chosen layers, each answered from standard input (`models.prefill.hosted.Asking`)."""
    checkpoint, layers, tokens, settings = _ready(prefill, lambda line: None)
    wanted = set(_chosen(prefill.layers, [layer.name for layer in layers]))
    asking = Asking(Store(folder, prefill.settings()), wanted)
    with (torch.inference_mode(), running("prefill"),
          _hosted(checkpoint.model, layers, settings, prefill.config, asking)):
        try:
            say({"perplexity": _perplexity(checkpoint.model, tokens)})
        except Reached:
            say({})


def _ready(prefill: Prefill, progress: Callable[[str], None]
           ) -> tuple[Checkpoint, Sequence[Found], np.ndarray, dict[str, Setting]]:
    """(model, its layers, tokens int64[S], what calibration says). On one thread, so that float sums have one order."""
    require_torch()
    torch.set_num_threads(1)
    progress("loading")
    checkpoint = load(prefill.model, "float32")
    tokens = sequences(checkpoint, prefill.text, 1, prefill.tokens)[0]
    rows = sequences(checkpoint, prefill.calibration, prefill.sequences, prefill.tokens)
    layers = survey(checkpoint.model, "causal").layers
    _chosen(prefill.layers, [layer.name for layer in layers])
    _check_fit(layers, prefill.config, prefill.tokens)
    return checkpoint, layers, tokens, calibrate(checkpoint.model, layers, prefill.config, rows, progress)


def _check_fit(layers: Sequence[Found], config: NpuConfig, tokens: int) -> None:
    """Raise ConfigError for a layer that the hardware has no job for, before anything runs."""
    params = EngineParams.of(config.hw)
    for layer in layers:
        own, (n, k) = config.for_kind(layer.kind), layer.weight.shape
        try:
            job = own.resolve(tokens, None, n_sink=0, k=k, transform=layer.sees == "tokens")
            EngineJob.of(job, k=k, n=n, params=params, symmetric=own.job.symmetric, group=own.job.group,
                         weights=WeightFormat.of(own.hw, own.job), shift=None if own.hadamard is None else 0)
        except ConfigError as error:
            raise ConfigError(error.what, where=f"layer {layer.name}, {error.where}", got=error.got,
                              expected=error.expected) from None


@contextmanager
def _hosted(model: Any, layers: Sequence[Found], settings: dict[str, Setting], config: NpuConfig, words: Any
            ) -> Iterator[None]:
    """While the block runs, `words` computes the model's linear layers."""
    for layer in layers:
        _place(model, layer, HostedLinear(layer, settings[layer.name], config, words))
    try:
        yield
    finally:
        for layer in layers:
            _place(model, layer, layer.module)


def _place(model: Any, layer: Found, module: Any) -> None:
    path, _, attribute = layer.name.rpartition(".")
    setattr(model.get_submodule(path), attribute, module)


def _perplexity(model: Any, tokens: np.ndarray) -> float:
    """Of the tokens behind the first, int64[S]."""
    row = torch.from_numpy(tokens)
    log_p = predictions(model, row[None])
    return math.exp(float(-log_p.gather(1, row[1:, None]).double().mean()))


def _chosen(pattern: str, names: Sequence[str]) -> list[str]:
    """The names in which the regular expression is found. Raises TraceError for one that is none, or finds none."""
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise TraceError("not a regular expression", where="--layers", got=f"{pattern} ({error})") from error
    found = [name for name in names if wanted.search(name)]
    if not found:
        raise TraceError("no linear layer matches", where="--layers", got=pattern,
                         expected=f"a pattern found in a name such as {names[0]}")
    return found


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise TraceError("cannot read text", where=str(path), got=error.strerror or str(error),
                         expected="a UTF-8 text file") from error
