"""Trains the small PixArt that ships with the project, on photographs:

``python -m models.train.pixart --pictures flowers_ccby_128.zip --out models/pixart_small``

Within an hour on one core with bfloat16 instructions (AMX, AVX512-BF16); ``--dtype float32`` suits other processors.
What is reached is kept in ``OUT.partial`` every few hundred steps, and the same command goes on from there with the
same result. When training is done, the checkpoint appears in OUT with the held-out pictures and the record beside it.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from models.load.checkpoint import run_command
from models.load.hub import quiet, require_torch
from models.train.evaluate_pixart import DATA, RECORD, figures, write_held_out
from models.train.pictures import ATTRIBUTION, Pictures, read_pictures, without_copies
from models.train.small_pixart import SIDE, build_pipeline, caption, encode_captions
from models.train.training_run import Recipe, Run, initialise
from stamp_hw.errors import OutputError, TraceError
from stamp_hw.formats.files import atomic_file, write_json

log = logging.getLogger(__name__)

#: One picture in so many is held out.
HOLD_OUT_EVERY = 20


def train(pipe: Any, pictures: Pictures, chosen: np.ndarray, recipe: Recipe, progress: Path | None = None,
          every: int = 200) -> Any:
    """Train the pipeline's transformer on the pictures `chosen`; the trained transformer.

    `progress` is the file that keeps what is reached after each `every` steps, and from which a run goes on.
    """
    text, mask = encode_captions(pipe, [*map(caption, pictures.kinds), ""])
    pixels, labels = pictures.pixels[chosen], pictures.labels[chosen]
    run = Run(pipe.transformer, recipe, pictures.sha256)
    if progress and progress.is_file():
        run.resume(progress)
        log.info("going on from step %d", run.step)
    pipe.transformer.train()
    started, seen = time.monotonic(), []
    while run.step < recipe.steps:
        seen.append(run.advance(pixels, labels, text, mask))
        if run.step % 50 == 0 or run.step == recipe.steps:
            log.info("step %5d/%d  loss %.4f  %5.0f s", run.step, recipe.steps, np.mean(seen),
                     time.monotonic() - started)
            seen.clear()
        if progress and (run.step % every == 0 or run.step == recipe.steps):
            run.save(progress)
    return run.finish()


def save(folder: Path, pipe: Any, pictures: Pictures, chosen: np.ndarray, held_out: np.ndarray) -> None:
    """Checkpoint in bfloat16 and in the hub's layout, with held-out pictures and attributions beside it."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    pipe.to(torch.bfloat16).save_pretrained(folder)
    for path in folder.rglob("*.*"):
        path.chmod(0o644)  # the weights are written as private to their owner
    write_held_out(folder / DATA, pictures.pixels[held_out], pictures.labels[held_out], pictures.pixels[chosen])
    if pictures.attribution:
        with atomic_file(folder / ATTRIBUTION, "wb") as stream:
            stream.write(pictures.attribution.encode("utf-8"))
    else:
        log.warning("no %s among the pictures: none goes with the checkpoint", ATTRIBUTION)


def run(pictures: Path, out: Path, recipe: Recipe, threads: int = 1) -> dict[str, Any]:
    """Train on the pictures of a folder or zip file, write the checkpoint to `out`; its record.

    Raises TraceError for pictures that cannot be read or are too few, or another training in progress at `out`;
    OutputError for an `out` that cannot be written.
    """
    read = read_pictures(pictures, SIDE)
    training, held_out = read.split(HOLD_OUT_EVERY)
    if not len(held_out) or len(training) < recipe.batch:
        raise TraceError("too few pictures", where=str(pictures), expected=f"at least {recipe.batch} and 1",
                         got=f"{len(training)} to train on, {len(held_out)} held out")
    chosen = without_copies(read.pixels, training, held_out)
    log.info("%d pictures to train on, %d held out, %d left out as near copies of these", len(chosen), len(held_out),
             len(training) - len(chosen))
    partial = out.with_name(f"{out.name}.partial")
    # A place that cannot be written is told of now, not after an hour.
    if out.exists() and not out.is_dir():
        raise OutputError("cannot write checkpoint", where=str(out), got="a file", expected="a folder")
    write_json(partial / "recipe.json", asdict(recipe))
    pipe = build_pipeline(read.kinds, heads=recipe.heads, blocks=recipe.blocks, seed=recipe.seed)
    with torch_seed(recipe.seed):
        initialise(pipe.transformer)
    train(pipe, read, chosen, recipe, partial / "progress.safetensors")
    save(out, pipe, read, chosen, held_out)
    record: dict[str, Any] = {
        "recipe": asdict(recipe), "kinds": list(read.kinds),
        "parameters": sum(value.numel() for value in pipe.transformer.parameters()),
        "pictures": {"training": len(chosen), "held_out": len(held_out), "near_copies": len(training) - len(chosen)},
        "sha256": {"pictures": read.sha256}, "threads": threads,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in (
            "torch", "diffusers", "transformers", "pillow", "numpy")}}}
    write_json(out / RECORD, record)
    found = figures(out)
    record["loss"] = {name: round(float(loss.mean()), 5) for name, loss in found.items()}
    write_json(out / RECORD, record)
    shutil.rmtree(partial)
    return record


@contextmanager
def torch_seed(seed: int) -> Iterator[None]:
    """The block draws from torch's generator as of this seed; outside of it nothing changes."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def main(argv: list[str] | None = None) -> int:
    """Train the small PixArt on photographs, save it and record its figures in training.json."""
    require_torch()
    import torch

    default = Recipe()
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--pictures", type=Path, required=True, help="a folder or zip file of KIND/NAME.jpg or .png")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=default.steps)
    parser.add_argument("--batch", type=int, default=default.batch)
    parser.add_argument("--heads", type=int, default=default.heads, help="of 64 channels")
    parser.add_argument("--blocks", type=int, default=default.blocks)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default=default.dtype,
                        help="of the products; bfloat16 is slow where the processor has no instructions for it")
    parser.add_argument("--threads", type=int, default=1, help="more threads round differently")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    for name in ("steps", "batch", "heads", "blocks", "threads"):
        if getattr(options, name) < 1:
            raise TraceError("out of range", where=f"--{name}", got=getattr(options, name), expected="at least 1")
    torch.set_num_threads(options.threads)
    recipe = Recipe(steps=options.steps, batch=options.batch, heads=options.heads, blocks=options.blocks,
                    warmup=default.warmup, dtype=options.dtype)
    with quiet():
        record = run(options.pictures, options.out, recipe, options.threads)
    log.info("%s", json.dumps(record["loss"]))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
