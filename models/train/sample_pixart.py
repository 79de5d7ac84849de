"""Draws samples of the small PixArt beside those of its random-weight twin:

``python -m models.train.sample_pixart --out docs/images/pixart_samples.png``

A row is a kind of picture, each picture has a seed of its own, 0…15, and nothing is picked out. Both models start from
the same noise and run the same pipeline.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np

from models.load.checkpoint import run_command
from models.load.hub import quiet, require_torch
from models.train.evaluate_pixart import FOLDER, TWIN_SEED, read_kinds
from models.train.small_pixart import SIDE, caption, load, random_twin
from stamp_hw.formats.files import atomic_file

log = logging.getLogger(__name__)

ROWS = COLUMNS = 4
STEPS, GUIDANCE = 20, 3.0


def sample(pipe: Any, kinds: tuple[str, ...], steps: int = STEPS) -> np.ndarray:
    """float32[4, 4, 32, 32, 3] in 0…1: four pictures of each of the first four kinds."""
    import torch

    prompts = [caption(kinds[row % len(kinds)]) for row in range(ROWS) for _ in range(COLUMNS)]
    pictures = pipe(prompt=prompts, num_inference_steps=steps, guidance_scale=GUIDANCE, height=SIDE, width=SIDE,
                    generator=[torch.Generator("cpu").manual_seed(seed) for seed in range(len(prompts))],
                    output_type="np", clean_caption=False, use_resolution_binning=False).images
    found: np.ndarray = pictures.reshape(ROWS, COLUMNS, SIDE, SIDE, 3)
    return found


def draw(out: Path, titled: dict[str, np.ndarray], kinds: tuple[str, ...]) -> None:
    """Write a PNG with a grid of pictures for each title."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(titled), 4.9), dpi=110)
    for number, (title, grid) in enumerate(titled.items()):
        axes = figure.add_axes(((number + 0.08) / len(titled), 0.01, 0.91 / len(titled), 0.92))
        # A white line of a pixel between pictures, each pixel three by three.
        framed = np.pad(grid, ((0, 0), (0, 0), (0, 1), (0, 1), (0, 0)), constant_values=1.0)
        joined = framed.transpose(0, 2, 1, 3, 4).reshape(ROWS * (SIDE + 1), COLUMNS * (SIDE + 1), 3)
        axes.imshow(joined.repeat(3, 0).repeat(3, 1), interpolation="nearest")
        axes.set_title(title, fontsize=11)
        axes.set_xticks([])
        axes.set_yticks([(row + 0.5) * 3 * (SIDE + 1) for row in range(ROWS)],
                        [kinds[row % len(kinds)] for row in range(ROWS)], rotation=90, va="center", fontsize=9)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    with atomic_file(out, "wb") as stream:
        figure.savefig(stream, format="png", metadata={"Software": None})


def main(argv: list[str] | None = None) -> int:
    """Draw 4 × 4 samples of the trained model and of the random-weight twin."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    require_torch()
    kinds = read_kinds(options.folder)
    with quiet():
        pipe = load(options.folder)
        grids = {"trained": sample(pipe, kinds)}
        pipe.transformer = random_twin(pipe.transformer, TWIN_SEED)
        grids["the same model with random weights"] = sample(pipe, kinds)
    draw(options.out, grids, kinds)
    log.info("%s", options.out)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
