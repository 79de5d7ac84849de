"""Captures the input of every linear layer of a causal language model into a trace, a sequence a run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from models.dump.assemble import assemble
from models.dump.capture import Recorder, hooked
from models.dump.parts import Parts
from models.dump.ranges import check
from models.load.hub import running
from models.load.kinds import Survey, survey
from models.load.tensors import dtype_of
from stamp_hw.positions import Which

_CAPTURE = "capture"


def dump(model: Any, captured: np.ndarray, calibration: np.ndarray | None, out: Any, metadata: Mapping[str, Any], *,
         layers: str = "", outliers: Which = "auto", fingerprint: str = "",
         progress: Callable[[str], None] = lambda line: None) -> None:
    """Run `captured` through the model and write a trace of the chosen layers.

    Parameters
    ----------
    model : a causal language model in evaluation mode; tensors are stored in its own dtype
    captured : int64[S], the sequence whose activations are stored
    calibration : int64[N, S], the sequences whose absmax gives the static scales, or None for `calibration: self`
    out, metadata : as for `TraceWriter`; calibration and versions are added
    layers : regular expression that a layer's name must contain
    outliers : tokens that are kept out of the transform; they take no part in s_x. Found ones are those of each layer
    fingerprint : tells the model's files from others, so that an interrupted dump of these goes on (see `Parts`)
    progress : called with a line of text at every step

    Raises TraceError and OutputError as `TraceWriter` does.
    """
    found = survey(model, "causal", layers)
    check(outliers, len(captured))
    sequences = [] if calibration is None else list(calibration)
    described = describe(found, metadata, ("numpy", "torch", "transformers"), len(sequences))
    settings = {**described, "fingerprint": fingerprint, "layers": layers, "outliers": outliers,
                "tokens": [hashlib.sha256(np.asarray(row, "<i8").tobytes()).hexdigest()
                           for row in (captured, *sequences)]}
    runs = {f"calibration{number}": row for number, row in enumerate(sequences, 1)}
    with Parts(out, settings) as parts:
        for number, (name, row) in enumerate({**runs, _CAPTURE: captured}.items(), 1):
            if not parts.done(name):
                said = "capturing" if name == _CAPTURE else f"calibrating {number}/{len(runs)}, layer"
                _run(model, row, parts, name, found, said, progress)
        progress("writing")
        assemble(out, parts, found.layers, described, captures={_CAPTURE: ""}, measured=list(runs),
                 outliers=outliers)
        parts.remove()


def describe(found: Survey, metadata: Mapping[str, Any], packages: tuple[str, ...], count: int) -> dict[str, Any]:
    """Metadata of a trace whose scales are static over `count` sequences, or of the tensor itself with none.

    Layers that no rule knows are warned of.
    """
    found.warn("recorded as kind other")
    dtypes = sorted({dtype_of(layer.weight) for layer in found.layers})
    return {**metadata, "linear_layers": found.total, "dtype": ", ".join(dtypes),
            "versions": {name: version(name) for name in packages},
            "calibration": f"static: {count} sequence{'s' * (count > 1)}" if count else "self",
            **({"not_covered": list(found.not_covered)} if found.not_covered else {})}


def _run(model: Any, tokens: np.ndarray, parts: Parts, name: str, found: Survey, said: str,
         progress: Callable[[str], None]) -> None:
    """One forward pass into one part."""
    import torch

    with parts.writer(name) as part, torch.no_grad():
        record = Recorder(part, tokens=len(tokens), store=name == _CAPTURE, total=len(found.layers),
                          progress=lambda line: progress(f"{said} {line}"))
        with running(said), hooked(found.layers, record):
            model(input_ids=torch.from_numpy(tokens)[None].to(model.device), use_cache=False)
