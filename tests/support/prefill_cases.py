"""A Llama of two blocks, made here, and hardware for its prefill: what the tests of both parts share."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.dump_cases import TEXT

HIDDEN, INNER, VOCABULARY, TOKENS = 32, 80, 280, 24
NAMES = [*(f"model.layers.{block}.{part}" for block in (0, 1) for part in (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
    "mlp.down_proj")), "lm_head"]
#: All that the language preset has, on an array of 2 × 3: a Hadamard unit, scales a block, packed weights in groups.
CONFIG = """
hw: {rows: 2, cols: 3, lanes: 8, axes: 1, max_levels: 3, max_k: 96, max_tokens: 32, act_slots: 12, rescale_lanes: 1,
     hadamard: 16, block: 16, packed_weights: true}
job: {levels: auto, n_hi: auto, group: 16, hadamard: auto, weight_bits: 4, weight_group: 32}
kinds:
  lm_head: {weight_bits: 8, weight_group: null}
"""


def make(folder: Path) -> Path:
    """The model, with its tokenizer, the text that it runs on and one to calibrate on, and `hw.yaml`."""
    import torch
    import transformers

    from models.train.llama import train_tokenizer

    torch.manual_seed(int(os.environ["STAMP_SEED"]))
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0,
        initializer_range=0.3)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=train_tokenizer(TEXT, VOCABULARY)).save_pretrained(folder)
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    (folder / "calibration.txt").write_text(TEXT[7:] + TEXT, encoding="utf-8")
    (folder / "hw.yaml").write_text(CONFIG, encoding="utf-8")
    return folder


def words(folder: Path, *more: str) -> list[str]:
    """Options of `trace prefill` and of `verify --model`; what `more` gives takes the place of what is here."""
    own = {"--model": folder, "--text": folder / "text.txt", "--calibration": folder / "calibration.txt",
           "--sequences": 2, "--tokens": TOKENS, "--config": folder / "hw.yaml"}
    return [*(str(word) for pair in own.items() if pair[0] not in more for word in pair), *more]
