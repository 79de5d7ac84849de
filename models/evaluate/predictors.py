"""A study: which figure of layers predicts what quantization does to a language model?

Many configurations of a model run whole, and their KL divergence is measured. The candidates are computed layer by
layer, each reading what the float model gives it (`models.evaluate.expected`), and are ranked by their rank correlation
with the divergence, and by how far a straight line in the logarithms of both is off.

    python -m models.evaluate.predictors --model models/llama_small --text FILE --calibration FILE --json FILE
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.evaluate.expected import contribution, look
from models.evaluate.integer_model import IntegerModel, ranges_of, rotations_of
from models.evaluate.language import score_text, text_report
from models.load.checkpoint import load, run_command, sequences
from models.load.hub import quiet
from models.load.kinds import survey
from stamp_hw import schemes
from stamp_hw.config import NpuConfig
from stamp_hw.engine.linear import decibels
from stamp_hw.formats.files import finite, write_json
from stamp_hw.positions import Which

log = logging.getLogger(__name__)
_SEED = 0  # of the drawn tokens; a window adds its number
_NAMES = {"a8": "a8", "a4": "a4", "first_n": "first_n", "stamp": "stamp", "wide": "stamp, n_hi 64"}
#: Bits of the weights, rotation, outliers, schemes: what one set of integer layers runs.
SETS: tuple[tuple[int, str | None, Which, tuple[str, ...]], ...] = (
    (8, None, "auto", ("a8", "a4", "first_n", "stamp", "wide")),
    (8, None, "off", ("stamp", "wide")),
    (8, None, (0,), ("stamp", "wide")),
    (8, "hadamard", "auto", ("a8", "a4", "first_n", "stamp", "wide")),
    (4, None, "auto", ("a8", "a4", "stamp")),
    (4, "hadamard", "auto", ("a8", "stamp")),
)


@dataclass(slots=True)
class Sums:
    """Of one layer under one configuration, over the windows: powers of output and noise, the same without the first
    token, the largest ratio of a token's, and contributions to the divergence: as if the noise of a token's channels
    were alike, independent, and as it is."""

    signal: float = 0.0
    noise: float = 0.0
    later_signal: float = 0.0
    later_noise: float = 0.0
    worst_token: float = 0.0
    alike: float = 0.0
    by_value: float = 0.0
    by_token: float = 0.0

    def add(self, noise: Tensor, output: Tensor, gradient: Tensor) -> None:
        """One window: float[S, N] each."""
        e, y = (value.double().pow(2).sum(dim=1) for value in (noise, output))
        self.signal += float(y.sum())
        self.noise += float(e.sum())
        self.later_signal += float(y[1:].sum())
        self.later_noise += float(e[1:].sum())
        self.worst_token = max(self.worst_token, float((e / y.clamp(min=1e-30)).max()))
        self.by_value += 0.5 * float((noise * gradient).double().pow(2).sum())
        self.by_token += contribution(noise, gradient)
        self.alike += 0.5 * float((e * gradient.double().pow(2).sum(dim=1)).sum()) / noise.shape[1]


def candidates(layers: Sequence[Sums], tokens: int) -> dict[str, float]:
    """The figures that a configuration's layers give, larger for more noise."""
    ratios = np.array([one.noise / one.signal for one in layers])
    later = np.array([one.later_noise / one.later_signal for one in layers])
    return {
        "mean_db": -float(np.mean([decibels(one.signal, one.noise) for one in layers])),
        "worst_db": 10 * math.log10(ratios.max()),
        "later_mean_db": 10 * float(np.log10(later).mean()),
        "ratios": float(ratios.sum()),
        "later_ratios": float(later.sum()),
        "noisiest_token": sum(one.worst_token for one in layers),
        "alike": sum(one.alike for one in layers) / tokens,
        "by_value": sum(one.by_value for one in layers) / tokens,
        "by_token": sum(one.by_token for one in layers) / tokens,
    }


def ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks from 0 on, those of equal values their mean."""
    array = np.asarray(values)
    return np.array([(array < one).sum() + ((array == one).sum() - 1) / 2 for one in array])


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Rank correlation."""
    return float(np.corrcoef(ranks(one), ranks(other))[0, 1])


def fit(name: str, values: Sequence[float], kl: Sequence[float]) -> dict[str, float]:
    """How well a candidate predicts the divergence: rank correlation, and of the straight line through the logarithms
    (decibels are one) its slope, and the factor that it is typically off by (one standard deviation)."""
    x = np.asarray(values) * math.log(10) / 10 if name.endswith("db") else np.log(values)
    y = np.log(kl)
    slope, offset = np.polyfit(x, y, 1)
    return {"spearman": spearman(values, kl), "slope": float(slope),
            "factor": math.exp(float(np.std(y - slope * x - offset)))}


def job(name: str, config: NpuConfig) -> NpuConfig:
    """The configuration of a scheme of `SETS`."""
    return config.with_job(n_hi=64) if name == "wide" else schemes.configure(name, config)


def study(model: Any, windows: np.ndarray, calibration: np.ndarray) -> list[dict[str, Any]]:
    """A row a configuration: its name, perplexity and measured KL, and every candidate."""
    found = survey(model, "causal", "").layers

    def calibrate() -> None:
        for row in calibration:
            model(input_ids=torch.from_numpy(row)[None], use_cache=False)

    rows = []
    for bits, rotate, outliers, names in SETS:
        config = NpuConfig().with_job(weight_bits=bits)
        rotations = rotations_of(found, {}, rotate)
        which: dict[str, Which] = {layer.name: outliers for layer in found}
        integer = IntegerModel(model, found, config, rotations=rotations, outliers=which,
                               ranges=ranges_of(found, calibrate, rotations, {}, which))
        wanted = {name: job(name, config) for name in names}
        report = {row["scheme"]: row for row in text_report(score_text(model, integer, wanted, windows))}
        sums = _sums(model, integer, wanted, windows)
        said = f"{bits}-bit weights{', rotated' if rotate else ''}, outliers {_said(outliers)}"
        for name in names:
            row = {"set": said, "scheme": _NAMES[name], **{key: report[name][key] for key in (
                "perplexity", "kl", "kl_error")}}
            row["candidates"] = {
                "running_mean_db": -report[name]["layer_sqnr_db"], "running_worst_db": -report[name]["worst_sqnr_db"],
                **candidates(list(sums[name].values()), windows.shape[0] * (windows.shape[1] - 1))}
            rows.append(row)
            log.info("%s, %s: KL %.4f, expected %.4f", said, name, row["kl"], row["candidates"]["by_token"])
    return rows


def _sums(model: Any, integer: IntegerModel, wanted: Mapping[str, NpuConfig], windows: np.ndarray
          ) -> dict[str, dict[str, Sums]]:
    sums: dict[str, dict[str, Sums]] = {name: {layer.name: Sums() for layer in integer.layers} for name in wanted}
    for number, row in enumerate(windows):
        look(model, integer, wanted, row, _SEED + number, lambda layer, name, *what: sums[name][layer].add(*what))
    return sums


def _said(outliers: Which) -> str:
    return outliers if isinstance(outliers, str) else "first token"


def main(argv: list[str] | None = None) -> int:
    """Measure every configuration, rank the candidates, write all of it as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--model", required=True)
    for name in ("text", "calibration", "json"):
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="FILE")
    parser.add_argument("--sequences", type=int, default=2, metavar="N", help="windows (default 2)")
    parser.add_argument("--length", type=int, default=256, metavar="S", help="tokens of one (default 256)")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    checkpoint = load(options.model, "float32")
    windows, calibration = (sequences(checkpoint, text, options.sequences, options.length)
                            for text in (options.text, options.calibration))
    with quiet():
        rows = study(checkpoint.model, windows, calibration)
    kl = [row["kl"] for row in rows]
    fits = {name: fit(name, [row["candidates"][name] for row in rows], kl) for name in rows[0]["candidates"]}
    for name, one in sorted(fits.items(), key=lambda item: -item[1]["spearman"]):
        log.info("%-16s rank correlation %.3f, off by a factor of %.2f", name, one["spearman"], one["factor"])
    write_json(options.json, finite({"model": options.model, "windows": options.sequences, "length": options.length,
                                     "rows": rows, "fits": fits}))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
