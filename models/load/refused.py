"""What of a model is no linear layer with one role, and why: none of it is left out without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from stamp_hw.errors import TraceError

#: Names of a language model's layers whose rows or inputs belong together in no one role → the reason.
_REASONS = ((r"(?:.*\.)?experts?(?:\..*)?", "experts"),
            (r"(?:.*\.)?(?:qkv_proj|query_key_value|c_attn|qkv|Wqkv)", "fused qkv"),
            (r"(?:.*\.)?(?:gate_up_proj|up_gate_proj)", "fused gate and up"))
_SHOWN = 3  # names in a message


def refuse(model: Any, wanted: re.Pattern[str]) -> None:
    """Raise TraceError where something in whose name `wanted` is found cannot be covered: name and reason of each."""
    found = [f"{name} ({reason})" for name, reason in _not_covered(model) if wanted.search(name)]
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise TraceError("layers that cannot be covered", where=type(model).__name__,
                         got=f"{', '.join(found[:_SHOWN])}{more}",
                         expected="a Linear of its own for each role, or --layers REGEX that takes only such")


def _not_covered(model: Any) -> Iterator[tuple[str, str]]:
    """(name, reason) of a language model's layers and matrices that are no layer of one role, in its order."""
    import torch

    tables = (torch.nn.Embedding,)  # a row is looked up, nothing is multiplied
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.modules.conv._ConvNd):
            if reason := no_linear_layer(module):
                yield name, reason
        elif isinstance(module, torch.nn.Linear):
            if reason := _by_name(name):
                yield name, reason
        elif not isinstance(module, tables):
            for own, value in module.named_parameters(recurse=False):
                if sum(side > 1 for side in value.shape) > 1:
                    whole = f"{name}.{own}" if name else own
                    yield whole, _by_name(whole) or f"a matrix of {type(module).__name__}"


def _by_name(name: str) -> str:
    return next((reason for pattern, reason in _REASONS if re.fullmatch(pattern, name)), "")


def no_linear_layer(conv: Any) -> str:
    """Why a convolution is no linear layer over the tokens; empty if it is one."""
    size = " × ".join(map(str, conv.kernel_size))
    if conv.groups > 1:
        return f"{size} convolution in {conv.groups} groups" + (" (depthwise)" if conv.groups == conv.in_channels
                                                                else "")
    if len(conv.kernel_size) != 2 or {*conv.kernel_size, *conv.stride} != {1} or conv.transposed:
        return f"{size} convolution, stride {' × '.join(map(str, conv.stride))}"
    # Padding by nothing, however it is spelled: a 1 × 1 convolution that pads makes tokens of its own.
    return "" if conv.padding in ((0, 0), "valid", "same") else f"{size} convolution with padding"
