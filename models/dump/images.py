"""Captures the linear layers of an image transformer at chosen denoising steps into a trace, a prompt a run.

A part is a step of a prompt. The pipeline runs as its users run it (text encoder, scheduler, classifier-free guidance);
the image itself is never decoded, and no step runs behind the last one that is wanted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.dump.assemble import assemble
from models.dump.capture import Recorder, hooked
from models.dump.language import describe
from models.dump.parts import Parts
from models.load.hub import running
from models.load.kinds import Survey, survey
from models.load.pipeline import ImagePipeline
from stamp_hw.errors import TraceError

_PACKAGES = ("numpy", "torch", "transformers", "diffusers")
_MAX_PROMPTS = 1 << 20  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be run: `steps` (from 1 on) of the `inference_steps` are captured, for each prompt from a fresh
    generator of `seed`; `size` (H, W) in pixels; `guidance` scale, above 1 with an unconditional sequence."""

    prompts: tuple[str, ...]
    steps: tuple[int, ...]
    inference_steps: int
    size: tuple[int, int]
    seed: int
    guidance: float

    def __post_init__(self) -> None:
        if not 1 <= self.inference_steps <= 1000:
            raise TraceError("number of steps out of range", where="--inference-steps", got=self.inference_steps,
                             expected="1…1000")
        if not 0 <= self.seed < 1 << 63:
            raise TraceError("seed out of range", where="--seed", got=self.seed, expected="0…2^63 − 1")
        if not 0 <= self.guidance <= 1000:  # NaN is not
            raise TraceError("guidance out of range", where="--guidance", got=self.guidance, expected="0…1000")
        if not self.steps or len(set(self.steps)) < len(self.steps) or not all(
                1 <= step <= self.inference_steps for step in self.steps):
            raise TraceError("steps out of range", where="--steps", got=",".join(map(str, self.steps)),
                             expected=f"different numbers in 1…{self.inference_steps} (--inference-steps)")

    @property
    def sequences(self) -> int:
        """Sequences that the transformer sees at a step."""
        return 2 if self.guidance > 1 else 1

    def check_size(self, side: int) -> None:
        """Raise TraceError where a token, a square of `side` pixels, does not divide the size."""
        if min(self.size) < side or self.size[0] % side or self.size[1] % side:
            raise TraceError("size does not fit the model", where="--size", got="x".join(map(str, self.size)),
                             expected=f"multiples of {side} pixels")

    def parts(self) -> dict[tuple[int, int], str]:
        """(prompt, step), both from 1 on, in the order of the trace → name of the part."""
        return {(prompt, step): f"prompt{prompt}.step{step}"
                for prompt in range(1, len(self.prompts) + 1) for step in sorted(self.steps)}


class _Enough(Exception):
    """Ends a run behind its last wanted step."""


def read_prompts(path: Path) -> tuple[str, ...]:
    """The lines of a UTF-8 file that are not empty. Raises TraceError."""
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_PROMPTS + 1)
        if len(content) > _MAX_PROMPTS:
            raise TraceError("too many prompts", where=str(path), expected="1 MiB at most")
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise TraceError("cannot read prompts", where=str(path), got=getattr(error, "strerror", None) or str(error),
                         expected="a UTF-8 text file, a prompt a line") from error
    prompts = tuple(line.strip() for line in text.split("\n") if line.strip())
    if not prompts or not all(prompt.isprintable() for prompt in prompts):
        raise TraceError("a prompt with control characters" if prompts else "no prompts", where=str(path),
                         expected="a prompt a line")
    return prompts


def dump_images(pipeline: ImagePipeline, request: Request, out: str | os.PathLike[str], metadata: Mapping[str, Any], *,
                layers: str = "", progress: Callable[[str], None] = lambda line: None) -> None:
    """Run every prompt and write a trace of the chosen layers of the transformer.

    Parameters
    ----------
    out, metadata : as for `TraceWriter`; the request, calibration, versions and what is not covered are added
    layers : regular expression that a layer's name must contain
    progress : called with a line of text at every step

    A layer of the trace is a layer of the model at one step of one prompt, ``NAME@prompt1.step8``: the conditional
    sequence. Its static scales are the model layer's, over all captured steps, prompts and both sequences of guidance.
    Raises TraceError and OutputError as `TraceWriter` does.
    """
    request.check_size(pipeline.pixels_a_token)
    found = survey(pipeline.transformer, pipeline.family, layers)
    names = request.parts()
    count = request.sequences * len(names)
    described = describe(found, {
        **metadata, "family": pipeline.family, "prompts": list(request.prompts), "steps": sorted(request.steps),
        "inference_steps": request.inference_steps, "size": list(request.size), "seed": request.seed,
        "guidance": request.guidance}, _PACKAGES, count if count > 1 else 0)
    with Parts(out, {**described, "fingerprint": pipeline.fingerprint, "layers": layers}) as parts:
        for number, prompt in enumerate(request.prompts, 1):
            todo = {step: name for (of, step), name in names.items() if of == number and not parts.done(name)}
            if todo:
                said = f"prompt {number}/{len(request.prompts)}"
                _run(pipeline, request, prompt, parts, todo, found, said, progress)
        progress("writing")
        assemble(out, parts, found.layers, described, captures={name: f"@{name}" for name in names.values()},
                 measured=list(names.values()) if count > 1 else [])
        parts.remove()


def _run(pipeline: ImagePipeline, request: Request, prompt: str, parts: Parts, todo: Mapping[int, str], found: Survey,
         said: str, progress: Callable[[str], None]) -> None:
    """One prompt through the pipeline, up to the last step of `todo` (step → part)."""
    seen = 0

    def forward(original: Callable[..., Any], latents: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        seen += 1
        step = f"{said}, step {seen}/{request.inference_steps}"
        progress(step)
        if seen not in todo:
            return original(latents, *args, **kwargs)
        patch = pipeline.transformer.config.patch_size
        with parts.writer(todo[seen]) as part:
            part.sequences, part.grid = latents.shape[0], (latents.shape[2] // patch, latents.shape[3] // patch)
            record = Recorder(part, tokens=part.grid[0] * part.grid[1], where=f"@{todo[seen]}", total=len(found.layers),
                              progress=lambda line: progress(f"{step}, layer {line}"))
            with hooked(found.layers, record):
                result = original(latents, *args, **kwargs)
        if seen == max(todo):
            raise _Enough
        return result

    try:
        with running(pipeline.name), _wrapped(pipeline.transformer, forward):
            run_pipeline(pipeline, prompt, steps=request.inference_steps, size=request.size, seed=request.seed,
                         guidance=request.guidance)
    except _Enough:
        return
    raise TraceError("the scheduler takes fewer steps", where="--steps", got=max(todo), expected=f"at most {seen}")


def run_pipeline(pipeline: ImagePipeline, prompt: str, *, steps: int, size: tuple[int, int], seed: int,
                 guidance: float) -> Any:
    """The final latent of a prompt, which is taken as it stands; `size` (H, W) in pixels is that of the image."""
    import torch

    return pipeline.pipe(
        prompt=prompt, num_inference_steps=steps, height=size[0], width=size[1], guidance_scale=guidance,
        output_type="latent", return_dict=False, generator=torch.Generator("cpu").manual_seed(seed),
        clean_caption=False, use_resolution_binning=False)[0]


@contextmanager
def _wrapped(model: Any, forward: Callable[..., Any]) -> Iterator[None]:
    """While the block runs, the model's forward is `forward(original, …)`."""
    original = model.forward
    model.forward = lambda *args, **kwargs: forward(original, *args, **kwargs)
    try:
        yield
    finally:
        del model.forward
