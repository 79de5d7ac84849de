"""What the hardware's integers do to a causal language model: perplexity and KL divergence against the float model.

In a causal model the sequence transform mixes later tokens into the rounding noise of earlier ones. The figures are
those of prefill, a whole sequence at once, and no predictor can be built on that leak; docs/eval.md says more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.evaluate.integer_model import IntegerModel, Watch
from models.evaluate.partial import Partial, Window
from models.evaluate.processes import each
from models.load.hub import running
from stamp_hw.config import NpuConfig
from stamp_hw.errors import LayerError
from stamp_hw.schemes import SHUFFLED

#: Rows of a report beside those of the schemes: the model as it is, and with the integers' weights alone.
FLOAT, WEIGHTS = "float", "weights"
_ROWS = 8  # tokens whose whole vocabulary is worked on at a time: what is freed of more is left between other tensors
_Scored = tuple[np.ndarray, np.ndarray, tuple[float, float] | None]  # loss, KL, bits without and with scales
_PLACES = 8  # positions of a layer's outliers in a report, the most frequent ones


@dataclass(frozen=True, slots=True, eq=False)
class TextScore:
    """A model's predictions on windows of text: `loss` and `kl` float64[windows, tokens], nats a token; KL of this
    model's predictions from the float model's; `layers` by name, empty where none were watched; `bits` of a cached
    value without and with its scales, where a cache was quantized; `cpu_s` seconds of the process, where they were
    counted."""

    loss: np.ndarray
    kl: np.ndarray
    layers: Mapping[str, Watch]
    bits: float | None = None
    bits_with_scales: float | None = None
    cpu_s: float | None = None

    @property
    def perplexity(self) -> float:
        """exp of the mean loss; infinite beyond what a float holds."""
        with np.errstate(over="ignore"):
            return float(np.exp(self.loss.mean()))


def score_text(model: Any, integer: IntegerModel, schemes: Mapping[str, NpuConfig], windows: np.ndarray, *,
               decode: int = 0, progress: Callable[[str], None] = lambda line: None,
               done: Partial | None = None, finished: Callable[[Window], None] = lambda window: None, jobs: int = 1
               ) -> dict[str, TextScore]:
    """Scores of the float model, of its integer weights alone and of every scheme, on the same tokens.

    Parameters
    ----------
    windows : int64[windows, length]; each predicts its tokens 1…
    schemes : name → configuration
    decode : only the last so many tokens are predicted, each from a run of one token behind a prefill of the others
    done : windows of an earlier run, which are not run again; takes each new one
    finished : called with every window that was run, in their order
    jobs : windows at a time, each in a process of its own; the scores are the same
    """
    done = Partial(None, {}) if done is None else done

    def run(number: int) -> Window:
        said = f"window {number + 1}/{len(windows)}"
        return _window(model, integer, schemes, windows[number], decode, said, progress)

    with each(run, range(len(done.windows), len(windows)), jobs) as found:
        for window in found:
            done.add(window)
            finished(window)
    first = done.windows[0]
    return {name: TextScore(np.array([window.loss[name] for window in done.windows]),
                            np.array([window.kl[name] for window in done.windows]),
                            added([window.layers[name] for window in done.windows if name in window.layers]),
                            cpu_s=sum(window.cpu_s[name] for window in done.windows)) for name in first.loss}


def _window(model: Any, integer: IntegerModel, schemes: Mapping[str, NpuConfig], row: np.ndarray, decode: int,
            said: str, progress: Callable[[str], None]) -> Window:
    """One window int64[length] under the float model, its integer weights and every scheme."""
    tokens = torch.from_numpy(row)[None].to(model.device)
    found = Window({}, {}, {}, {})
    reference: Tensor | None = None
    runs: dict[str, tuple[NpuConfig | None, dict[str, bool]]] = {
        FLOAT: (None, {}), WEIGHTS: (next(iter(schemes.values())), {"activations": False}),
        **{name: (config, {"watch": True, "shuffled": name == SHUFFLED}) for name, config in schemes.items()}}
    with torch.inference_mode(), running("evaluation"):
        for name, (config, how) in runs.items():
            progress(f"{said}, {name}")
            start = time.process_time()
            with nullcontext() if config is None else integer.integer(config, **how):
                log_p = predictions(model, tokens, decode)
            found.cpu_s[name] = time.process_time() - start
            reference = log_p if reference is None else reference
            found.loss[name], found.kl[name] = _loss_and_kl(log_p, reference, tokens)
            del log_p  # a tensor of the whole vocabulary, which the next run would hold beside its own
            if "watch" in how:
                found.layers[name] = integer.watched()
    return found


def score_kv(model: Any, schemes: Mapping[str, NpuConfig], windows: np.ndarray, *, decode: int = 0,
             progress: Callable[[str], None] = lambda line: None, jobs: int = 1) -> dict[str, TextScore]:
    """`score_text` of a float model whose cache of keys and values is quantized as each scheme's job says."""
    from models.evaluate.kv_cache import QuantizedCache

    def run(number: int) -> dict[str, _Scored]:
        progress(f"window {number + 1}/{len(windows)}")
        with torch.inference_mode(), running("evaluation"):
            tokens = torch.from_numpy(windows[number])[None].to(model.device)
            reference = predictions(model, tokens, decode)
            found: dict[str, _Scored] = {FLOAT: (*_loss_and_kl(reference, reference, tokens), None)}
            for name, config in schemes.items():
                cache = QuantizedCache(config)
                log_p = predictions(model, tokens, decode, cache)
                bits = cache.bits / cache.tokens
                found[name] = (*_loss_and_kl(log_p, reference, tokens),
                               (bits, bits + cache.scale_bits / cache.tokens))
        return found

    with each(run, range(len(windows)), jobs) as runs:
        found = list(runs)
    scores = {}
    for name in (FLOAT, *schemes):
        loss, kl, bits = zip(*(one[name] for one in found), strict=True)
        without, with_scales = (None, None) if bits[0] is None else np.mean(bits, axis=0).tolist()
        scores[name] = TextScore(np.array(loss), np.array(kl), {}, without, with_scales)
    return scores


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
    log_p: Tensor = logits.float()
    for part in log_p.split(_ROWS):  # in place: of a whole vocabulary's tensors no more are held than must be
        if not torch.isfinite(part).all():
            raise LayerError("predictions hold NaN or infinite values", where="the model", expected="finite values")
        part.copy_(torch.log_softmax(part, -1))
    return log_p


def _loss_and_kl(log_p: Tensor, reference: Tensor, tokens: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """float64[predicted] each, of log probabilities float32[predicted, vocabulary]."""
    target = tokens[0, -len(log_p) :, None]
    loss = -log_p.gather(1, target)[:, 0].double()
    rows = zip(reference.split(_ROWS), log_p.split(_ROWS), strict=True)
    kl = torch.cat([(p.exp() * (p - q)).double().sum(-1) for p, q in rows])
    return loss.cpu().numpy(), kl.cpu().numpy()


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
        rows.append({"scheme": name, "average_bits": score.bits, "average_bits_with_scales": score.bits_with_scales,
                     "perplexity": score.perplexity,
                     "loss_difference": difference[0], "loss_difference_error": difference[1],
                     "kl": kl[0], "kl_error": kl[1], "loss_by_window": score.loss.mean(axis=1).tolist(),
                     "kl_by_window": score.kl.mean(axis=1).tolist(), **layers_report(score.layers)})
    return rows


def layers_report(layers: Mapping[str, Watch]) -> dict[str, Any]:
    """Average bits of an activation, mean and worst output SQNR, saturated values, and every layer; nothing where no
    layer was watched."""
    if not layers:
        return {}
    found = {name: watch.sqnr_db for name, watch in layers.items()}
    worst = min(found, key=lambda name: found[name])
    values = sum(watch.values for watch in layers.values())
    bits, scales = (sum(getattr(watch, name) for watch in layers.values()) for name in ("bits", "scale_bits"))
    return {"average_bits": bits / values, "average_bits_with_scales": (bits + scales) / values,
            "layer_sqnr_db": sum(found.values()) / len(found), "worst_layer": worst, "worst_sqnr_db": found[worst],
            "x_saturated": sum(watch.x_saturated for watch in layers.values()),
            "h_saturated": sum(watch.h_saturated for watch in layers.values()),
            "y_saturated": sum(watch.y_saturated for watch in layers.values()),
            "layers": {name: {"sqnr_db": watch.sqnr_db, "x_saturated": watch.x_saturated,
                              "y_saturated": watch.y_saturated, "outliers": watch.outliers.total(),
                              "places": [place for place, _ in watch.outliers.most_common(_PLACES)]}
                       for name, watch in layers.items()}}
