"""GGUF files of Llamas: the weights are an independent dequantization's, the model is the one that was written, and
what is no plain Llama, or not all of one, is refused in one line."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.load.checkpoint import load
from models.load.gguf_llama import paired_halves
from stamp_hw.cli.main import main
from stamp_hw.errors import ToolError, TraceError
from stamp_hw.formats.trace import Trace
from tests.support import gguf_cases as cases
from tests.support.dump_cases import TEXT, command

pytestmark = [pytest.mark.trace, pytest.mark.usefixtures("one_thread")]
pytest.importorskip("gguf")

WORDS = "it's 1865: they'd\n\n  jump over 12 dogs <|im_start|>user é 中 🙂"


@pytest.fixture(scope="module")
def model() -> Any:
    pytest.importorskip("torch")
    return cases.llama(int(os.environ["STAMP_SEED"]), tied=True)


@pytest.fixture(scope="module")
def mixed(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a GGUF of Q4_1, Q8_0 and F32 tensors and a text."""
    folder = tmp_path_factory.mktemp("mixed")
    cases.write(folder / "tiny.gguf", model, tied=True)
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    return folder


# --- what is read ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_every_weight_is_that_of_an_independent_dequantization(tmp_path: Path, tied: bool) -> None:
    made = cases.llama(int(os.environ["STAMP_SEED"]) + 1, tied=tied)
    loaded = load(str(cases.write(tmp_path / "tiny.gguf", made, tied=tied))).model
    assert (loaded.lm_head.weight is loaded.model.embed_tokens.weight) == tied
    seen = set()
    expected = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
    for name, value in cases.tensors(made, tied=tied).items():
        block, inner = re.fullmatch(r"(?:blk\.(\d)\.)?(\w+)\.weight", name).groups()  # type: ignore[union-attr]
        want = cases.dequantized(value, cases.MIXED.get(inner, "F32"))
        if inner in ("attn_q", "attn_k"):  # rows of a head 0, d/2, 1, …: the even ones first, then the odd ones
            heads = cases.HEADS if inner == "attn_q" else cases.KEY_HEADS
            want = np.concatenate([part[start::2] for part in np.split(want, heads) for start in (0, 1)])
        theirs = expected[inner] if block is None else f"model.layers.{block}.{cases.NAMES[inner]}"
        got = loaded.get_submodule(theirs).weight.detach().numpy()
        assert got.dtype == np.float32 and got.shape == want.shape and (got == want).all(), name
        seen.add(theirs)
    assert len(seen) == 2 + 9 * cases.BLOCKS + (not tied)


def test_a_file_of_float32_predicts_exactly_what_the_model_it_was_made_of_does(tmp_path: Path, model: Any) -> None:
    """Rows of queries and keys, base of the rotary embedding, epsilon: a mistake in any of them shows here."""
    import torch

    path = cases.write(tmp_path / "plain.gguf", model, tied=True, stored={})
    tokens = torch.arange(1, 40)[None]
    with torch.no_grad():
        want, got = (one(input_ids=tokens).logits for one in (model, load(str(path)).model))
    assert (got == want).all() and want.std() > 0.1


def test_rows_in_llama_cpps_order_go_back_and_others_stay(rng: np.random.Generator) -> None:
    rows = rng.standard_normal((24, 5), np.float32)
    assert (paired_halves(cases.interleaved(rows, 3), 3) == rows).all()
    assert not (paired_halves(rows, 3) == rows).all() and (paired_halves(rows, 0) == rows).all()


def test_tokens_are_those_of_the_tokenizer_that_was_written_and_give_the_text_back(mixed: Path) -> None:
    from transformers import AutoTokenizer

    ours, theirs = load(str(mixed)).tokenizer, cases.tokenizer()
    other = AutoTokenizer.from_pretrained(mixed, gguf_file="tiny.gguf")
    for text in (TEXT, WORDS):
        ids = ours(text).input_ids
        assert ids == theirs.encode(text).ids == other(text).input_ids
        assert ours.decode(ids) == text
    assert ids.count(theirs.token_to_id(cases.SPECIAL)) == 1 and ours.bos_token == cases.SPECIAL


def test_digits_are_pieces_of_their_own_where_the_file_says_so(tmp_path: Path, model: Any) -> None:
    ours = load(str(cases.write(tmp_path / "s.gguf", model, tied=True, pre="smollm"))).tokenizer
    plain = cases.tokenizer()
    text = WORDS + " in 1865, or 12 and 34; "
    pieces = [piece for piece in re.split(r"(<\|im_start\|>|\d)", text) if piece]
    assert ours(text).input_ids == [number for piece in pieces for number in plain.encode(piece).ids]
    assert ours(text).input_ids != plain.encode(text).ids, "digits merge with what is around them otherwise"


def test_a_first_token_is_added_where_the_file_says_so(tmp_path: Path, model: Any) -> None:
    path = cases.write(tmp_path / "b.gguf", model, tied=True, tell=lambda writer: writer.add_add_bos_token(True))
    ours = load(str(path)).tokenizer
    assert ours("the").input_ids == [ours.bos_token_id, *ours("the", add_special_tokens=False).input_ids]


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_a_file_its_folder_and_its_conversion_are_the_same_model(tmp_path: Path, mixed: Path, dtype: str | None
                                                                 ) -> None:
    from models.fetch.convert import convert, weights_digest

    convert(mixed / "tiny.gguf", tmp_path / "made")
    assert weights_digest(tmp_path / "made") != weights_digest_of(tmp_path / "other", mixed)
    states = [load(str(place), dtype).model.state_dict() for place in (mixed / "tiny.gguf", mixed, tmp_path / "made")]
    assert all(set(state) == set(states[0]) for state in states)
    for name, value in states[0].items():
        assert all((state[name] == value).all() and state[name].dtype == value.dtype for state in states), name
    assert str(value.dtype) == f"torch.{dtype or 'float32'}"
    ids = [load(str(place)).tokenizer(WORDS).input_ids for place in (mixed, tmp_path / "made")]
    assert ids[0] == ids[1]


def weights_digest_of(folder: Path, mixed: Path) -> str:
    """The digest of a conversion one bit of which differs."""
    from models.fetch.convert import convert, weights_digest

    convert(mixed / "tiny.gguf", folder)
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(data)
    return weights_digest(folder)


@pytest.mark.parametrize("name", ["tiny.gguf", "."])
def test_a_dump_takes_a_file_or_its_folder(tmp_path: Path, mixed: Path, name: str) -> None:
    assert command("dump", "--model", mixed / name, "--text", mixed / "text.txt", "--length", "32", "--out",
                   tmp_path / "t") == 0
    with Trace.open(tmp_path / "t") as trace:
        assert len(trace) == 7 * cases.BLOCKS + 1 and trace.metadata["dtype"] == "float32"


def test_an_output_in_the_way_of_a_gguf_is_refused(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (mixed / "tiny.gguf").read_bytes()
    for words in (("trace", "dump", "--out"), ("eval", "--json")):
        argv = [*words, str(mixed / "tiny.gguf"), "--model", str(mixed / "tiny.gguf"), "--text",
                str(mixed / "text.txt")]
        assert main(argv) == 2 and "output in the way" in capsys.readouterr().err
    assert (mixed / "tiny.gguf").read_bytes() == before


# --- what is refused -------------------------------------------------------------------------------------------------

def refused(path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a dump that is refused with exit code 2, and that leaves nothing."""
    text = path.parent / "words.txt"
    text.write_text(TEXT, encoding="utf-8")
    capsys.readouterr()
    code = main(["trace", "dump", "--model", str(path), "--text", str(text), "--length", "32", "--out", str(out)])
    line = capsys.readouterr().err
    assert code == 2 and line.count("\n") == 1 and line.startswith("stamp-hw: ") and len(line) < 1500, line
    assert not out.exists() and not list(out.parent.glob("*.partial"))
    return line


def test_a_file_cut_anywhere_is_refused(tmp_path: Path, mixed: Path, rng: np.random.Generator,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    data = (mixed / "tiny.gguf").read_bytes()
    lengths = [0, 3, 4, 20, len(data) - 1, *(int(place) for place in rng.integers(21, len(data) - 1, size=20)),
               *(int(place) for place in rng.integers(21, 12000, size=15))]
    for length in lengths:
        (tmp_path / "cut.gguf").write_bytes(data[:length])
        line = refused(tmp_path / "cut.gguf", tmp_path / "t", capsys)
        assert "cannot load model" in line and "a whole GGUF file" in line, (length, line)


def test_a_header_that_promises_more_than_there_is_is_refused_at_once(tmp_path: Path, mixed: Path,
                                                                      capsys: pytest.CaptureFixture[str]) -> None:
    data = (mixed / "tiny.gguf").read_bytes()
    key = b"tokenizer.ggml.token_type"
    at = data.index(key) + len(key) + 4  # behind the type of the value: that of its items, here a byte, and how many
    (tmp_path / "more.gguf").write_bytes(data[:at] + bytes(4) + (1 << 60).to_bytes(8, "little") + data[at + 12 :])
    assert "a whole GGUF file" in refused(tmp_path / "more.gguf", tmp_path / "t", capsys)


def drop(name: str) -> Callable[[dict[str, np.ndarray]], object]:
    return lambda tensors: tensors.pop(name)


def put(name: str, *shape: int, value: float = 0.5) -> Callable[[dict[str, np.ndarray]], object]:
    return lambda tensors: tensors.update({name: np.full(shape, value, np.float32)})


@pytest.mark.parametrize(("change", "message"), [
    ({"architecture": "qwen2"}, "GGUF of another architecture; got qwen2; expected llama"),
    ({"change": drop("blk.1.ffn_up.weight")}, "tensor is missing; got no blk.1.ffn_up.weight"),
    ({"change": drop("blk.0.attn_k.weight")}, "tensor is missing; got no blk.0.attn_k.weight"),
    ({"change": drop("token_embd.weight")}, "tensor is missing; got no token_embd.weight"),
    ({"change": put("blk.1.attn_q.bias", 64)}, "tensor that a plain Llama has not; got blk.1.attn_q.bias"),
    ({"change": put("rope_freqs.weight", 8)}, "tensor that a plain Llama has not; got rope_freqs.weight"),
    ({"change": put("blk.1.ffn_gate_exps.weight", 2, 96, 64)}, "got blk.1.ffn_gate_exps.weight"),
    ({"change": put("blk.0.ffn_up.weight", 95, 64)}, "blk.0.ffn_up.weight: tensor of another shape; got (95, 64)"),
    ({"change": put("blk.0.ffn_up.weight", 96, 64, value=float("nan"))}, "tensor blk.0.ffn_up.weight: holds NaN"),
    ({"tell": lambda writer: writer.add_expert_count(8)}, "llama.expert_count: not what a plain Llama has; got 8"),
    ({"tell": lambda writer: writer.add_key_length(17)}, "llama.rope.dimension_count: not what"),
    ({"tell": lambda writer: writer.add_string("llama.rope.scaling.type", "yarn")},
     "llama.rope.scaling.type: not what a plain Llama has; got yarn; expected none"),
    ({"tell": lambda writer: writer.add_sliding_window(8)}, "got llama.attention.sliding_window"),
    ({"tell": lambda writer: writer.add_uint16("split.count", 2)}, "one part of several"),
    ({"kind": "llama"}, "tokenizer of another kind; got llama, split as gpt-2"),
    ({"pre": "tekken"}, "tokenizer of another kind; got gpt2, split as tekken"),
], ids=lambda value: value if isinstance(value, str) else "file")
def test_what_is_no_plain_llama_is_refused_by_name(tmp_path: Path, model: Any, change: dict[str, Any], message: str,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    path = cases.write(tmp_path / "bad.gguf", model, tied=True, **{"stored": {}, **change})
    assert message in refused(path, tmp_path / "t", capsys)


def test_a_tokenizer_of_another_kind_is_read_from_beside_the_file(tmp_path: Path, model: Any) -> None:
    path = cases.write(tmp_path / "tiny.gguf", model, tied=True, kind="llama")
    cases.tokenizer().save(str(tmp_path / "tokenizer.json"))
    assert load(str(path)).tokenizer(WORDS).input_ids == cases.tokenizer().encode(WORDS).ids


def test_several_files_in_a_folder_are_refused_and_each_is_taken_by_itself(tmp_path: Path, mixed: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes((mixed / "tiny.gguf").read_bytes())
    with pytest.raises(TraceError, match="several GGUF files; got a.gguf, b.gguf"):
        load(str(tmp_path))
    assert load(str(tmp_path / "a.gguf")).fingerprint != load(str(tmp_path / "b.gguf")).fingerprint


def test_without_the_library_the_command_that_installs_it_is_named(mixed: Path, monkeypatch: pytest.MonkeyPatch
                                                                   ) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ToolError, match="needs the package gguf.*make venv-trace"):
        load(str(mixed))
