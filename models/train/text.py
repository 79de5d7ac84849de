"""Tokens and windows of the corpus, and the n-gram models that a trained model has to beat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

END_OF_TEXT = "<|endoftext|>"


def token_stream(tokenizer: Any, text: str) -> np.ndarray:
    """int64 tokens of all documents of `text` (they end with a form feed), each followed by the end-of-text token.

    `tokenizer` is a ``tokenizers.Tokenizer`` that knows `END_OF_TEXT`.
    """
    end = tokenizer.token_to_id(END_OF_TEXT)
    documents = [document for document in text.split("\f") if document.strip()]
    tokens: list[int] = []
    for encoding in tokenizer.encode_batch(documents):
        tokens += encoding.ids
        tokens.append(end)
    return np.array(tokens, dtype=np.int64)


def windows(tokens: np.ndarray, length: int, offset: int = 0) -> np.ndarray:
    """int64[count, length]: consecutive windows from `offset` on; a last incomplete one is dropped."""
    count = (len(tokens) - offset) // length
    return tokens[offset : offset + count * length].reshape(count, length)


@dataclass(frozen=True, slots=True, kw_only=True)
class NgramPerplexity:
    """Perplexities of the tokens 1… of every window, given the token before."""

    unigram: float
    bigram: float
    tokens: int


def ngram_perplexity(train: np.ndarray, held_out: np.ndarray, vocabulary: int) -> NgramPerplexity:
    """Unigram (add one half) and bigram (interpolated Kneser–Ney) models of the int64 stream `train`.

    `held_out` is int64[count, length]; position 0 of a window is context only, exactly as for the neural model.
    The discount is n1 / (n1 + 2·n2) of Ney, Essen and Kneser (1994); the lower order is the continuation
    probability with add one half.
    """
    counts = np.bincount(train, minlength=vocabulary)
    unigram = (counts + 0.5) / (counts.sum() + 0.5 * vocabulary)
    pairs, pair_counts = np.unique(train[:-1] * vocabulary + train[1:], return_counts=True)
    first, second = pairs // vocabulary, pairs % vocabulary
    ones, twos = int((pair_counts == 1).sum()), int((pair_counts == 2).sum())
    discount = ones / (ones + 2 * twos)
    starts = np.bincount(first, weights=pair_counts, minlength=vocabulary)
    followers = np.bincount(first, minlength=vocabulary)
    before = np.bincount(second, minlength=vocabulary)
    continuation = (before + 0.5) / (before.sum() + 0.5 * vocabulary)

    context, target = held_out[:, :-1].ravel(), held_out[:, 1:].ravel()
    wanted = context * vocabulary + target
    place = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
    found = np.where(pairs[place] == wanted, pair_counts[place] - discount, 0.0)
    total = np.maximum(starts[context], 1)
    left = np.where(starts[context] > 0, discount * followers[context] / total, 1.0)
    bigram = found / total + left * continuation[target]
    return NgramPerplexity(unigram=_perplexity(unigram[target]), bigram=_perplexity(bigram), tokens=target.size)


def _perplexity(probabilities: np.ndarray) -> float:
    return math.exp(-float(np.log(probabilities).mean()))
