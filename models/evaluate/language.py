"""What the hardware's integers do to a causal language model: perplexity and KL divergence against the float model.

In a causal model the sequence transform mixes later tokens into the rounding noise of earlier ones. The figures are
those of prefill, a whole sequence at once, and no predictor can be built on that leak; docs/eval.md says more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.evaluate.integer_model import IntegerModel, Watch
from models.load.hub import running
from stamp_hw.config import NpuConfig
from stamp_hw.errors import LayerError

#: Rows of a report beside those of the schemes: the model as it is, and with the integers' weights alone.
FLOAT, WEIGHTS = "float", "weights"
_PLACES = 8  # positions of a layer's outliers in a report, the most frequent ones


@dataclass(frozen=True, slots=True, eq=False)
class TextScore:
    """A model's predictions on windows of text: `loss` and `kl` float64[windows, tokens], nats a token; KL of this
    model's predictions from the float model's; `layers` by name, empty where none were watched; `bits` of a cached
    value, where a cache was quantized."""

    loss: np.ndarray
    kl: np.ndarray
    layers: Mapping[str, Watch]
    bits: float | None = None

    @property
    def perplexity(self) -> float:
        """exp of the mean loss; infinite beyond what a float holds."""
        with np.errstate(over="ignore"):
            return float(np.exp(self.loss.mean()))


def score_text(model: Any, integer: IntegerModel, schemes: Mapping[str, NpuConfig], windows: np.ndarray, *,
               decode: int = 0, progress: Callable[[str], None] = lambda line: None) -> dict[str, TextScore]:
    """Scores of the float model, of its integer weights alone and of every scheme, on the same tokens.

    Parameters
    ----------
    windows : int64[windows, length]; each predicts its tokens 1…
    schemes : name → configuration
    decode : only the last so many tokens are predicted, each from a run of one token behind a prefill of the others
    """
    first = next(iter(schemes.values()))
    loss: dict[str, list[np.ndarray]] = {name: [] for name in (FLOAT, WEIGHTS, *schemes)}
    kl: dict[str, list[np.ndarray]] = {name: [] for name in loss}
    watched: dict[str, list[dict[str, Watch]]] = {name: [] for name in schemes}
    with torch.inference_mode(), running("evaluation"):
        for number, row in enumerate(windows, 1):
            tokens = torch.from_numpy(row)[None].to(model.device)

            def predict(tokens: Tensor = tokens) -> Tensor:
                return predictions(model, tokens, decode)

            progress(f"window {number}/{len(windows)}, {FLOAT}")
            reference = predict()
            _keep(FLOAT, reference, reference, tokens, loss, kl)
            with integer.integer(first, activations=False):
                _keep(WEIGHTS, predict(), reference, tokens, loss, kl)
            for name, config in schemes.items():
                progress(f"window {number}/{len(windows)}, {name}")
                with integer.integer(config, watch=True):
                    _keep(name, predict(), reference, tokens, loss, kl)
                watched[name].append(integer.watched())
    return {name: TextScore(np.array(loss[name]), np.array(kl[name]), added(watched.get(name, []))) for name in loss}


def score_kv(model: Any, schemes: Mapping[str, NpuConfig], windows: np.ndarray, *, decode: int = 0,
             progress: Callable[[str], None] = lambda line: None) -> dict[str, TextScore]:
    """`score_text` of a float model whose cache of keys and values is quantized as each scheme's job says."""
    from models.evaluate.kv_cache import QuantizedCache

    loss: dict[str, list[np.ndarray]] = {name: [] for name in (FLOAT, *schemes)}
    kl: dict[str, list[np.ndarray]] = {name: [] for name in loss}
    bits: dict[str, list[float]] = {name: [] for name in schemes}
    with torch.inference_mode(), running("evaluation"):
        for number, row in enumerate(windows, 1):
            progress(f"window {number}/{len(windows)}")
            tokens = torch.from_numpy(row)[None].to(model.device)
            reference = predictions(model, tokens, decode)
            _keep(FLOAT, reference, reference, tokens, loss, kl)
            for name, config in schemes.items():
                cache = QuantizedCache(config)
                _keep(name, predictions(model, tokens, decode, cache), reference, tokens, loss, kl)
                bits[name].append(cache.bits / cache.tokens)
    return {name: TextScore(np.array(loss[name]), np.array(kl[name]), {},
                            sum(bits[name]) / len(windows) if name in bits else None) for name in loss}


def predictions(model: Any, tokens: Tensor, decode: int = 0, cache: Any = None) -> Tensor:
    """Log probabilities, float32[predicted, vocabulary], of the tokens int64[1, length] behind the first, or of the
    last `decode` of them; with a `cache`, attention reads what it holds."""
    if not decode:
        logits = model(input_ids=tokens, past_key_values=cache, use_cache=cache is not None).logits[0, :-1]
    else:
        first = tokens.shape[1] - decode - 1
        cache = model(input_ids=tokens[:, :first], past_key_values=cache, use_cache=True).past_key_values
        steps = [model(input_ids=tokens[:, place : place + 1], past_key_values=cache, use_cache=True).logits[0]
                 for place in range(first, tokens.shape[1] - 1)]
        logits = torch.cat(steps)
    if not torch.isfinite(logits).all():
        raise LayerError("predictions hold NaN or infinite values", where="the model", expected="finite values")
    return torch.log_softmax(logits.float(), -1)


def _keep(name: str, log_p: Tensor, reference: Tensor, tokens: Tensor, loss: dict[str, list[np.ndarray]],
          kl: dict[str, list[np.ndarray]]) -> None:
    target = tokens[0, -len(log_p) :, None]
    loss[name].append(-log_p.gather(1, target)[:, 0].double().cpu().numpy())
    kl[name].append((reference.exp() * (reference - log_p)).double().sum(-1).cpu().numpy())


def added(runs: Sequence[Mapping[str, Watch]]) -> dict[str, Watch]:
    """Powers and counts of several runs together."""
    total: dict[str, Watch] = {}
    for run in runs:
        for name, watch in run.items():
            sum_of = total.setdefault(name, Watch())
            for field in Watch.__dataclass_fields__:
                setattr(sum_of, field, getattr(sum_of, field) + getattr(watch, field))
    return total


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Mean of float64[windows, tokens] and its standard error over windows: tokens of a window depend on each other.

    With a single window there is no error to estimate: NaN.
    """
    means = values.mean(axis=1)
    error = means.std(ddof=1) / math.sqrt(len(means)) if len(means) > 1 else math.nan
    return float(means.mean()), float(error)


def text_report(scores: Mapping[str, TextScore]) -> list[dict[str, Any]]:
    """A row a model: perplexity, difference of loss to the float model and KL divergence with standard errors, and
    what `layers_report` says of the layers."""
    rows = []
    for name, score in scores.items():
        difference, kl = mean_and_error(score.loss - scores[FLOAT].loss), mean_and_error(score.kl)
        rows.append({"scheme": name, "average_bits": score.bits, "perplexity": score.perplexity,
                     "loss_difference": difference[0], "loss_difference_error": difference[1],
                     "kl": kl[0], "kl_error": kl[1], **layers_report(score.layers)})
    return rows


def layers_report(layers: Mapping[str, Watch]) -> dict[str, Any]:
    """Average bits of an activation, mean and worst output SQNR, saturated values, and every layer; nothing where no
    layer was watched."""
    if not layers:
        return {}
    found = {name: watch.sqnr_db for name, watch in layers.items()}
    worst = min(found, key=lambda name: found[name])
    values = sum(watch.values for watch in layers.values())
    return {"average_bits": sum(watch.bits for watch in layers.values()) / values,
            "layer_sqnr_db": sum(found.values()) / len(found), "worst_layer": worst, "worst_sqnr_db": found[worst],
            "x_saturated": sum(watch.x_saturated for watch in layers.values()),
            "y_saturated": sum(watch.y_saturated for watch in layers.values()),
            "layers": {name: {"sqnr_db": watch.sqnr_db, "x_saturated": watch.x_saturated,
                              "y_saturated": watch.y_saturated, "outliers": watch.outliers.total(),
                              "places": [place for place, _ in watch.outliers.most_common(_PLACES)]}
                       for name, watch in layers.items()}}
