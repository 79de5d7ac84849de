"""Causal language models of any family: all their linear layers are taken, with roles where names are known, or the
model is refused with the name and the reason of what cannot be covered."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stamp_hw.cli.main import main
from stamp_hw.formats.trace import Trace
from tests.support.dump_cases import TEXT, command
from tests.support.eval_cases import evaluated

pytestmark = [pytest.mark.trace, pytest.mark.usefixtures("one_thread")]

SIZES = {"vocab_size": 280, "hidden_size": 36, "intermediate_size": 50, "num_hidden_layers": 2,
         "num_attention_heads": 6, "num_key_value_heads": 3, "max_position_embeddings": 40, "bos_token_id": 0,
         "eos_token_id": 0, "pad_token_id": 0}
WIDE = {"head_dim": 6}
EIGHT = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SIX = tuple(kind for kind in EIGHT if kind != "gate_proj")
#: Class of the configuration without `Config` → its own sizes, and the kinds of a block's layers.
TAKEN: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "Mistral": ({}, EIGHT), "Qwen3": (WIDE, EIGHT), "Gemma": (WIDE, EIGHT), "Gemma3Text": (WIDE, EIGHT),
    "Olmo2": ({}, EIGHT), "Phi": ({"num_attention_heads": 3}, SIX), "Starcoder2": ({}, SIX),
    "OPT": ({"ffn_dim": 50, "word_embed_proj_dim": 36}, SIX)}
#: The same, of what is refused → what the message names.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "Phi3": ({}, "model.layers.0.self_attn.qkv_proj (fused qkv), model.layers.0.mlp.gate_up_proj (fused gate and up), "
                 "model.layers.1.self_attn.qkv_proj (fused qkv) and 1 more"),
    "Mixtral": ({"num_local_experts": 2}, "model.layers.0.mlp.experts.gate_up_proj (experts), "
                                          "model.layers.0.mlp.experts.down_proj (experts)"),
    "GPTNeoX": ({}, "gpt_neox.layers.0.attention.query_key_value (fused qkv)"),
    "GPT2": ({"n_embd": 36, "n_head": 6, "n_layer": 2}, "transformer.h.0.attn.c_attn.weight (a matrix of Conv1D)"),
    "Mamba": ({}, "backbone.layers.0.mixer.A_log (a matrix of MambaMixer), backbone.layers.0.mixer.conv1d (4 "
                  "convolution in 50 groups (depthwise))")}


def made(folder: Path, name: str, sizes: dict[str, Any], head: str = "ForCausalLM") -> Path:
    """A random checkpoint with a tokenizer and a text."""
    torch = pytest.importorskip("torch")
    import transformers

    from models.train.llama import train_tokenizer

    torch.manual_seed(int(os.environ["STAMP_SEED"]))
    config = getattr(transformers, f"{name}Config")(**{**SIZES, "initializer_range": 0.2, **sizes})
    kind = {"Gemma3Text": "Gemma3ForCausalLM", "GPT2": "GPT2LMHeadModel"}.get(name, f"{name}{head}")
    getattr(transformers, kind)(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=train_tokenizer(TEXT, 280)).save_pretrained(folder)
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    return folder


def words(folder: Path) -> list[str]:
    return ["--model", str(folder), "--text", str(folder / "text.txt"), "--length", "33"]


@pytest.mark.parametrize("name", TAKEN)
def test_every_linear_layer_is_taken_with_its_role(tmp_path: Path, name: str) -> None:
    sizes, kinds = TAKEN[name]
    folder = made(tmp_path / "model", name, sizes)
    assert command("dump", *words(folder), "--out", tmp_path / "t") == 0
    with Trace.open(tmp_path / "t") as trace:
        found = Counter(trace.entry(layer).kind for layer in trace.layer_names)
        assert found == {**dict.fromkeys(kinds, 2), "lm_head": 1} and trace.linear_layers == len(trace)
        assert all(trace.entry(layer).transform for layer in trace.layer_names)


@pytest.mark.parametrize("name", ["Mistral", "Gemma", "Olmo2", "OPT"])
def test_a_model_of_another_family_is_evaluated(tmp_path: Path, name: str) -> None:
    folder = made(tmp_path / "model", name, TAKEN[name][0])
    rows = evaluated(tmp_path, *words(folder), "--sequences", "2", "--schemes", "a8,a4,stamp", "--job", "weight_bits=8")
    assert rows["a8"]["kl"] < 0.2 * rows["a4"]["kl"] and len(rows["a8"]["layers"]) == 2 * len(TAKEN[name][1]) + 1


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_covered_is_refused_with_its_name_and_reason(tmp_path: Path, name: str,
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    sizes, message = REFUSED[name]
    folder = made(tmp_path / "model", name, sizes)
    capsys.readouterr()
    for argv in (["trace", "dump", *words(folder), "--out", str(tmp_path / "t")], ["eval", *words(folder)]):
        assert main(argv) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1 and "layers that cannot be covered; got " in line and message in line, line
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_layers_that_can_be_covered_are_taken_where_only_they_are_asked_for(tmp_path: Path) -> None:
    folder = made(tmp_path / "model", "Phi3", {})
    assert command("dump", *words(folder), "--layers", "o_proj|down_proj", "--out", tmp_path / "t") == 0
    with Trace.open(tmp_path / "t") as trace:
        assert len(trace) == 4 and trace.linear_layers == 9, "of those that the model has"


def test_a_model_that_predicts_no_next_token_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made(tmp_path / "model", "Bert", {}, "ForMaskedLM")
    capsys.readouterr()
    assert main(["eval", *words(folder)]) == 2
    assert ("not a causal language model that transformers knows; got model type bert, BertForMaskedLM; expected "
            "BertLMHeadModel\n") in capsys.readouterr().err


def test_a_layer_of_a_name_that_no_rule_knows_is_one_of_kind_other(tmp_path: Path, caplog: pytest.LogCaptureFixture
                                                                   ) -> None:
    """Latent attention's own projections."""
    folder = made(tmp_path / "model", "DeepseekV3", {"num_key_value_heads": 6, "q_lora_rank": 8, "kv_lora_rank": 8,
                                                     "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 6,
                                                     "first_k_dense_replace": 2})
    assert command("dump", *words(folder), "--out", tmp_path / "t") == 0
    assert "8 layers of unknown role, recorded as kind other: model.layers.0.self_attn.q_a_proj" in caplog.text
    with Trace.open(tmp_path / "t") as trace:
        others = [name for name in trace.layer_names if trace.entry(name).kind == "other"]
        assert len(others) == 8 and all(trace.entry(name).transform for name in others)
    caplog.clear()
    evaluated(tmp_path, *words(folder), "--sequences", "1", "--schemes", "stamp")
    assert "8 layers of unknown role, run without transform: model.layers.0.self_attn.q_a_proj" in caplog.text
