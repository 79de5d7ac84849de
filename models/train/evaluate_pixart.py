"""Held-out denoising loss of a checkpoint, of simple predictors on the same noise and of its random-weight twin.

``python -m models.train.evaluate_pixart [FOLDER]`` prints them. The pictures are the checkpoint's own
``heldout.safetensors``; what the linear predictors know of the training pictures is there too.

The loss is the mean square of predicted minus true noise, whose variance is 1; the levels are spread evenly over 0…999.
"""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.load.checkpoint import run_command
from models.load.hub import first_line, quiet, read_json, require_torch
from models.train.small_pixart import (
    LEVELS,
    SIDE,
    add_noise,
    caption,
    encode_captions,
    load,
    noise_levels,
    predict,
    random_twin,
    scaled,
)
from stamp_hw.errors import TraceError
from stamp_hw.formats.files import atomic_file

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parents[1] / "pixart_small"
DATA, RECORD = "heldout.safetensors", "training.json"
TWIN_SEED = 1
#: Each held-out picture is seen with so much noise of its own, drawn with this seed.
DRAWS, NOISE_SEED = 3, 0
_BATCH = 57


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """`pixels` uint8[n, 3, 32, 32] and `labels` int64[n]; `mean` and `variance`, float32[3, 32, 32], of the training
    pictures' coefficients (`transformed`)."""

    pixels: np.ndarray
    labels: np.ndarray
    mean: np.ndarray
    variance: np.ndarray

    def noisy(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(which picture, level, noise) of each of the n · `DRAWS` trials, int64, int64, float32[…, 3, 32, 32]."""
        rng, count = np.random.default_rng(NOISE_SEED), len(self.pixels) * DRAWS
        which = np.repeat(np.arange(len(self.pixels)), DRAWS)
        levels = ((rng.permutation(count) + rng.random(count)) * LEVELS / count).astype(np.int64)
        return which, levels, rng.standard_normal((count, 3, SIDE, SIDE), dtype=np.float32)


def transformed(x: np.ndarray) -> np.ndarray:
    """Orthonormal coefficients of [n, 3, 32, 32]: three opponent colours, cosine transform along both axes. In them
    photographs are nearly uncorrelated, so that a gain for each comes near to the best linear filter."""
    frequency, place = np.arange(SIDE)[:, None], np.arange(SIDE)[None]
    cosine = np.sqrt(2 / SIDE) * np.cos(np.pi * frequency * (2 * place + 1) / (2 * SIDE))
    cosine[0] /= np.sqrt(2)
    colours = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    found: np.ndarray = (colours @ (cosine @ x @ cosine.T).reshape(len(x), 3, -1)).reshape(x.shape)
    return found


def write_held_out(path: Path, pixels: np.ndarray, labels: np.ndarray, training_pixels: np.ndarray) -> None:
    """Write the file that `read_held_out` reads."""
    from safetensors.numpy import save

    coefficients = transformed(scaled(training_pixels))
    content = save({"pixels": np.ascontiguousarray(pixels), "labels": labels,
                    "mean": coefficients.mean(0).astype(np.float32),
                    "variance": coefficients.var(0).astype(np.float32)})
    with atomic_file(path, "wb") as stream:
        stream.write(content)


def read_held_out(folder: Path) -> HeldOut:
    """The held-out pictures of a checkpoint's folder. Raises TraceError."""
    require_torch()
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / DATA
    try:
        held_out = HeldOut(**load_file(path))
    except (OSError, SafetensorError, TypeError) as error:
        raise TraceError("cannot read held-out pictures", where=str(path), got=first_line(error),
                         expected="a folder that models.train.pixart wrote") from error
    expected = {"pixels": (len(held_out.pixels), 3, SIDE, SIDE), "labels": (len(held_out.pixels),),
                "mean": (3, SIDE, SIDE), "variance": (3, SIDE, SIDE)}
    for name, shape in expected.items():
        if getattr(held_out, name).shape != shape:
            raise TraceError("cannot read held-out pictures", where=f"{path}, {name}",
                             got=getattr(held_out, name).shape, expected=f"shape {shape}")
    return held_out


def read_kinds(folder: Path) -> tuple[str, ...]:
    """Names of the kinds of picture of a checkpoint, in the order of the labels."""
    kinds = read_json(folder / RECORD, str(folder)).get("kinds")
    if not isinstance(kinds, list) or not kinds or not all(isinstance(kind, str) for kind in kinds):
        raise TraceError("no kinds of picture", where=str(folder / RECORD), got=kinds, expected="a list of names")
    return tuple(kinds)


def losses(pipe: Any, transformer: Any, held_out: HeldOut, kinds: tuple[str, ...], trials: slice = slice(None)
           ) -> np.ndarray:
    """float64[trials]: the transformer's loss in each trial (or those of a slice), with the picture's own caption."""
    import torch

    text, mask = encode_captions(pipe, [caption(kind) for kind in kinds])
    which, levels, noise = (value[trials] for value in held_out.noisy())
    found = []
    with torch.inference_mode():
        for first in range(0, len(which), _BATCH):
            part = slice(first, first + _BATCH)
            target = torch.from_numpy(noise[part])
            labels = torch.from_numpy(held_out.labels[which[part]])
            noisy = add_noise(torch.from_numpy(scaled(held_out.pixels[which[part]])), target, levels[part])
            error = predict(transformer, noisy, levels[part], text[labels], mask[labels]) - target
            found.append(error.square().mean((1, 2, 3)).double().numpy())
    return np.concatenate(found)


def baselines(held_out: HeldOut) -> dict[str, np.ndarray]:
    """Loss in each trial of: predicting zero; the noisy picture times the best factor for its level; the best gain for
    its level of each cosine coefficient (a Wiener filter with the training pictures' mean and spectrum)."""
    which, levels, noise = held_out.noisy()
    a, sigma = (value[levels][:, None, None, None] for value in noise_levels())
    target, mean, variance = transformed(noise.astype(np.float64)), held_out.mean, held_out.variance
    noisy = a * transformed(scaled(held_out.pixels)[which].astype(np.float64)) + sigma * target
    power = float(np.mean(np.square(mean) + variance))
    found = {"zero": np.zeros_like(target), "factor": sigma / (a**2 * power + sigma**2) * noisy,
             "wiener": sigma / (a**2 * variance + sigma**2) * (noisy - a * mean)}
    return {name: np.square(value - target).mean((1, 2, 3)) for name, value in found.items()}


def figures(folder: Path) -> dict[str, np.ndarray]:
    """Loss in each trial of the trained model (``trained``), of the `baselines` and of the ``random_twin``."""
    held_out, kinds = read_held_out(folder), read_kinds(folder)
    pipe = load(folder)
    return {"trained": losses(pipe, pipe.transformer, held_out, kinds), **baselines(held_out),
            "random_twin": losses(pipe, random_twin(pipe.transformer, TWIN_SEED), held_out, kinds)}


def by_quarter(loss: np.ndarray, levels: np.ndarray) -> list[float]:
    """Mean loss of the trials in each quarter of the levels, least noise first."""
    return [float(loss[levels * 4 // LEVELS == quarter].mean()) for quarter in range(4)]


def main(argv: list[str] | None = None) -> int:
    """Print the five losses, each also by quarter of the noise levels."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    folder = parser.parse_args(argv).folder
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    require_torch()
    with quiet():
        found = figures(folder)
    held_out = read_held_out(folder)
    levels = held_out.noisy()[1]
    log.info("held-out denoising loss, %d pictures, %d noises each", len(held_out.pixels), DRAWS)
    log.info("  %-12s %8s   %s", "", "mean", "by quarter of the levels, least noise first")
    for name, loss in found.items():
        log.info("  %-12s %8.4f   %s", name, loss.mean(), "  ".join(f"{part:.4f}" for part in by_quarter(loss, levels)))
    log.info("trained / zero: %.3f", found["trained"].mean() / found["zero"].mean())
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
