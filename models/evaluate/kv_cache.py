"""A key/value cache that holds K and V in 4 bits, the first tokens at 8, with or without the sequence transform.

The paper's KV4.125 keeps the first 64 of 2048 tokens at 8 bits. Each token of each head has a scale of its own. A run
of several tokens (prefill) is lifted along the tokens, quantized in coefficient order and transformed back before
attention reads it; a run of one token (decode) is quantized as it is. Keys are what the model caches: behind their
rotary embedding.

The integers are the datapath's (INT16 input by the run's own absmax, lifting, quantizer); the engine itself multiplies
by weights, so attention's products stay in float here and have no cycles in the simulator.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from stamp_hw.config import NpuConfig, ResolvedJob
from stamp_hw.errors import LayerError
from stamp_hw.layer import MIN_SCALE
from stamp_hw.scale import scale_bits
from stamp_hw.torch import engine, haar, scale


class QuantizedCache(DynamicCache):
    """Caches K and V as `config`'s job quantizes them; `n_hi` counts tokens from the start of the sequence.

    `bits`, `scale_bits` and `tokens` count, over all layers, the bits of a value, of its part of the scales, and the
    tokens that were cached.
    """

    def __init__(self, config: NpuConfig) -> None:
        super().__init__()
        self.job_config, self.bits, self.scale_bits, self.tokens = config, 0.0, 0.0, 0

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
               ) -> tuple[Tensor, Tensor]:
        """Float [B, H, S, D] of new tokens in; all tokens' so far out, as the cache holds them."""
        start = self.get_seq_length(layer_idx)
        keys, values = (quantize_states(states, self.job_config, start) for states in (key_states, value_states))
        tokens = key_states.shape[-2]
        job = job_of(self.job_config, tokens, start)
        self.bits += job.average_bits * tokens
        width = key_states.shape[-1]
        self.scale_bits += scale_bits(self.job_config, job, width) / width * tokens
        self.tokens += tokens
        keys, values = super().update(keys, values, layer_idx, *args, **kwargs)
        return keys, values


def quantize_states(states: Tensor, config: NpuConfig, start: int = 0) -> Tensor:
    """Float [B, H, S, D] of tokens from position `start` on, quantized and back; every sequence of the batch alone."""
    return torch.stack([_sequence(one, config, start) for one in states]).to(states.dtype)


def job_of(config: NpuConfig, tokens: int, start: int) -> ResolvedJob:
    """The job of a run of `tokens` from position `start` on: only a prefill from the start is transformed."""
    own = config.with_job(n_hi=max(0, config.job.n_hi - start)) if isinstance(config.job.n_hi, int) else config
    return own.resolve(tokens, transform=start == 0 and tokens > 1)


def _sequence(states: Tensor, config: NpuConfig, start: int) -> Tensor:
    """[H, S, D] through the integers and back."""
    heads, tokens, width = states.shape
    x = states.movedim(0, 1).reshape(tokens, heads * width).float()
    if not torch.isfinite(x).all():
        raise LayerError("NaN or infinite values", where="keys or values", expected="finite values")
    job = job_of(config, tokens, start)
    s_x = max(float(x.abs().max()) / ((1 << (config.hw.in_width - 1)) - 1), MIN_SCALE)
    codes, _, _ = engine.quantize_input(x, s_x, 0, config.hw.in_width)
    # A scale a token and head: each head of a token is a token of its own to the quantizer.
    lifted = haar.forward(codes, job.levels).reshape(tokens * heads, width)
    coded = scale.dequantize(scale.quantize(lifted, job.n_hi * heads, config.with_job(group=None)))
    real = haar.inverse_real(coded.reshape(tokens, heads * width), job.levels) * s_x
    return real.reshape(tokens, heads, width).movedim(1, 0)
