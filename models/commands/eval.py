"""`stamp-hw eval`: a running model whose linear layers are the bit-accurate engine, against the float model."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from models.commands.eval_options import GPTQ, ImageRun, Options, TextRun, weights_of
from models.commands.model_option import add_model
from models.load.hub import local
from stamp_hw import schemes
from stamp_hw.cli.arguments import taken
from stamp_hw.cli.common import (
    add_hardware,
    add_outliers,
    check_apart,
    check_writable,
    count,
    kind_of_run,
    progress_line,
    seed,
)
from stamp_hw.cli.show import show
from stamp_hw.config import NpuConfig
from stamp_hw.errors import StampError

DEFAULT_SCHEMES = "a8,a4,first_n,stamp"
_KV_HIGH = 64  # tokens of the cache at 8 bits, as in the paper


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Replaces every linear layer of a running model by the bit-accurate engine and compares with "
        "the float model: perplexity and KL divergence of a language model, the final latent and the "
        "picture of a PixArt or SANA pipeline, and the output of every layer. docs/eval.md defines "
        "every figure.")
    add_model(parser)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", type=Path, metavar="FILE", help="held-out UTF-8 text for a language model")
    source.add_argument("--prompts", type=Path, metavar="FILE", help="UTF-8 text, a prompt a line, for an image model")
    add_hardware(parser)
    parser.add_argument("--schemes", default=DEFAULT_SCHEMES, metavar="LIST",
                        help=f"comma-separated (default {DEFAULT_SCHEMES})")
    parser.add_argument("--calibration", type=Path, metavar="FILE",
                        help="other text, or other prompts: static scales from float runs on it (default: every tensor "
                             "is scaled by its own absmax)")
    parser.add_argument("--rotate", choices=("hadamard",), help="rotation folded into every layer that has none")
    parser.add_argument("--center", action="store_true",
                        help="subtract a static mean of each channel, from --calibration, in front of every layer, and "
                             "add its product to the bias: a control")
    parser.add_argument("--weights", type=weights_of, metavar="HOW",
                        help="nearest (default); gptq: 4-bit weights for what --calibration shows; or a FILE of "
                             "integer weights and rotations in safetensors, for the layers that it names")
    parser.add_argument("--layers", default="", metavar="REGEX", help="replace only layers whose name it is found in")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure as JSON")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32",
                        help="type the model runs in (default float32)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the model runs (default cpu)")
    parser.add_argument("--jobs", type=count, default=1, metavar="N",
                        help="windows or prompts at a time, each in a process of its own on one thread (default 1)")

    text = parser.add_argument_group("with --text")
    text.add_argument("--sequences", type=int, metavar="N", help="windows of the text (default 32)")
    text.add_argument("--length", type=int, metavar="S", help="tokens a window (default 512)")
    add_outliers(text)
    text.add_argument("--decode", type=int, metavar="N",
                      help="predict only the last N tokens of a window, a token a run behind a prefill of the others")
    text.add_argument("--kv", type=int, nargs="?", const=True, metavar="N",
                      help=f"quantize keys and values, not the layers, the first N tokens ({_KV_HIGH}) at 8 bits")
    text.add_argument("--predict", action="store_const", const=True,
                      help="what the noise of each layer should add to the KL divergence, from gradients of the float "
                           "model on the first two windows, and which layers add most")

    images = parser.add_argument_group("with --prompts")
    images.add_argument("--inference-steps", type=int, metavar="N", help="denoising steps of a run (default 20)")
    images.add_argument("--size", metavar="PIXELS", help="side of the image, or HxW (default 512)")
    images.add_argument("--seed", type=seed, metavar="N", help="seed of every prompt's noise (default 0)")
    images.add_argument("--guidance", type=float, metavar="X", help="scale of the guidance (default 4.5)")
    parser.set_defaults(run=lambda found: run(taken(Options, found), kind_of_run(found, TextRun, ImageRun)))


def run(options: Options, of: TextRun | ImageRun) -> int:
    """Load, calibrate, evaluate, print. What can be refused is refused before the model is loaded."""
    from models.commands import eval_runs
    from models.commands.eval_table import render
    from models.evaluate.partial import file_beside
    from models.load.hub import require_torch
    from stamp_hw.formats.files import finite, write_json

    config = options.configuration()
    names = tuple(part.strip() for part in options.schemes.split(",") if part.strip())
    schemes.check(names)
    of = _check(options, of, config, names)
    require_torch()
    progress = progress_line()
    wanted = {name: schemes.configure(name, config) for name in names}
    try:
        if isinstance(of, TextRun):
            document = eval_runs.text(options, of, config, wanted, progress)
        else:
            document = eval_runs.images(options, of, config, wanted, progress)
    finally:
        progress("")
    document |= {"model": options.model, "rotation": options.rotate or "none", "center": options.center,
                 "calibration": options.calibration.name if options.calibration else "self",
                 "weights": weights_text(options, config),
                 "config": config.to_dict()}
    if options.json is not None:
        write_json(options.json, finite(document))
        file_beside(options.json).unlink(missing_ok=True)
    show(render(document))
    return 0


def file_of(weights: Path | str | None) -> Path | None:
    """The file that --weights names, if it does."""
    return weights if isinstance(weights, Path) else None


def weights_text(options: Options, config: NpuConfig) -> str:
    """How many bits, in which groups, rounded how."""
    how = options.weights
    group = "" if config.job.weight_group is None else f" in groups of {config.job.weight_group}"
    return (f"{config.job.weight_bits} bits{group}, "
            f"{'round to nearest' if how is None else 'GPTQ' if how == GPTQ else Path(how).name}")


def _check(options: Options, of: TextRun | ImageRun, config: NpuConfig, names: tuple[str, ...]) -> TextRun | ImageRun:
    """`of` as it will run. Raises StampError for options that do not go together, and for outputs in the way."""
    if isinstance(of, TextRun) and of.kv is not None and schemes.SHUFFLED in names:
        raise StampError("a cache has no tokens to shuffle", where="--schemes", got=schemes.SHUFFLED,
                         expected="no --kv with it")
    jobs = [("job", config.job), *((f"kinds.{kind}", job) for kind, job in config.kinds)]
    named = [place for place, job in jobs if job.outliers != "auto"]
    if isinstance(of, TextRun) and named and of.outliers is not None:
        raise StampError("outliers given twice", where="--outliers", got=f"{named[0]}.outliers as well",
                         expected="one of them")
    for job in (config.job, *(job for _, job in config.kinds)):
        if job.calibration == "static" and options.calibration is None:
            raise StampError("no static scales", where="job.calibration", got="static", expected="--calibration FILE")
        if job.calibration == "self" and options.calibration is not None:
            raise StampError("scales given twice", where="job.calibration", got="self", expected="auto or static")
    if options.weights == GPTQ and options.calibration is None:
        raise StampError("nothing to fit weights to", where="--weights gptq", expected="--calibration FILE")
    if options.jobs > 1 and options.device != "cpu":
        raise StampError("several processes on one device", where="--jobs", got=options.jobs,
                         expected=f"1 with --device {options.device}")
    if options.center and options.calibration is None:
        raise StampError("no text to take means from", where="--center", expected="--calibration FILE")
    name, measured = ("--text", of.text) if isinstance(of, TextRun) else ("--prompts", of.prompts)
    if options.calibration is not None and os.path.realpath(options.calibration) == os.path.realpath(measured):
        raise StampError("calibrated on what is measured", where=f"--calibration {options.calibration}",
                         expected="another text, other prompts")
    if isinstance(of, TextRun):
        of = _check_text(options, of, config)
    if options.json is not None:
        check_writable(options.json, folder=False)
        check_apart({name: measured, "--config": options.config, "--calibration": options.calibration,
                     "--weights": file_of(options.weights), "--model": local(options.model)},
                    [("--json", options.json)])
    return of


def _check_text(options: Options, of: TextRun, config: NpuConfig) -> TextRun:
    """Ranges of the numbers of a language model, and what goes with its cache."""
    if of.length < 2:
        raise StampError("windows too short to predict a token", where="--length", got=of.length, expected="at least 2")
    if not 0 <= of.decode <= of.length - 2:
        raise StampError("number of decoded tokens out of range", where="--decode", got=of.decode,
                         expected=f"0…{of.length - 2}")
    if of.predict and (of.decode or of.kv is not None):
        raise StampError("only the layers of a prefill are predicted", where="--predict",
                         got="--decode" if of.decode else "--kv", expected="neither with it")
    if of.kv is None:
        return of
    for name, given in (("weights", options.weights), ("rotate", options.rotate), ("center", options.center),
                        ("calibration", options.calibration),
                        ("layers", options.layers), ("outliers", of.outliers)):
        if given:
            raise StampError("option of the layers", where=f"--{name}", expected="no --kv with it")
    if isinstance(config.job.outliers, tuple) or config.job.group or config.kinds:
        raise StampError("job of the layers", where="--kv", got="outliers, group or kinds in the configuration",
                         expected="none of them: a cached token has a scale a head")
    if of.kv is True:  # without a number: all of a window that is shorter
        of = replace(of, kv=min(_KV_HIGH, of.length))
    if of.kv is not None and not 0 <= of.kv <= of.length:
        raise StampError("number of tokens out of range", where="--kv", got=of.kv,
                         expected=f"0…{of.length}, the tokens of a window")
    return of
