"""A `StampLinear` in parts: its state is all that makes an output, and loads, casts and copies keep every bit."""

from __future__ import annotations

from typing import Any

import pytest

from stamp_hw.config import NpuConfig
from stamp_hw.errors import LayerError
from tests.support.golden_cases import SEED, reproduce  # noqa: F401

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.trace

#: What a layer can be; each has other buffers.
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}), "static": ({}, {"s_x": 1e-4, "s_y": 2e-4}), "8 bits": ({"weight_bits": 8}, {}),
    "blocks": ({"group": 16}, {}), "rotated": ({}, {"rotation": True}),
    "no bias": ({}, {"bias": False}),
}


def made(name: str, seed: int) -> Any:
    """A `StampLinear` of that kind, 64 to 48, with weights of that seed."""
    from stamp_hw.torch.linear import StampLinear

    job, options = KINDS[name]
    options = dict(options)
    torch.manual_seed(seed)
    linear = torch.nn.Linear(64, 48, bias=options.pop("bias", True))
    if options.pop("rotation", False):
        options["rotation"] = torch.linalg.qr(torch.randn(64, 64)).Q
    if "s_x" in options:
        options = {key: value * (1 + seed % 7) for key, value in options.items()}
    return StampLinear.from_linear(linear, NpuConfig().with_hw(block=16).with_job(**job), **options)


@pytest.mark.parametrize("name", KINDS)
def test_a_state_dict_holds_all_that_makes_the_output(name: str, tmp_path: Any) -> None:
    from safetensors.torch import load_file, load_model, save_file, save_model

    one, x = made(name, SEED), torch.randn(2, 40, 64)
    want = one(x)
    save_file(one.state_dict(), tmp_path / "s")
    save_model(torch.nn.Sequential(one), tmp_path / "m")
    torch.save(one.state_dict(), tmp_path / "p")
    for load in (lambda other: other.load_state_dict(load_file(tmp_path / "s")),
                 lambda other: other.load_state_dict(load_file(tmp_path / "s"), assign=True),
                 lambda other: load_model(torch.nn.Sequential(other), str(tmp_path / "m")),
                 lambda other: other.load_state_dict(torch.load(tmp_path / "p", weights_only=True))):
        other = made(name, SEED + 1)
        assert not torch.equal(other(x), want), "other weights give another output, or the load proves nothing"
        load(other)
        assert torch.equal(other(x), want) and torch.equal(other.weight, one.weight)
        assert (other.s_x, other.s_y) == (one.s_x, one.s_y)


@pytest.mark.parametrize("name", KINDS)
def test_a_strict_load_of_anything_else_fails_and_takes_nothing(name: str) -> None:
    one, x = made(name, SEED), torch.randn(40, 64)
    want, own = one(x), one.state_dict()
    wrong: dict[str, dict[str, Any]] = {
        "nothing": {}, "a Linear's": dict(torch.nn.Linear(64, 48).state_dict()),
        **{f"no {key}": {k: v for k, v in own.items() if k != key} for key in own},
        **{f"{key} cast": {**own, key: own[key].half()} for key in own},
        "other shape": {**own, "wgt": own["wgt"][:, 1:]},
        "a key too many": {**own, "more": torch.zeros(1)}, "no step": {**own, "scale": own["scale"] * torch.nan}}
    for what, state in wrong.items():
        with pytest.raises(RuntimeError, match="state_dict"):
            one.load_state_dict({key: value.clone() for key, value in state.items()})
        assert torch.equal(one(x), want), what
    for others in set(KINDS) - {name, "plain", "8 bits"}:
        if set(own) != set(made(others, SEED).state_dict()):
            with pytest.raises(RuntimeError, match="Missing|Unexpected"):
                one.load_state_dict(made(others, SEED).state_dict())


@pytest.mark.parametrize("name", KINDS)
def test_casts_and_copies_change_nothing(name: str) -> None:
    import copy

    one, x = made(name, SEED), torch.randn(40, 64)
    want, before = one(x), {key: value.clone() for key, value in one.state_dict().items()}
    model = torch.nn.Sequential(one)
    for cast in ("half", "double", "bfloat16", "float", "cpu"):
        getattr(model, cast)()
        model.to(torch.float16)
        for key, value in one.state_dict().items():
            assert value.dtype == before[key].dtype and torch.equal(value, before[key]), (cast, key)
        assert torch.equal(one(x), want)
    with pytest.raises(LayerError, match="its integers cannot be cast"):
        one.type(torch.float16)
    twin = copy.deepcopy(one)
    twin.wgt.zero_()
    twin.load_state_dict({**one.state_dict(), "wgt": -one.wgt})
    assert torch.equal(one(x), want) and not torch.equal(twin(x), want), "a copy shares nothing"
