"""`stamp-hw trace dump`: the options of both kinds of models, and their runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.commands.model_option import add_model
from stamp_hw.cli.arguments import taken
from stamp_hw.cli.common import add_outliers, check_apart, check_writable, kind_of_run, numbers, progress_line
from stamp_hw.errors import StampError
from stamp_hw.formats.files import final_target
from stamp_hw.formats.safetensors_file import DTYPES
from stamp_hw.formats.trace import Trace
from stamp_hw.positions import Which
from stamp_hw.text import plural


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRun:
    """Of a language model: the options that go with --text."""

    text: Path
    sequences: int = 1
    length: int = 512
    outliers: Which = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRun:
    """Of an image model: the options that go with --prompts."""

    prompts: Path
    steps: str = "1"
    inference_steps: int = 20
    size: str = "512"
    seed: int = 0
    guidance: float = 4.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for."""

    model: str
    out: Path
    layers: str
    dtype: str | None
    device: str


def add_parser(actions: Any) -> None:
    """Register `dump` with argparse; it sets `run`, a function of the options."""
    dump = actions.add_parser(
        "dump", help="capture the input of every linear layer of a language or image model",
        description="Runs a model and captures the input of every linear layer: a language model over a text, or the "
                    "transformer of a PixArt or SANA pipeline at chosen denoising steps of prompts. An interrupted "
                    "dump leaves FILE.partial, and the same command goes on from there.")
    add_model(dump)
    source = dump.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", type=Path, metavar="FILE", help="UTF-8 text to run through a language model")
    source.add_argument("--prompts", type=Path, metavar="FILE", help="UTF-8 text, a prompt a line, for an image model")
    dump.add_argument("--out", required=True, type=Path, metavar="FILE", help="the trace to write (*.safetensors)")
    dump.add_argument("--layers", default="", metavar="REGEX", help="only layers whose name it is found in")
    dump.add_argument("--dtype", choices=tuple(DTYPES),
                      help="type the model runs in and tensors are stored in (default: that of the checkpoint)")
    dump.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the model runs (default cpu)")

    text = dump.add_argument_group("with --text")
    text.add_argument("--sequences", type=int, metavar="N",
                      help="sequences to calibrate on; the first is stored, the absmax of all gives the static scales "
                           "(default 1: the trace says `calibration: self`)")
    text.add_argument("--length", type=int, metavar="S", help="tokens a sequence (default 512)")
    add_outliers(text)

    images = dump.add_argument_group("with --prompts")
    images.add_argument("--steps", metavar="LIST",
                        help="denoising steps to capture, from 1 on, as in 1,8,14 (default 1)")
    images.add_argument("--inference-steps", type=int, metavar="N", help="denoising steps of a run (default 20)")
    images.add_argument("--size", metavar="PIXELS", help="side of the image, or HxW (default 512)")
    images.add_argument("--seed", type=int, metavar="N", help="seed of every prompt's noise (default 0)")
    images.add_argument("--guidance", type=float, metavar="X",
                        help="scale of the classifier-free guidance; up to 1 there is none (default 4.5)")
    dump.set_defaults(run=lambda found: run(taken(Options, found), kind_of_run(found, TextRun, ImageRun)))


def run(options: Options, of: TextRun | ImageRun) -> int:
    """Load the model, run it, write the trace."""
    from models.dump.parts import folder_beside
    from models.load.hub import local, require_torch

    check_writable(options.out, folder=False)
    source = {"--text": of.text} if isinstance(of, TextRun) else {"--prompts": of.prompts}
    check_apart({**source, "--model": local(options.model)},
                [("--out", options.out), ("parts of --out", folder_beside(options.out))])
    require_torch()
    progress = progress_line()
    try:
        if isinstance(of, TextRun):
            _dump_text(options, of, progress)
        else:
            _dump_images(options, of, progress)
    finally:
        progress("")
    with Trace.open(final_target(options.out)) as trace:
        print(f"{options.out}: {len(trace)} layers, {trace.size_bytes / 1e6:.2f} MB, calibration {trace.calibration}")
        counts = [len(trace.entry(name).outliers) for name in trace.layer_names]
        if any(counts):
            print(f"outliers: {plural(sum(counts), 'token')} in {plural(sum(map(bool, counts)), 'layer')}; stamp-hw "
                  "trace info lists them")
    return 0


def _dump_text(options: Options, of: TextRun, progress: Callable[[str], None]) -> None:
    from models.dump.language import dump
    from models.load.checkpoint import load, sequences

    progress("loading")
    checkpoint = load(options.model, options.dtype, options.device)
    tokens = sequences(checkpoint, of.text, of.sequences, of.length)
    origin = {"model": options.model, "text": of.text.name, "device": options.device}
    dump(checkpoint.model, tokens[0], tokens if of.sequences > 1 else None, options.out, origin,
         layers=options.layers, outliers=of.outliers, fingerprint=checkpoint.fingerprint, progress=progress)


def _dump_images(options: Options, of: ImageRun, progress: Callable[[str], None]) -> None:
    from models.dump.images import Request, dump_images, read_prompts
    from models.load.pipeline import load_pipeline

    size = numbers("--size", of.size.lower(), "x", "a side in pixels, or HxW")
    if len(size) > 2:
        raise StampError("not a size", where="--size", got=of.size, expected="a side in pixels, or HxW")
    request = Request(prompts=read_prompts(of.prompts), inference_steps=of.inference_steps,
                      steps=numbers("--steps", of.steps, ",", "numbers as in 1,8,14"), size=(size[0], size[-1]),
                      seed=of.seed, guidance=of.guidance)
    progress("loading")
    pipeline = load_pipeline(options.model, options.dtype, options.device)
    dump_images(pipeline, request, options.out, {"model": options.model, "device": options.device},
                layers=options.layers, progress=progress)
