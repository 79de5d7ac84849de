"""A Llama from a GGUF file: its configuration, and its weights by their names in transformers.

What llama.cpp would compute otherwise than transformers' Llama is refused by name, as is a tensor that has no place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.load.gguf_file import GgufFile
from stamp_hw.errors import TraceError

ARCHITECTURE = "llama"
#: Tensor of the file → tensor of transformers.
_OUTER = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
          "output.weight": "lm_head.weight"}
#: The same within a block, ``blk.N`` and ``model.layers.N``.
_INNER = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
          "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
          "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
#: Keys that change nothing here, or are held against the others.
_KNOWN = {"vocab_size", "block_count", "context_length", "embedding_length", "feed_forward_length",
          "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length",
          "attention.layer_norm_rms_epsilon", "rope.freq_base", "rope.dimension_count", "rope.scaling.type",
          "expert_count", "expert_used_count"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufLlama:
    """What a file holds, checked, none of its weights read.

    config : arguments of `LlamaConfig`
    sources : tensor of transformers → tensor of the file, in the file's order
    heads : tensor of transformers → heads whose rows the file has in another order (0: rows as they are)
    """

    file: GgufFile
    config: Mapping[str, Any]
    sources: Mapping[str, str]
    heads: Mapping[str, int]

    def weights(self) -> Iterator[tuple[str, np.ndarray]]:
        """(tensor of transformers, float32), one in memory at a time. Raises TraceError as `GgufFile.float32` does."""
        for name, source in self.sources.items():
            yield name, paired_halves(self.file.float32(source), self.heads[name])


def paired_halves(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key projection, [heads · d, …], in the order of transformers' rotary embedding.

    llama.cpp turns channels 2i and 2i + 1 of a head together, transformers i and i + d/2; its converter interleaved
    the halves, and this takes that back. With 0 heads the rows stay.
    """
    if not heads:
        return rows
    split = rows.reshape(heads, -1, 2, *rows.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(rows.shape))


def read_llama(file: GgufFile) -> GgufLlama:
    """Check a file's metadata, names and shapes. Raises TraceError for what is no plain Llama, or not all of one."""
    config = _config(file)
    wanted = set()
    for name, shape in _shapes(config):
        if name not in file.shapes:
            raise TraceError("tensor is missing", where=file.name, got=f"no {name}", expected="every weight of a Llama")
        if file.shapes[name] != shape:
            raise TraceError("tensor of another shape", where=f"{file.name}, tensor {name}", got=file.shapes[name],
                             expected=str(shape))
        wanted.add(name)
    if more := sorted(set(file.shapes) - wanted):
        raise TraceError("tensor that a plain Llama has not", where=file.name, got=more[0],
                         expected="no biases, scaled rotary frequencies or experts")
    sources = {_transformers_name(name): name for name in file.shapes}
    counts = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    heads = {name: counts.get(name.split(".")[-2], 0) for name in sources}
    return GgufLlama(file=file, config=config, sources=sources, heads=heads)


def _shapes(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(name, shape) of every tensor that the file must hold."""
    hidden, inner, vocabulary = (config[key] for key in ("hidden_size", "intermediate_size", "vocab_size"))
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    yield "token_embd.weight", (vocabulary, hidden)
    yield "output_norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "output.weight", (vocabulary, hidden)
    rows = {"attn_norm": (hidden,), "ffn_norm": (hidden,), "attn_q": (queries, hidden), "attn_k": (keys, hidden),
            "attn_v": (keys, hidden), "attn_output": (hidden, queries), "ffn_gate": (inner, hidden),
            "ffn_up": (inner, hidden), "ffn_down": (hidden, inner)}
    for block in range(config["num_hidden_layers"]):
        for name, shape in rows.items():
            yield f"blk.{block}.{name}.weight", shape


def _transformers_name(name: str) -> str:
    if (match := re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name)) is None:
        return _OUTER[name]
    return f"model.layers.{match[1]}.{_INNER[match[2]]}.weight"


def _config(file: GgufFile) -> dict[str, Any]:
    """Arguments of `LlamaConfig`."""
    found = file.metadata.get("general.architecture")
    if found != ARCHITECTURE:
        raise TraceError("GGUF of another architecture", where=file.name, got=found, expected=ARCHITECTURE)
    if file.metadata.get("split.count", 1) not in (0, 1):
        raise TraceError("one part of several", where=file.name, expected="a GGUF that is one file")
    own = {key.removeprefix(f"{ARCHITECTURE}."): value for key, value in file.metadata.items()
           if key.startswith(f"{ARCHITECTURE}.")}
    if strange := sorted(set(own) - _KNOWN):
        raise TraceError("metadata that a plain Llama has not", where=file.name, got=f"{ARCHITECTURE}.{strange[0]}",
                         expected="none that changes what is computed")

    def number(key: str, kind: type[int] | type[float], default: float | None = None) -> Any:
        value = own.get(key, default)
        if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value < math.inf:
            raise TraceError("metadata is missing or no number above 0", where=f"{file.name}, {ARCHITECTURE}.{key}",
                             got=value, expected="one that fits a Llama")
        return value

    hidden, heads = number("embedding_length", int), number("attention.head_count", int)
    key_heads = number("attention.head_count_kv", int, heads)
    width = number("attention.key_length", int, max(1, hidden // heads))
    vocabulary = file.shapes.get("token_embd.weight", (own.get("vocab_size"),))[0]
    for key, got, expected in (
            ("expert_count", own.get("expert_count", 0), 0),
            ("rope.scaling.type", own.get("rope.scaling.type", "none"), "none"),
            ("attention.value_length", own.get("attention.value_length", width), width),
            ("rope.dimension_count", own.get("rope.dimension_count", width), width),
            ("attention.key_length", width, width + width % 2),
            ("attention.head_count", heads, key_heads * max(1, heads // key_heads)),
            ("vocab_size", own.get("vocab_size", vocabulary), vocabulary)):
        if got != expected:
            raise TraceError("not what a plain Llama has", where=f"{file.name}, {ARCHITECTURE}.{key}", got=got,
                             expected=str(expected))
    ids = {key: file.metadata.get(f"tokenizer.ggml.{key}") for key in ("bos_token_id", "eos_token_id")}
    return {
        "vocab_size": vocabulary, "hidden_size": hidden, "intermediate_size": number("feed_forward_length", int),
        "num_hidden_layers": number("block_count", int), "num_attention_heads": heads, "head_dim": width,
        "num_key_value_heads": key_heads,
        "max_position_embeddings": number("context_length", int),
        "rms_norm_eps": number("attention.layer_norm_rms_epsilon", float),
        "rope_parameters": {"rope_type": "default", "rope_theta": number("rope.freq_base", float, 10000.0)},
        "tie_word_embeddings": "output.weight" not in file.shapes, **ids}
