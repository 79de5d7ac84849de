"""The workload of a decoder for text, from the fields of its Hugging Face `config.json`.

A block is q, k, v (one input), attention with rotary positions, o, gate and up (one input), down; two norms and two
residuals. Of a prompt's prefill the head sees the last token alone, of a decode step its one token.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.workload.fields import Fields
from sim.workload.ops import Attention, Linear, Op, Phase, Vector, Workload
from sim.workload.vector import PASSES
from stamp_hw.errors import ConfigError

#: `model_type`s whose blocks are of that form.
FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "olmo", "olmo2", "smollm3", "granite", "cohere")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "num_experts_per_tok")
NOT_INCLUDED = ("token embedding (a read of one row a token)", "sampling", "the host's own time between jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked of a language model: tokens of the prompt, tokens that are generated, sequences at once, bits of
    the KV cache."""

    prefill: int = 2048
    decode: int = 256
    batch: int = 1
    kv_bits: int = 8


def workload(name: str, fields: Fields, ask: Ask) -> Workload:
    """Prefill and decode of a model. Raises ConfigError for a model of another form, naming the field."""
    family = fields.data.get("model_type")
    for experts in _EXPERTS:
        if fields.given(experts):
            raise fields.refuse("experts are not covered", experts, "a dense model")
    if family not in FAMILIES:
        raise fields.refuse("a model of another form", "model_type", f"one of {', '.join(FAMILIES)}, PixArt or SANA")
    if ask.prefill + ask.decode < 1:
        raise ConfigError("nothing to do", where="--prefill, --decode", got="0 and 0", expected="a token of one")
    phases = []
    if ask.prefill:
        phases.append(Phase(name="prefill", unit="token", produces=ask.prefill * ask.batch, batch=ask.batch,
                            ops=_ops(fields, ask.prefill, ask.prefill, 0, ask.kv_bits)))
    if ask.decode:
        phases.append(Phase(name="decode", unit="token", produces=ask.decode * ask.batch, batch=ask.batch,
                            steps=ask.decode, ops=_ops(fields, 1, ask.prefill + 1, 1, ask.kv_bits)))
    notes = list(NOT_INCLUDED)
    if fields.given("sliding_window") and fields.data.get("use_sliding_window", True):
        notes.append("sliding windows: every layer attends to the whole context")
    return Workload(name=name, phases=tuple(phases), not_included=tuple(notes))


def _ops(fields: Fields, tokens: int, context: int, grow: int, kv_bits: int) -> tuple[Op, ...]:
    """The operations of a step in which each sequence has so many new tokens."""
    hidden, inner = fields.whole("hidden_size"), fields.whole("intermediate_size")
    blocks, heads = fields.whole("num_hidden_layers"), fields.whole("num_attention_heads")
    kv_heads = fields.whole("num_key_value_heads", heads)
    head_dim = fields.whole("head_dim", hidden // heads)
    if heads % kv_heads:
        raise fields.refuse("heads do not share keys evenly", "num_key_value_heads", f"a divisor of {heads} heads")
    queries, keys = heads * head_dim, kv_heads * head_dim

    def vector(name: str, function: str, values: int) -> Vector:
        return Vector(name=name, values=values * tokens, passes=PASSES[function], repeat=blocks)

    return (
        vector("norms", "norm", 2 * hidden),
        Linear(name="qkv", tokens=tokens, k=hidden, repeat=blocks,
               outputs=(("q_proj", queries), ("k_proj", keys), ("v_proj", keys))),
        vector("rope", "rope", queries + keys),
        Attention(name="attention", tokens=tokens, heads=heads, kv_heads=kv_heads, head_dim=head_dim, context=context,
                  grow=grow, causal=True, kv_bits=kv_bits, repeat=blocks),
        Linear(name="o", tokens=tokens, k=queries, outputs=(("o_proj", hidden),), repeat=blocks),
        Linear(name="gate_up", tokens=tokens, k=hidden, outputs=(("gate_proj", inner), ("up_proj", inner)),
               repeat=blocks),
        vector("gate", "gate", inner),
        Linear(name="down", tokens=tokens, k=inner, outputs=(("down_proj", hidden),), repeat=blocks),
        vector("residuals", "add", 2 * hidden),
        Linear(name="lm_head", tokens=1, k=hidden, outputs=(("lm_head", fields.whole("vocab_size")),)),
    )
