"""The state of a training run of the small PixArt: what a step draws, what it changes, and how it is kept on the disk.

A step draws its pictures, noise and levels from a generator of its own, so an interruption changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from models.train.small_pixart import LEVELS, SIDE, add_noise, predict, scaled
from stamp_hw.errors import TraceError
from stamp_hw.formats.files import atomic_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides the checkpoint. The learning rate warms up linearly, stays, and falls linearly to 0 in
    the last `falling` steps in a hundred; `average` is the decay of the running mean of the weights, which is what is
    kept; `unlabelled` captions in a thousand are left empty, for classifier-free guidance."""

    seed: int = 0
    heads: int = 3
    blocks: int = 6
    batch: int = 8
    steps: int = 5600
    warmup: int = 200
    falling: int = 30
    peak_rate: float = 1e-3
    weight_decay: float = 0.01
    average: float = 0.998
    unlabelled: int = 100
    dtype: str = "bfloat16"

    @property
    def steady(self) -> int:
        """The first steps, which do not depend on how many there are in all."""
        return self.steps - self.steps * self.falling // 100


def initialise(transformer: Any) -> None:
    """PixArt's own start: the modulation small; cross-attention and the output add nothing yet."""
    import torch

    for name, value in transformer.named_parameters():
        if name.startswith(("adaln_single", "caption_projection")) and value.ndim == 2:
            torch.nn.init.normal_(value, std=0.02)
        elif name.startswith("proj_out") or ".attn2.to_out." in name or (name.endswith("bias") and value.ndim == 1):
            torch.nn.init.zeros_(value)
        elif value.ndim == 2 and name.endswith("weight"):
            torch.nn.init.xavier_uniform_(value)


def rate(step: int, recipe: Recipe) -> float:
    """Learning rate of a step."""
    left = (recipe.steps - step) / (recipe.steps - recipe.steady) if step >= recipe.steady else 1.0
    return recipe.peak_rate * min(left, (step + 1) / recipe.warmup if step < recipe.warmup else 1.0)


def draw(step: int, count: int, recipe: Recipe) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What a step takes: (indices below `count`, mirrored, unlabelled, levels, noise).

    Each epoch sees every picture once. A batch's levels are one in each equal part of 0…999.
    """
    rng = np.random.default_rng([recipe.seed, step])
    epoch, first = divmod(step * recipe.batch, count)
    places = np.arange(first, first + recipe.batch)
    orders = [np.random.default_rng([recipe.seed, 1 << 32, epoch + later]).permutation(count)
              for later in range(places[-1] // count + 1)]
    chosen = np.concatenate(orders)[places]
    levels = ((rng.permutation(recipe.batch) + rng.random(recipe.batch)) * LEVELS / recipe.batch).astype(np.int64)
    return (chosen, rng.random(recipe.batch) < 0.5, rng.integers(1000, size=recipe.batch) < recipe.unlabelled, levels,
            rng.standard_normal((recipe.batch, 3, SIDE, SIDE), dtype=np.float32))


class Run:
    """The state of a run: transformer, running mean of its weights, optimizer, steps done."""

    def __init__(self, transformer: Any, recipe: Recipe, pictures_sha256: str = "") -> None:
        import torch

        self.recipe, self.transformer, self.step = recipe, transformer, 0
        self._said = {"recipe": json.dumps({**asdict(recipe), "steps": None}), "pictures": pictures_sha256,
                      "torch": version("torch"), "diffusers": version("diffusers")}
        self.names, self.weights = zip(*transformer.named_parameters(), strict=True)
        self.mean = [value.detach().clone() for value in self.weights]
        matrices = [value for value in self.weights if value.ndim >= 2 and min(value.shape) > 8]
        kept = {id(value) for value in matrices}
        others = [value for value in self.weights if id(value) not in kept]
        self.optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": recipe.weight_decay},
                                            {"params": others, "weight_decay": 0.0}], betas=(0.9, 0.99),
                                           fused=True)

    def advance(self, pixels: np.ndarray, labels: np.ndarray, text: Any, mask: Any) -> float:
        """A step on uint8[n, 3, 32, 32] with `labels` into the captions `text`, the last one empty; its loss."""
        import torch

        chosen, mirrored, unlabelled, levels, noise = draw(self.step, len(pixels), self.recipe)
        x = scaled(pixels[chosen])
        x[mirrored] = x[mirrored, :, :, ::-1]
        which = torch.from_numpy(np.where(unlabelled, len(text) - 1, labels[chosen]))
        target = torch.from_numpy(noise)
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.step, self.recipe)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.dtype == "bfloat16"):
            found = predict(self.transformer, add_noise(torch.from_numpy(x), target, levels), levels, text[which],
                            mask[which])
        loss = (found.float() - target).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        with torch.no_grad():
            torch._foreach_lerp_(self.mean, list(self.weights),
                                 1 - min(self.recipe.average, self.step / (self.step + 10)))
        return float(loss.detach())

    def finish(self) -> Any:
        """The transformer with the mean weights, in evaluation mode."""
        import torch

        with torch.no_grad():
            for value, mean in zip(self.weights, self.mean, strict=True):
                value.copy_(mean)
        return self.transformer.eval()

    def save(self, path: Path) -> None:
        """Write everything to a safetensors file, with what tells this run from others."""
        from safetensors.torch import save

        moments = {f"{what}.{name}": self.optimizer.state[value][what] for name, value in
                   zip(self.names, self.weights, strict=True) for what in ("exp_avg", "exp_avg_sq", "step")}
        weights = {f"weight.{name}": value.detach() for name, value in zip(self.names, self.weights, strict=True)}
        means = {f"mean.{name}": value for name, value in zip(self.names, self.mean, strict=True)}
        content = save({**weights, **means, **moments}, metadata={
            **self._said, "done": str(self.step), "steps": str(self.recipe.steps)})
        with atomic_file(path, "wb") as stream:
            stream.write(content)

    def resume(self, path: Path) -> None:
        """Take up a saved run; it may have been meant for another number of steps, if that made no difference yet.

        Raises TraceError for a damaged one or one of another recipe, data or library.
        """
        import torch
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                found = dict(file.metadata())
                self.step, steps = int(found.pop("done")), int(found.pop("steps"))
                for key, value in self._said.items():
                    if found.get(key) != value:
                        raise TraceError("another training is in progress there", where=str(path), got=found.get(key),
                                         expected=f"{value}; remove the folder to start anew")
                if steps != self.recipe.steps and self.step > min(self.recipe, replace(self.recipe, steps=steps),
                                                                  key=lambda recipe: recipe.steady).steady:
                    raise TraceError("too late to change the number of steps", where=str(path), got=self.recipe.steps,
                                     expected=f"{steps}, as when it began, or remove the folder to start anew")
                with torch.no_grad():
                    for name, value, mean in zip(self.names, self.weights, self.mean, strict=True):
                        value.copy_(file.get_tensor(f"weight.{name}"))
                        mean.copy_(file.get_tensor(f"mean.{name}"))
                        self.optimizer.state[value] = {what: file.get_tensor(f"{what}.{name}")
                                                       for what in ("exp_avg", "exp_avg_sq", "step")}
        except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
            raise TraceError("cannot go on with this training", where=str(path), got=str(error),
                             expected="a whole file; remove the folder to start anew") from error
