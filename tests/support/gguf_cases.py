"""Tiny Llamas as GGUF files, and their weights read by other means than ours."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.train.text import END_OF_TEXT
from tests.support.dump_cases import TEXT

HIDDEN, INNER, HEADS, KEY_HEADS, WIDTH, BLOCKS, VOCABULARY = 64, 96, 4, 2, 16, 2, 300
#: What each tensor is stored as; norms are always F32.
MIXED = {"token_embd": "Q8_0", "output": "Q8_0", "attn_q": "Q4_1", "attn_k": "Q4_1", "attn_v": "Q8_0"}
NAMES = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
         "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
SPECIAL = "<|im_start|>"


def llama(seed: int, *, tied: bool) -> Any:
    """A random `LlamaForCausalLM` whose norms are not 1."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=BLOCKS,
        num_attention_heads=HEADS, num_key_value_heads=KEY_HEADS, max_position_embeddings=40, rms_norm_eps=1e-5,
        tie_word_embeddings=tied, initializer_range=0.3, bos_token_id=0, eos_token_id=0,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0})).eval()
    for name, value in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(value, 0.5, 1.5)
    return model


def tokenizer() -> Any:
    """The `tokenizers.Tokenizer` of the tiny Llamas; its last token is a special one."""
    from models.train.llama import train_tokenizer

    made = train_tokenizer(TEXT + "in 1865, or 12 and 34; ", VOCABULARY - 1)
    made.add_special_tokens([SPECIAL])
    return made


def interleaved(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows as llama.cpp's converter puts them: of each head 0, d/2, 1, d/2 + 1, …"""
    half = len(rows) // heads // 2
    return np.stack([rows[head * 2 * half + place // 2 + half * (place % 2)]
                     for head in range(heads) for place in range(2 * half)])


def tensors(model: Any, *, tied: bool) -> dict[str, np.ndarray]:
    """GGUF name → float32, as llama.cpp's converter would write it."""
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    found = {"token_embd.weight": state["model.embed_tokens.weight"]}
    for block in range(BLOCKS):
        for name, theirs in NAMES.items():
            value = state[f"model.layers.{block}.{theirs}.weight"]
            heads = {"attn_q": HEADS, "attn_k": KEY_HEADS}.get(name)
            found[f"blk.{block}.{name}.weight"] = interleaved(value, heads) if heads else value
    found["output_norm.weight"] = state["model.norm.weight"]
    return found if tied else {**found, "output.weight": state["lm_head.weight"]}


def write(path: Path, model: Any, *, tied: bool, stored: Mapping[str, str] = MIXED, architecture: str = "llama",
          change: Callable[[dict[str, np.ndarray]], object] = lambda _: None,
          tell: Callable[[Any], object] = lambda _: None, pre: str = "gpt-2", kind: str = "gpt2") -> Path:
    """The model as a GGUF file; `change` gets its tensors, `tell` the writer, for more metadata."""
    import gguf

    made = tokenizer()
    vocabulary = sorted(made.get_vocab(), key=made.get_vocab().__getitem__)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(40)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(5000.0)
    writer.add_rope_dimension_count(WIDTH)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model(kind)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if token in (SPECIAL, END_OF_TEXT) else 1 for token in vocabulary])
    writer.add_token_merges(merges(made))
    writer.add_bos_token_id(vocabulary.index(SPECIAL))
    writer.add_eos_token_id(vocabulary.index(END_OF_TEXT))
    tell(writer)
    values = tensors(model, tied=tied)
    change(values)
    for name, value in values.items():
        kind_of_tensor = gguf.GGMLQuantizationType[stored.get(name.split(".")[-2], "F32")]
        if kind_of_tensor == gguf.GGMLQuantizationType.F32:
            writer.add_tensor(name, value)
        else:
            writer.add_tensor(name, gguf.quants.quantize(value, kind_of_tensor), raw_dtype=kind_of_tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def merges(made: Any) -> list[str]:
    """The merges of a tokenizer, as its JSON has them."""
    import json

    return [merge if isinstance(merge, str) else " ".join(merge)
            for merge in json.loads(made.to_str())["model"]["merges"]]


def dequantized(value: np.ndarray, stored: str) -> np.ndarray:
    """What a tensor holds once it was stored: block by block out of the bytes, in float32, one operation at a time."""
    import gguf

    if stored == "F32":
        return value
    packed = gguf.quants.quantize(value, gguf.GGMLQuantizationType[stored])
    data = packed.tobytes()
    out: list[np.float32] = []
    if stored == "Q4_1":
        for at in range(0, len(data), 20):
            step, least, *pairs = struct.unpack("<ee16B", data[at : at + 20])
            codes = [pair & 15 for pair in pairs] + [pair >> 4 for pair in pairs]
            out += [np.float32(np.float32(step) * np.float32(code)) + np.float32(least) for code in codes]
    else:
        assert stored == "Q8_0"
        for at in range(0, len(data), 34):
            step, *codes = struct.unpack("<e32b", data[at : at + 34])
            out += [np.float32(step) * np.float32(code) for code in codes]
    found = np.array(out, np.float32)
    assert (from_blocks(packed.reshape(-1), stored).reshape(-1) == found).all(), "the two of them agree"
    return found.reshape(value.shape)


def from_blocks(data: np.ndarray, stored: str) -> np.ndarray:
    """float32[…] of a stored tensor's uint8[…], as `dequantized` has them, all blocks at once."""
    if stored == "F32":
        return data.view("<f4")
    blocks = data.reshape(-1, {"Q4_1": 20, "Q8_0": 34}[stored])
    step = blocks[:, :2].copy().view("<f2").astype(np.float32)
    if stored == "Q8_0":
        return step * blocks[:, 2:].view(np.int8).astype(np.float32)
    least = blocks[:, 2:4].copy().view("<f2").astype(np.float32)
    codes = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
    return step * codes.astype(np.float32) + least
