"""What the hardware's integers do to a text-to-image model: SQNR of the final latent and of the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.dump.images import run_pipeline
from models.evaluate.integer_model import IntegerModel, Watch
from models.evaluate.language import FLOAT, WEIGHTS, added, layers_report
from models.evaluate.processes import each
from models.load.hub import running
from models.load.pipeline import ImagePipeline
from stamp_hw.config import NpuConfig
from stamp_hw.engine.linear import decibels
from stamp_hw.schemes import SHUFFLED


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What is drawn: every prompt from its own generator of `seed`, in `steps` steps, `size` (H, W) in pixels."""

    prompts: tuple[str, ...]
    steps: int
    size: tuple[int, int]
    seed: int
    guidance: float


@dataclass(frozen=True, slots=True, eq=False)
class ImageScore:
    """`latent` and `picture`: (signal, noise, values) summed over the prompts, noise against the float model's;
    `layers` by name, empty where none were watched."""

    latent: np.ndarray
    picture: np.ndarray
    layers: Mapping[str, Watch]


def draw(pipeline: ImagePipeline, drawing: Drawing, prompt: str, seed: int) -> tuple[Tensor, Tensor]:
    """(final latent, picture in 0…1) of a prompt, float64."""
    latent = run_pipeline(pipeline, prompt, steps=drawing.steps, size=drawing.size, seed=seed,
                          guidance=drawing.guidance)
    vae = pipeline.pipe.vae
    decoded = vae.decode(latent.to(vae.dtype) / vae.config.scaling_factor, return_dict=False)[0]
    return latent.double(), (decoded.double() / 2 + 0.5).clamp(0, 1)


@contextmanager
def grid_of(pipeline: ImagePipeline, use: Callable[[tuple[int, int]], Any]) -> Iterator[None]:
    """While the block runs, `use` is told the grid of tokens before each pass of the transformer."""
    patch = int(pipeline.transformer.config.patch_size)

    def hook(_: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        latents = args[0] if args else kwargs["hidden_states"]
        use((latents.shape[2] // patch, latents.shape[3] // patch))

    handle = pipeline.transformer.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def score_images(pipeline: ImagePipeline, integer: IntegerModel, schemes: Mapping[str, NpuConfig], drawing: Drawing,
                 progress: Callable[[str], None] = lambda line: None, jobs: int = 1) -> dict[str, ImageScore]:
    """Scores of the integers' weights alone and of every scheme against the float model, same prompts and noise; so
    many prompts at a time, each in a process of its own."""
    runs: dict[str, tuple[NpuConfig, dict[str, bool]]] = {
        WEIGHTS: (next(iter(schemes.values())), {"activations": False}),
        **{name: (config, {"watch": True, "shuffled": name == SHUFFLED}) for name, config in schemes.items()}}

    def run(number: int) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], dict[str, dict[str, Watch]]]:
        said, prompt = f"prompt {number + 1}/{len(drawing.prompts)}", drawing.prompts[number]
        watched: dict[str, dict[str, Watch]] = {}
        with torch.inference_mode(), running(pipeline.name), grid_of(pipeline, integer.set_grid):
            progress(f"{said}, {FLOAT}")
            wanted = draw(pipeline, drawing, prompt, drawing.seed)
            powers = {FLOAT: _powers(wanted, wanted)}
            for name, (config, how) in runs.items():
                progress(f"{said}, {name}")
                with integer.integer(config, **how):
                    powers[name] = _powers(draw(pipeline, drawing, prompt, drawing.seed), wanted)
                if "watch" in how:
                    watched[name] = integer.watched()
        return powers, watched

    with each(run, range(len(drawing.prompts)), jobs) as drawn:
        found = list(drawn)
    return {name: ImageScore(sum((powers[name][0] for powers, _ in found), np.zeros(3)),
                             sum((powers[name][1] for powers, _ in found), np.zeros(3)),
                             added([watched[name] for _, watched in found if name in watched]))
            for name in (FLOAT, *runs)}


def _powers(got: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """(signal, noise, values) of the latent and of the picture."""
    latent, picture = (np.array([float(other.pow(2).sum()), float((one - other).pow(2).sum()), other.numel()])
                       for one, other in zip(got, wanted, strict=True))
    return latent, picture


def image_report(scores: Mapping[str, ImageScore]) -> list[dict[str, Any]]:
    """A row a model: SQNR of the final latent and of the picture, PSNR of the picture (peak 1), in dB; the layers."""
    rows = []
    for name, score in scores.items():
        rows.append({"scheme": name, "average_bits": None, "latent_sqnr_db": decibels(*score.latent[:2]),
                     "picture_sqnr_db": decibels(*score.picture[:2]),
                     "picture_psnr_db": decibels(score.picture[2], score.picture[1]), **layers_report(score.layers)})
    return rows
