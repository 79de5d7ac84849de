"""The workload of a diffusion transformer for images, from the fields of its `config.json` (diffusers): PixArt, SANA.

Both embed patches of a latent by a linear layer, project the prompt's tokens and the time, and run blocks of self
attention, attention to the prompt and a feed-forward part. PixArt's is two linear layers; SANA's self attention is
linear, softmax(Q·Kᵀ)·V without the softmax as Q·(Kᵀ·V), and its feed-forward part holds a depthwise convolution between
two linear ones. What the running model computes again in every step is counted in every step.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.workload.fields import Fields
from sim.workload.ops import Attention, Linear, Op, Phase, Product, Vector, Workload
from sim.workload.vector import PASSES
from stamp_hw.errors import ConfigError

NOT_INCLUDED = ("text encoder", "decoder of the latent (VAE)", "scheduler", "the host's own time between jobs")
_TIME_CHANNELS = 256  # of the sinusoids that embed a time step (diffusers, TimestepEmbedding)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked of an image model: pixels a side (None: the model's own), denoising steps, with or without
    classifier-free guidance (which runs every image twice), images at once, tokens of a prompt, bits of keys and values
    on their way back into the array."""

    size: int | None = None
    steps: int = 20
    guidance: bool = True
    batch: int = 1
    prompt: int = 300
    kv_bits: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """What the families differ in: pixels of a latent's pixel, and the defaults of fields that a file may leave out."""

    pixels: int
    patch: int
    sample: int


_FORMS = {"PixArtTransformer2DModel": _Form(pixels=8, patch=2, sample=128),
          "SanaTransformer2DModel": _Form(pixels=32, patch=1, sample=32)}
CLASSES = tuple(_FORMS)


def workload(name: str, fields: Fields, ask: Ask) -> Workload:
    """All steps of `ask.batch` images. Raises ConfigError for a size that the model cannot have."""
    own = str(fields.data["_class_name"])
    form = _FORMS[own]
    patch = fields.whole("patch_size", form.patch)
    size = fields.whole("sample_size", form.sample) * form.pixels if ask.size is None else ask.size
    stride = form.pixels * patch
    if size % stride:
        raise ConfigError("impossible size", where="--size", got=size, expected=f"a multiple of {stride} pixels")
    side = size // stride
    ops = (_pixart if own == CLASSES[0] else _sana)(fields, side, patch, ask)
    phase = Phase(name="denoise", unit="image", produces=ask.batch, steps=ask.steps,
                  batch=ask.batch * (2 if ask.guidance else 1), ops=ops)
    return Workload(name=name, phases=(phase,), not_included=NOT_INCLUDED)


def _around(fields: Fields, side: int, patch: int, inner: int, ask: Ask, prompt: int) -> tuple[list[Op], list[Op]]:
    """What stands in front of the blocks and behind them."""
    def time(name: str, k: int, n: int) -> Linear:
        return Linear(name=name, tokens=1, k=k, outputs=(("time", n),), transform=False)

    front: list[Op] = [
        Linear(name="patch_embed", tokens=side * side, grid=(side, side), k=fields.whole("in_channels") * patch * patch,
               outputs=(("patch", inner),)),
        time("time_in", _TIME_CHANNELS, inner), time("time_mid", inner, inner), time("time_out", inner, 6 * inner),
        Linear(name="text_in", tokens=ask.prompt, k=prompt, outputs=(("text_proj", inner),), transform=False),
        Linear(name="text_out", tokens=ask.prompt, k=inner, outputs=(("text_proj", inner),), transform=False),
    ]
    behind: list[Op] = [Linear(name="proj_out", tokens=side * side, grid=(side, side), k=inner,
                               outputs=(("proj_out", fields.whole("out_channels") * patch * patch),))]
    return front, behind


def _block(side: int, inner: int, blocks: int, *, heads: int, ask: Ask, attention: list[Op], feed: list[Op]
           ) -> list[Op]:
    """A block's layers over the tokens of the image; `heads` of the attention to the prompt."""
    tokens, grid = side * side, (side, side)

    def image(name: str, outputs: tuple[str, ...]) -> Linear:
        return Linear(name=name, tokens=tokens, grid=grid, k=inner, repeat=blocks,
                      outputs=tuple((kind, inner) for kind in outputs))

    def vector(name: str, function: str, values: int) -> Vector:
        return Vector(name=name, values=values * tokens, passes=PASSES[function], repeat=blocks)

    return [
        vector("norms", "norm", 2 * inner), vector("modulation", "modulate", 2 * inner),
        image("self_qkv", ("self_q", "self_k", "self_v")), *attention, image("self_o", ("self_o",)),
        image("cross_q", ("cross_q",)),
        Linear(name="cross_kv", tokens=ask.prompt, k=inner, outputs=(("cross_k", inner), ("cross_v", inner)),
               repeat=blocks, transform=False),
        Attention(name="cross_attention", tokens=tokens, heads=heads, kv_heads=heads, head_dim=inner // heads,
                  context=ask.prompt, kv_bits=ask.kv_bits, repeat=blocks),
        image("cross_o", ("cross_o",)), *feed, vector("residuals", "add", 3 * inner),
    ]


def _pixart(fields: Fields, side: int, patch: int, ask: Ask) -> tuple[Op, ...]:
    heads, blocks = fields.whole("num_attention_heads"), fields.whole("num_layers")
    head_dim = fields.whole("attention_head_dim")
    inner, tokens, grid = heads * head_dim, side * side, (side, side)
    if fields.given("use_additional_conditions"):
        raise fields.refuse("conditions on size and aspect are not covered", "use_additional_conditions", "false")
    front, behind = _around(fields, side, patch, inner, ask, fields.whole("caption_channels", 4096))
    attention: list[Op] = [Attention(name="self_attention", tokens=tokens, heads=heads, kv_heads=heads,
                                     head_dim=head_dim, context=tokens, kv_bits=ask.kv_bits, repeat=blocks)]
    feed: list[Op] = [
        Linear(name="ff_in", tokens=tokens, grid=grid, k=inner, outputs=(("ff_in", 4 * inner),), repeat=blocks),
        Vector(name="gelu", values=4 * inner * tokens, passes=PASSES["gelu"], repeat=blocks),
        Linear(name="ff_out", tokens=tokens, grid=grid, k=4 * inner, outputs=(("ff_out", inner),), repeat=blocks)]
    return (*front, *_block(side, inner, blocks, heads=heads, ask=ask, attention=attention, feed=feed), *behind)


def _sana(fields: Fields, side: int, patch: int, ask: Ask) -> tuple[Op, ...]:
    heads, blocks = fields.whole("num_attention_heads"), fields.whole("num_layers")
    head_dim = fields.whole("attention_head_dim")
    inner, tokens, grid = heads * head_dim, side * side, (side, side)
    wide = round(inner * fields.number("mlp_ratio", 2.5))
    front, behind = _around(fields, side, patch, inner, ask, fields.whole("caption_channels", 2304))
    # A column of ones beside V makes the sums that divide: one more row of Vᵀ·K, and one more output.
    attention: list[Op] = [
        Vector(name="relu", values=2 * inner * tokens, passes=PASSES["relu"], repeat=blocks),
        Product(name="values_by_keys", tokens=head_dim + 1, k=tokens, n=head_dim, heads=heads, kv_bits=ask.kv_bits,
                repeat=blocks),
        Product(name="queries_by_sums", tokens=tokens, k=head_dim, n=head_dim + 1, heads=heads, kv_bits=ask.kv_bits,
                repeat=blocks)]
    feed: list[Op] = [
        Linear(name="ff_in", tokens=tokens, grid=grid, k=inner, outputs=(("ff_in", 2 * wide),), repeat=blocks),
        Vector(name="depthwise", values=2 * wide * tokens, passes=PASSES["depthwise"], repeat=blocks),
        Vector(name="gate", values=wide * tokens, passes=PASSES["gate"], repeat=blocks),
        Linear(name="ff_out", tokens=tokens, grid=grid, k=wide, outputs=(("ff_out", inner),), repeat=blocks)]
    cross = fields.whole("num_cross_attention_heads", heads)
    return (*front, *_block(side, inner, blocks, heads=cross, ask=ask, attention=attention, feed=feed), *behind)
