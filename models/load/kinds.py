"""Which layers of a model are linear, and what each is for: one table of names a family.

A `Linear` and a 1 × 1 convolution are linear layers over the tokens. Of an image model, other convolutions are listed
as not covered; of a language model, whatever else multiplies by a matrix is refused (`models.load.refused`). Names that
no rule knows are layers all the same, of kind ``other``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from models.load.refused import no_linear_layer, refuse
from stamp_hw.errors import TraceError
from stamp_hw.formats.safetensors_file import DTYPES

log = logging.getLogger(__name__)

#: What a layer's input is: the model's token sequence or grid, the prompt's tokens, one vector, nobody knows.
Sees = Literal["tokens", "text", "pooled", "unknown"]


@dataclass(frozen=True, slots=True)
class Rule:
    """Layers whose whole name `pattern` matches are of that `kind` (a group of the pattern may fill it in)."""

    pattern: str
    kind: str
    sees: Sees


_DIFFUSION = (
    Rule(r"transformer_blocks\.\d+\.attn1\.to_([qkv])", r"self_\1", "tokens"),
    Rule(r"transformer_blocks\.\d+\.attn1\.to_out\.0", "self_o", "tokens"),
    Rule(r"transformer_blocks\.\d+\.attn2\.to_q", "cross_q", "tokens"),
    Rule(r"transformer_blocks\.\d+\.attn2\.to_([kv])", r"cross_\1", "text"),
    Rule(r"transformer_blocks\.\d+\.attn2\.to_out\.0", "cross_o", "tokens"),
    Rule(r"caption_projection\.linear_\d", "text_proj", "text"),
    Rule(r"proj_out", "proj_out", "tokens"),
)
#: Family → rules, the first that matches counts.
FAMILIES: dict[str, tuple[Rule, ...]] = {
    "causal": (
        Rule(r"(?:.*\.)?([qkvo]|gate|up|down)_proj", r"\1_proj", "tokens"),
        Rule(r".*\.(?:\w*attn|\w*attention)\.(?:out_proj|dense|c_proj)", "o_proj", "tokens"),
        Rule(r".*\.(?:fc1|fc_in|c_fc|dense_h_to_4h)", "up_proj", "tokens"),
        Rule(r".*\.(?:fc2|fc_out|mlp\.c_proj|dense_4h_to_h)", "down_proj", "tokens"),
        Rule(r"lm_head|embed_out", "lm_head", "tokens"),
    ),
    "pixart": (
        *_DIFFUSION,
        Rule(r"transformer_blocks\.\d+\.ff\.net\.0\.proj", "ff_in", "tokens"),
        Rule(r"transformer_blocks\.\d+\.ff\.net\.2", "ff_out", "tokens"),
        Rule(r"adaln_single\..*", "time", "pooled"),
    ),
    "sana": (
        *_DIFFUSION,
        Rule(r"transformer_blocks\.\d+\.ff\.conv_inverted", "ff_in", "tokens"),
        Rule(r"transformer_blocks\.\d+\.ff\.conv_point", "ff_out", "tokens"),
        Rule(r"patch_embed\.proj", "patch", "tokens"),
        Rule(r"time_embed\..*", "time", "pooled"),
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A linear layer of a model: its `module`, a `Linear` or a 1 × 1 `Conv2d`."""

    name: str
    module: Any
    kind: str
    sees: Sees

    @property
    def weight(self) -> Any:
        """Tensor [N, K]; a view of the module's own."""
        return self.module.weight.detach().flatten(1)

    @property
    def bias(self) -> Any:
        """Tensor [N], or None."""
        return None if self.module.bias is None else self.module.bias.detach()


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Layers in model order, of `total` that the model has; `not_covered` names convolutions that are none, with the
    reason."""

    layers: tuple[Found, ...]
    total: int
    not_covered: tuple[dict[str, str], ...]

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of layers that no rule knows."""
        return tuple(layer.name for layer in self.layers if layer.sees == "unknown")

    def warn(self, treated: str) -> None:
        """Say in the log which layers no rule knows, and how they are treated."""
        if self.unknown:
            log.warning("%d layers of unknown role, %s: %s%s", len(self.unknown), treated,
                        ", ".join(self.unknown[:4]), ", …" if len(self.unknown) > 4 else "")


def kind_of(name: str, family: str) -> tuple[str, Sees]:
    """Kind of a layer, and what it sees; ``other`` and ``unknown`` where no rule matches."""
    for rule in FAMILIES[family]:
        if match := re.fullmatch(rule.pattern, name):
            return match.expand(rule.kind), rule.sees
    return "other", "unknown"


def survey(model: Any, family: str, pattern: str = "") -> Survey:
    """The layers of a model in whose name `pattern` is found.

    Raises TraceError for a pattern that is no regular expression or that no layer matches, for layers of a language
    model that cannot be covered, and for weights that are no floats (a quantized checkpoint).
    """
    import torch

    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise TraceError("not a regular expression", where="--layers", got=f"{pattern} ({error})") from error
    if family == "causal":
        refuse(model, wanted)
    layers, example = [], "(the model has none)"
    not_covered, total = [], 0
    for name, module in model.named_modules():
        linear = isinstance(module, torch.nn.Linear)
        if not linear and not isinstance(module, torch.nn.modules.conv._ConvNd):
            continue
        reason = "" if linear else no_linear_layer(module)
        total += not reason
        if not wanted.search(name):
            example = example if reason else name
        elif reason:
            not_covered.append({"name": name, "reason": reason})
        else:
            layers.append(Found(name, module, *kind_of(name, family)))
    if not layers:
        raise TraceError("no linear layer matches", where="--layers", got=pattern,
                         expected=f"a pattern found in a name such as {example}")
    _check_dtypes(layers)
    return Survey(layers=tuple(layers), total=total, not_covered=tuple(not_covered))


def _check_dtypes(layers: Sequence[Found]) -> None:
    for layer in layers:
        dtype = str(layer.module.weight.dtype).removeprefix("torch.")
        if dtype not in DTYPES:
            raise TraceError("weights are not floats that a trace can hold", where=f"layer {layer.name}", got=dtype,
                             expected=" or ".join(DTYPES))
