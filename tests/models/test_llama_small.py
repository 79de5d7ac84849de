"""The small Llama: the corpus it is trained on, its baselines, and the figures recorded for the shipped checkpoint."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from models.train import corpus
from models.train.text import END_OF_TEXT, ngram_perplexity, token_stream, windows
from stamp_hw.formats.trace import Trace

SHIPPED = Path(__file__).parents[2] / "models" / "llama_small"
RECORD = SHIPPED / "training.json"


# --- corpus and baselines --------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def built() -> corpus.Corpus:
    return corpus.build()


def test_no_held_out_paragraph_occurs_in_the_training_text(built: corpus.Corpus) -> None:
    training = corpus.normalise(built.training)
    held_out = [corpus.normalise(paragraph) for paragraph in corpus.paragraphs(built.held_out)]
    assert len(held_out) > 500 and not [paragraph for paragraph in held_out if paragraph in training]
    every = held_out + [corpus.normalise(paragraph) for paragraph in corpus.paragraphs(built.training)]
    assert len(every) == len(set(every)) > 5000


def test_the_corpus_is_the_recorded_one_on_the_recorded_python(built: corpus.Corpus) -> None:
    record = json.loads(RECORD.read_text())
    if record["versions"]["python"] != ".".join(map(str, sys.version_info[:3])):
        pytest.skip(f"recorded on Python {record['versions']['python']}, whose documentation differs")
    assert corpus.sha256(built.training) == record["sha256"]["training_text"]
    assert corpus.sha256(built.held_out) == record["sha256"]["held_out_text"]


def test_the_shipped_held_out_text_is_the_recorded_one() -> None:
    text = (SHIPPED / "heldout.txt").read_bytes().decode()
    assert corpus.sha256(text) == json.loads(RECORD.read_text())["sha256"]["held_out_text"]
    calibration = (SHIPPED / "calibration.txt").read_bytes().decode()
    assert not set(map(corpus.normalise, corpus.paragraphs(calibration))) & set(
        map(corpus.normalise, corpus.paragraphs(text)))


def test_ngram_probabilities_sum_to_one(rng: np.random.Generator) -> None:
    train = rng.integers(0, 9, size=60) ** 2 // 8  # skewed, and token 7 never seen
    for context in range(9):
        each = [ngram_perplexity(train, np.array([[context, target]]), 9) for target in range(9)]
        assert sum(1 / one.bigram for one in each) == pytest.approx(1, abs=1e-12)
        assert sum(1 / one.unigram for one in each) == pytest.approx(1, abs=1e-12)


def test_windows_cut_the_stream_in_order() -> None:
    assert windows(np.arange(10), 4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert windows(np.arange(10), 3, 2).tolist() == [[2, 3, 4], [5, 6, 7]]


@pytest.mark.trace
@pytest.mark.usefixtures("one_thread")
def test_tokens_decode_to_the_text_again() -> None:
    from models.train.llama import train_tokenizer

    tokenizer = train_tokenizer("the quick brown fox jumps over the lazy dog; " * 60, 300)
    text = "Grüße 🙂\n  the fox\f\flazy \x00dog\f"
    tokens = token_stream(tokenizer, text)
    assert tokenizer.decode(tokens.tolist(), skip_special_tokens=False) == text.replace("\f\f", "\f").replace(
        "\f", END_OF_TEXT)


# --- the shipped checkpoint ------------------------------------------------------------------------------------------

@pytest.mark.trace
@pytest.mark.usefixtures("one_thread")
def test_the_held_out_perplexity_is_the_recorded_one_and_half_of_a_bigram_models() -> None:
    from models.train import evaluate_llama

    recorded = json.loads(RECORD.read_text())["perplexity"]
    held_out = evaluate_llama.held_out_windows(SHIPPED)
    model = evaluate_llama.load_model(SHIPPED)
    found = evaluate_llama.perplexity(model, held_out)
    baseline = evaluate_llama.ngrams(SHIPPED)
    twin = evaluate_llama.perplexity(evaluate_llama.random_twin(model.config), held_out[:8])
    assert abs(found / recorded["held_out"] - 1) <= 0.03
    assert found <= baseline.bigram / 2 and baseline.bigram < baseline.unigram < twin
    assert held_out.shape[1] == 512 and baseline.tokens == json.loads(RECORD.read_text())["held_out_tokens"]


@pytest.mark.trace
def test_the_shipped_checkpoint_is_small_bfloat16_safetensors() -> None:
    from safetensors import safe_open

    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 8_000_000
    assert not [path for path in SHIPPED.iterdir() if path.suffix in (".bin", ".pt", ".pth")]
    with safe_open(SHIPPED / "model.safetensors", "np") as weights:
        assert {weights.get_slice(name).get_dtype() for name in weights.keys()} == {"BF16"}  # noqa: SIM118


@pytest.mark.trace
@pytest.mark.usefixtures("one_thread")
def test_training_twice_gives_the_same_weights() -> None:
    import torch

    from models.train.llama import Recipe, build_model, train

    recipe = Recipe(vocabulary=50, hidden=24, intermediate=40, blocks=1, heads=2, kv_heads=1, batch=2, steps=3,
                    warmup=1)
    tokens = np.random.default_rng(0).integers(0, 50, size=4000)
    weights = []
    for _ in range(2):
        model = build_model(recipe)
        before = [value.clone() for value in model.parameters()]
        train(model, tokens, recipe)
        weights.append([value.detach() for value in model.parameters()])
        assert not any(torch.equal(a, b) for a, b in zip(before, weights[-1], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


@pytest.mark.trace
@pytest.mark.usefixtures("one_thread")
def test_the_shipped_trace_is_that_of_the_shipped_checkpoint(tmp_path: Path) -> None:
    """Weights are equal; activations agree up to the rounding of another processor's bfloat16 products."""
    from models.train.make_traces import OUT, make

    make(tmp_path / "t")
    with Trace.open(tmp_path / "t") as made, Trace.open(OUT) as shipped:
        assert made.layer_names == shipped.layer_names
        assert {**made.metadata, "versions": 0} == {**shipped.metadata, "versions": 0}
        for new, old in zip(made, shipped, strict=True):
            assert (new.weight == old.weight).all()
            assert np.square(new.x - old.x).sum() <= 1e-3 * np.square(old.x).sum()
            assert new.s_x == pytest.approx(old.s_x, rel=0.05) and new.s_y == pytest.approx(old.s_y, rel=0.05)
