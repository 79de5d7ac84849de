"""Models that several files of this folder run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.dump_cases import QWENS, TEXT


@pytest.fixture(scope="module")
def qwens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random Qwens, and a Llama, of odd sizes with a tokenizer and a text; Qwen2's q, k, v have biases, Qwen3's q and k
    are normalised."""
    torch = pytest.importorskip("torch")
    import transformers

    from models.train.llama import train_tokenizer

    folders = {}
    for name in (*QWENS, "Llama"):
        folders[name] = folder = tmp_path_factory.mktemp(name)
        torch.manual_seed(int(os.environ["STAMP_SEED"]))
        config = getattr(transformers, f"{name}Config")(
            vocab_size=280, hidden_size=36, intermediate_size=50, num_hidden_layers=2, num_attention_heads=6,
            num_key_value_heads=3, head_dim=6, max_position_embeddings=40, tie_word_embeddings=True, bos_token_id=0,
            eos_token_id=0, initializer_range=0.3)
        model = getattr(transformers, f"{name}ForCausalLM")(config)
        for parameter, value in model.named_parameters():
            if parameter.endswith("bias"):
                torch.nn.init.normal_(value)
        model.save_pretrained(folder)
        transformers.PreTrainedTokenizerFast(tokenizer_object=train_tokenizer(TEXT, 280)).save_pretrained(folder)
        (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    return folders
