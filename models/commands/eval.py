"""`stamp-hw eval`: a running model whose linear layers are the bit-accurate engine, against the float model."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stamp_hw.cli.common import (
    add_hardware,
    check_apart,
    check_writable,
    fill_in,
    hardware,
    named,
    numbers,
    progress_line,
    seed,
    sinks,
)
from stamp_hw.errors import StampError

DEFAULT_SCHEMES = "a8,a4,first_n,stamp"
#: Options that only one kind of models has, and what they default to.
_TEXT = {"sequences": 32, "length": 512, "sinks": 0, "decode": 0, "kv": None}
_IMAGES = {"inference_steps": 20, "size": "512", "seed": 0, "guidance": 4.5}
_KV_HIGH = 64  # tokens of the cache at 8 bits, as in the paper
_CALIBRATION_SEQUENCES = 8  # at most, of the calibration text
_CALIBRATION_SEED = 1  # added to --seed: a calibration never sees the noise that is evaluated


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Replaces every linear layer of a running model by the bit-accurate engine and compares with "
        "the float model: perplexity and KL divergence of a Llama or Qwen, the final latent and the "
        "picture of a PixArt or SANA pipeline, and the output of every layer. docs/eval.md defines "
        "every figure.")
    parser.add_argument("--model", required=True, type=named, metavar="PATH_OR_HUB_ID",
                        help="Hugging Face folder or hub id")
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
    parser.add_argument("--weights", type=Path, metavar="FILE",
                        help="integer weights and rotations in safetensors, for the layers that it names")
    parser.add_argument("--layers", default="", metavar="REGEX", help="replace only layers whose name it is found in")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure as JSON")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32",
                        help="type the model runs in (default float32)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the model runs (default cpu)")

    text = parser.add_argument_group("with --text")
    text.add_argument("--sequences", type=int, metavar="N", help="windows of the text (default 32)")
    text.add_argument("--length", type=int, metavar="S", help="tokens a window (default 512)")
    text.add_argument("--sinks", type=sinks, metavar="N|auto",
                      help="leading tokens that bypass the transform (default 0); auto: as in trace dump")
    text.add_argument("--decode", type=int, metavar="N",
                      help="predict only the last N tokens of a window, a token a run behind a prefill of the others")
    text.add_argument("--kv", type=int, nargs="?", const=True, metavar="N",
                      help=f"quantize keys and values, not the layers, the first N tokens ({_KV_HIGH}) at 8 bits")

    images = parser.add_argument_group("with --prompts")
    images.add_argument("--inference-steps", type=int, metavar="N", help="denoising steps of a run (default 20)")
    images.add_argument("--size", metavar="PIXELS", help="side of the image, or HxW (default 512)")
    images.add_argument("--seed", type=seed, metavar="N", help="seed of every prompt's noise (default 0)")
    images.add_argument("--guidance", type=float, metavar="X", help="scale of the guidance (default 4.5)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Load, calibrate, evaluate, print. What can be refused is refused before the model is loaded."""
    from models.commands.eval_table import render
    from models.load.hub import require_torch
    from stamp_hw import schemes
    from stamp_hw.formats.files import finite, write_json

    config = hardware(options)
    names = tuple(part.strip() for part in options.schemes.split(",") if part.strip())
    schemes.check(names)
    _check(options, config, names)
    require_torch()
    progress = progress_line()
    wanted = {name: schemes.configure(name, config) for name in names}
    try:
        document = (_text if options.prompts is None else _images)(options, config, wanted, progress)
    finally:
        progress("")
    document |= {"model": options.model, "rotation": options.rotate or "none",
                 "calibration": options.calibration.name if options.calibration else "self",
                 "weights": f"{config.job.weight_bits} bits, "
                            f"{options.weights.name if options.weights else 'round to nearest'}",
                 "config": config.to_dict()}
    if options.json is not None:
        write_json(options.json, finite(document))
    print(render(document))
    return 0


def _check(options: argparse.Namespace, config: Any, names: tuple[str, ...]) -> None:
    """Fill in defaults. Raises StampError for options that do not go together, and for outputs in the way."""
    if config.job.n_sink != "auto" and options.sinks is not None:
        raise StampError("sinks given twice", where="--sinks", got=f"{options.sinks}, job.n_sink {config.job.n_sink}",
                         expected="one of them")
    fill_in(options, _TEXT, _IMAGES)
    if "stamp_shuffled" in names:
        raise StampError("a running model cannot be shuffled", where="--schemes", got="stamp_shuffled",
                         expected=f"some of {DEFAULT_SCHEMES}; stamp-hw ablate has the control")
    for job in (config.job, *(job for _, job in config.kinds)):
        if job.calibration == "static" and options.calibration is None:
            raise StampError("no static scales", where="job.calibration", got="static", expected="--calibration FILE")
        if job.calibration == "self" and options.calibration is not None:
            raise StampError("scales given twice", where="job.calibration", got="self", expected="auto or static")
    measured = options.text or options.prompts
    if options.calibration is not None and os.path.realpath(options.calibration) == os.path.realpath(measured):
        raise StampError("calibrated on what is measured", where=f"--calibration {options.calibration}",
                         expected="another text, other prompts")
    if options.prompts is None:
        _check_text(options, config)
    if options.json is not None:
        check_writable(options.json, folder=False)
        model = Path(options.model)
        check_apart({"--text": options.text, "--prompts": options.prompts, "--config": options.config,
                     "--calibration": options.calibration, "--weights": options.weights,
                     "--model": model if model.is_dir() else None}, [("--json", options.json)])


def _check_text(options: argparse.Namespace, config: Any) -> None:
    """Ranges of the numbers of a language model, and what goes with its cache."""
    if options.length < 2:
        raise StampError("windows too short to predict a token", where="--length", got=options.length,
                         expected="at least 2")
    if not 0 <= options.decode <= options.length - 2:
        raise StampError("number of decoded tokens out of range", where="--decode", got=options.decode,
                         expected=f"0…{options.length - 2}")
    if options.kv is None:
        return
    for name in ("weights", "rotate", "calibration", "layers", "sinks"):
        if getattr(options, name):
            raise StampError("option of the layers", where=f"--{name}", expected="no --kv with it")
    if config.job.n_sink not in (0, "auto") or config.job.group or config.kinds:
        raise StampError("job of the layers", where="--kv", got="n_sink, group or kinds in the configuration",
                         expected="none of them: a cached token has a scale a head")
    if options.kv is True:  # without a number: all of a window that is shorter
        options.kv = min(_KV_HIGH, options.length)
    if not 0 <= options.kv <= options.length:
        raise StampError("number of tokens out of range", where="--kv", got=options.kv,
                         expected=f"0…{options.length}, the tokens of a window")


def _text(options: argparse.Namespace, config: Any, wanted: Mapping[str, Any], progress: Callable[[str], None]
          ) -> dict[str, Any]:
    import torch

    from models.dump.sinks import detect_sinks
    from models.evaluate.language import score_kv, score_text, text_report
    from models.load.checkpoint import load, sequences
    from models.load.kinds import survey

    progress("loading")
    checkpoint = load(options.model, options.dtype, options.device)
    windows = sequences(checkpoint, options.text, options.sequences, options.length)
    n_sink: Any = options.sinks if config.job.n_sink == "auto" else config.job.n_sink
    said = str(n_sink)
    if n_sink == "auto":
        progress("looking for sinks")
        found = detect_sinks(checkpoint.model, windows[0], survey(checkpoint.model, "causal", options.layers).layers)
        n_sink, said = found.count, str(found)
    if not 0 <= n_sink < options.length:
        raise StampError("number of sinks out of range", where="--sinks", got=n_sink,
                         expected=f"0…{options.length - 1}")
    calibration = None
    if options.calibration is not None:
        count = _CALIBRATION_SEQUENCES
        calibration = sequences(checkpoint, options.calibration, count, options.length)

    def calibrate() -> None:
        assert calibration is not None
        for number, row in enumerate(calibration, 1):
            progress(f"calibrating {number}/{len(calibration)}")
            checkpoint.model(input_ids=torch.from_numpy(row)[None].to(options.device), use_cache=False)

    if options.kv is None:
        integer = _integer(options, config, checkpoint.model, "causal", calibrate, n_sink, options.length - n_sink)
        scores = score_text(checkpoint.model, integer, wanted, windows, decode=options.decode, progress=progress)
    else:
        cached = {name: one if name in ("a8", "a4") else one.with_job(n_hi=options.kv) for name, one in wanted.items()}
        scores = score_kv(checkpoint.model, cached, windows, decode=options.decode, progress=progress)
    return {"kind": "text", "text": options.text.name, "quantized": "layers" if options.kv is None else "cache",
            "tokens": sum(score.loss.size for score in scores.values()) // len(scores), "decode": options.decode,
            "windows": len(windows), "length": options.length, "sinks": said,
            "rows": text_report(scores)}


def _images(options: argparse.Namespace, config: Any, wanted: Mapping[str, Any], progress: Callable[[str], None]
            ) -> dict[str, Any]:
    from models.dump.images import Request, read_prompts
    from models.evaluate.images import Drawing, draw, image_report, score_images
    from models.load.pipeline import load_pipeline

    size = numbers("--size", options.size.lower(), "x", "a side in pixels, or HxW")
    if len(size) > 2:
        raise StampError("not a size", where="--size", got=options.size, expected="a side in pixels, or HxW")
    # What a dump refuses is refused here: steps, seed, guidance, sizes that are no multiples of a token.
    request = Request(prompts=read_prompts(options.prompts), steps=(1,), inference_steps=options.inference_steps,
                      size=(size[0], size[-1]), seed=options.seed, guidance=options.guidance)
    drawing = Drawing(prompts=request.prompts, steps=request.inference_steps, size=request.size, seed=request.seed,
                      guidance=request.guidance)
    others = read_prompts(options.calibration) if options.calibration is not None else ()
    progress("loading")
    pipeline = load_pipeline(options.model, options.dtype, options.device)
    request.check_size(pipeline.pixels_a_token)

    def calibrate() -> None:
        for number, prompt in enumerate(others, 1):
            progress(f"calibrating {number}/{len(others)}")
            draw(pipeline, drawing, prompt, drawing.seed + _CALIBRATION_SEED)

    grid = tuple(side // pipeline.pixels_a_token for side in request.size)
    integer = _integer(options, config, pipeline.transformer, pipeline.family, calibrate, 0, grid[0] * grid[1])
    scores = score_images(pipeline, integer, wanted, drawing, progress)
    return {"kind": "images", "prompts": list(request.prompts), "inference_steps": request.inference_steps,
            "size": list(request.size), "grid": list(grid), "seed": request.seed, "guidance": request.guidance,
            "rows": image_report(scores)}


def _integer(options: argparse.Namespace, config: Any, model: Any, family: str, calibrate: Callable[[], None],
             n_sink: int, tokens: int) -> Any:
    """The model with its integer layers at hand, calibrated where that was asked for; `tokens` of a sequence or grid,
    without sinks."""
    from models.evaluate.given_weights import load_given
    from models.evaluate.integer_model import IntegerModel, ranges_of, rotations_of
    from models.load.kinds import survey

    found = survey(model, family, options.layers).layers
    config.check_n_hi((layer.kind, tokens) for layer in found if layer.sees == "tokens")
    given = load_given(options.weights, found, config) if options.weights is not None else {}
    rotations = rotations_of(found, given, options.rotate)
    ranges = ranges_of(found, calibrate, rotations, n_sink) if options.calibration is not None else None
    return IntegerModel(model, found, config, given=given, rotations=rotations, ranges=ranges, n_sink=n_sink)
