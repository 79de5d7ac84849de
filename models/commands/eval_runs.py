"""The runs of `stamp-hw eval`: a language model, or an image model, under each scheme."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.commands.eval_options import GPTQ, ImageRun, Options, TextRun
from stamp_hw.cli.common import numbers
from stamp_hw.config import NpuConfig
from stamp_hw.errors import StampError
from stamp_hw.positions import Which

if TYPE_CHECKING:
    from models.evaluate.partial import Partial, Window

_CALIBRATION_SEQUENCES = 8  # at most, of the calibration text
_PREDICTED = 2  # windows, at most, that a layer's contribution is taken from
_CALIBRATION_SEED = 1  # added to --seed: a calibration never sees the noise that is evaluated


def text(options: Options, of: TextRun, config: NpuConfig, wanted: Mapping[str, NpuConfig],
         progress: Callable[[str], None]) -> dict[str, Any]:
    """A language model under each scheme: the report."""
    import torch

    from models.dump.ranges import check
    from models.evaluate.grouped import grouped
    from models.evaluate.language import score_kv, score_text, text_report
    from models.evaluate.memory import peak_mb
    from models.evaluate.partial import Partial
    from models.load.checkpoint import load, sequences

    prefill = of.length - of.decode - 1 if of.decode else of.length
    of_job = of.outliers or "auto"
    which: Which = of_job if config.job.outliers == "auto" else config.job.outliers
    check(which, prefill)
    for kind, job in config.kinds:
        check(job.outliers, prefill, f"kinds.{kind}.outliers")
    progress("loading")
    checkpoint = load(options.model, options.dtype, options.device)
    windows = sequences(checkpoint, of.text, of.sequences, of.length)
    calibration = None
    if options.calibration is not None:
        count = _CALIBRATION_SEQUENCES
        calibration = sequences(checkpoint, options.calibration, count, of.length)

    def calibrate() -> None:
        assert calibration is not None
        for number, row in enumerate(calibration, 1):
            progress(f"calibrating {number}/{len(calibration)}")
            checkpoint.model(input_ids=torch.from_numpy(row)[None].to(options.device), use_cache=False)

    kinds: dict[str, str] = {}
    expected: dict[str, dict[str, float]] = {}
    if of.kv is None:
        integer = _integer(options, config, checkpoint.model, "causal", calibrate, of_job, of.length,
                           progress)
        kinds = integer.kinds
        done = Partial(options.json, {
            "version": metadata.version("stamp-hw"), "model": checkpoint.fingerprint, "layers": options.layers,
            "dtype": options.dtype, "windows": _digest(windows), "calibration": _digest(calibration),
            "outliers": which, "decode": of.decode, "rotate": options.rotate, "center": options.center,
            "weights": _digest(options.weights),
            "schemes": {name: one.to_dict() for name, one in wanted.items()}})
        scores = score_text(checkpoint.model, integer, wanted, windows, decode=of.decode, progress=progress, done=done,
                            finished=window_line(done, len(windows)), jobs=options.jobs)
        if of.predict:
            from models.evaluate.expected import expected_kl

            expected = expected_kl(checkpoint.model, integer, wanted, windows[:_PREDICTED], progress=progress)
    else:
        cached = {name: one if name in ("a8", "a4") else one.with_job(n_hi=of.kv) for name, one in wanted.items()}
        scores = score_kv(checkpoint.model, cached, windows, decode=of.decode, progress=progress,
                          jobs=options.jobs)
    cost = {name: score.cpu_s / len(windows) for name, score in scores.items() if score.cpu_s is not None}
    return {"kind": "text", "cost": {"cpu_s_a_window": cost, "peak_mb": peak_mb(), "jobs": options.jobs},
            "text": of.text.name, "quantized": "layers" if of.kv is None else "cache",
            "tokens": sum(score.loss.size for score in scores.values()) // len(scores), "decode": of.decode,
            "windows": len(windows), "length": of.length, "outliers": which if isinstance(which, str) else list(which),
            "rows": [_with_expected(row | grouped(row, kinds), expected) for row in text_report(scores)]}


def _with_expected(row: dict[str, Any], expected: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The row, and where there are any its layers' contributions to the divergence, nats a token, and their sum."""
    layers = expected.get(row["scheme"])
    return row if layers is None else row | {"expected_kl": sum(layers.values()), "expected_by_layer": layers}


def window_line(done: Partial, windows: int) -> Callable[[Window], None]:
    """What is called with each window: a line on standard error where no terminal shows the progress."""
    def finished(window: Window) -> None:
        if not sys.stderr.isatty():
            name = next(reversed(window.kl))
            print(f"window {len(done.windows)} of {windows}, {sum(window.cpu_s.values()):.0f} s; KL of {name} "
                  f"{window.kl[name].mean():.4f}", file=sys.stderr, flush=True)
    return finished


def _digest(value: np.ndarray | Path | str | None) -> str | None:
    """SHA-256 of tokens, or of a file; a word as it is."""
    if value is None or isinstance(value, str):
        return value
    content = value.read_bytes() if isinstance(value, Path) else np.ascontiguousarray(value).tobytes()
    return hashlib.sha256(content).hexdigest()


def images(options: Options, of: ImageRun, config: NpuConfig, wanted: Mapping[str, NpuConfig],
           progress: Callable[[str], None]) -> dict[str, Any]:
    """An image model under each scheme: the report."""
    from models.dump.images import Request, read_prompts
    from models.evaluate.grouped import grouped
    from models.evaluate.images import Drawing, draw, image_report, score_images
    from models.load.pipeline import load_pipeline

    size = numbers("--size", of.size.lower(), "x", "a side in pixels, or HxW")
    if len(size) > 2:
        raise StampError("not a size", where="--size", got=of.size, expected="a side in pixels, or HxW")
    # What a dump refuses is refused here: steps, seed, guidance, sizes that are no multiples of a token.
    request = Request(prompts=read_prompts(of.prompts), steps=(1,), inference_steps=of.inference_steps,
                      size=(size[0], size[-1]), seed=of.seed, guidance=of.guidance)
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
    integer = _integer(options, config, pipeline.transformer, pipeline.family, calibrate, "off", grid[0] * grid[1],
                       progress)
    scores = score_images(pipeline, integer, wanted, drawing, progress, options.jobs)
    return {"kind": "images", "prompts": list(request.prompts), "inference_steps": request.inference_steps,
            "size": list(request.size), "grid": list(grid), "seed": request.seed, "guidance": request.guidance,
            "rows": [row | grouped(row, integer.kinds) for row in image_report(scores)]}


def _integer(options: Options, config: NpuConfig, model: Any, family: str, calibrate: Callable[[], None],
             outliers: Which, tokens: int, progress: Callable[[str], None]) -> Any:
    """The model with its integer layers at hand, calibrated where that was asked for; `tokens` of a sequence or
    grid."""
    from models.evaluate.centers import centers_of
    from models.evaluate.given_weights import load_given
    from models.evaluate.gptq_weights import gptq_weights
    from models.evaluate.integer_model import IntegerModel, ranges_of, rotations_of
    from models.load.kinds import survey

    surveyed = survey(model, family, options.layers)
    surveyed.warn("run without transform")
    found = surveyed.layers
    config.check_n_hi((layer.kind, tokens) for layer in found if layer.sees == "tokens")
    given = load_given(options.weights, found, config) if isinstance(options.weights, Path) else {}
    rotations = rotations_of(found, given, options.rotate)
    jobs = {layer.name: config.for_kind(layer.kind).job.outliers for layer in found}
    which = {name: outliers if own == "auto" else own for name, own in jobs.items()}
    centers = centers_of(found, calibrate, rotations, which) if options.center else {}
    if options.weights == GPTQ:
        given = gptq_weights(found, calibrate, rotations, centers, config, progress)
    ranges = ranges_of(found, calibrate, rotations, centers, which) if options.calibration is not None else None
    return IntegerModel(model, found, config, given=given, rotations=rotations, centers=centers, ranges=ranges,
                        outliers=which)
