"""GPTQ on the hardware's grid: against its definition, a channel after the other with an inverse of its own, and better
than the nearest weights where it counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stamp_hw.errors import LayerError
from stamp_hw.formats.trace import Trace
from stamp_hw.gptq import DAMPING, gptq
from stamp_hw.weight_fit import fit
from stamp_hw.weight_groups import Groups, expand, legal
from stamp_hw.weights import Weights, quantize_weights

TRACES = Path(__file__).parents[2] / "models" / "traces"


def by_definition(weight: np.ndarray, products: np.ndarray, group: int | None, scale: np.ndarray
                  ) -> tuple[np.ndarray, np.ndarray]:
    """(codes, pairs) in steps of `scale`: round a channel, then move all that are left to the least error that they can
    still reach, the inverse taken anew of the Hessian of these."""
    channels = weight.shape[1]
    hessian = 2 * products + np.eye(channels) * DAMPING * np.mean(2 * np.diag(products))
    codes = np.zeros(weight.shape, int)
    pairs = np.zeros((len(weight), -(-channels // (group or channels)), 2), int)
    for row, line in enumerate(weight.astype(float)):
        left = line / scale[row]
        u, z = 1, 8
        for k in range(channels):
            if group and k % group == 0:
                u, z = (int(part[0]) for part in fit(left[None, k : k + group])[:2])
            pairs[row, k // (group or channels)] = u, z
            grid = np.array([u * (q - z) for q in range(16)])
            codes[row, k] = grid[np.argmin(np.abs(grid - left[k]))]
            inverse = np.linalg.inv(hessian[k:, k:])
            left[k:] -= (left[k] - codes[row, k]) / inverse[0, 0] * inverse[0]
    return codes, pairs


def inputs(rng: np.random.Generator, tokens: int, channels: int) -> np.ndarray:
    """Channels that go together, some of them loud."""
    mixed = rng.standard_normal((tokens, channels)) @ rng.standard_normal((channels, channels))
    return mixed * np.exp(rng.standard_normal(channels))


def error(x: np.ndarray, weight: np.ndarray, found: Weights) -> float:
    return float(np.linalg.norm(x @ (weight - found.codes * found.scale[:, None]).T))


@pytest.mark.parametrize("group", [None, 32, 64])
def test_codes_are_those_of_the_definition(rng: np.random.Generator, group: int | None) -> None:
    for channels in (1, 31, 70, 140):
        weight = rng.standard_normal((3, channels)).astype(np.float32)
        x = inputs(rng, 2 * channels + 5, channels)
        got = gptq(weight, x.T @ x, group)
        codes, pairs = by_definition(weight, x.T @ x, group, quantize_weights(weight, 4, group).scale)
        assert got.codes.tolist() == codes.tolist()
        if group:
            assert got.groups is not None and got.groups.size == group
            assert np.stack([got.groups.u, got.groups.z], axis=-1).tolist() == pairs.tolist()
            assert legal(got.groups.u, got.groups.z).all()
            assert (expand(got.groups.nibbles(got.codes), got.groups) == got.codes).all()
        else:
            assert got.groups is None and got.codes.min() >= -8 and got.codes.max() <= 7


@pytest.mark.parametrize("group", [None, 32, 64, 128])
def test_products_are_nearer_than_with_the_nearest_weights(rng: np.random.Generator, group: int | None) -> None:
    weight = rng.standard_normal((40, 300)).astype(np.float32)
    x = inputs(rng, 1000, 300)
    # Of draws it is 0.57 to 0.83 times as much, the more the more of the grid a group's own step and zero already take.
    assert error(x, weight, gptq(weight, x.T @ x, group)) < 0.95 * error(x, weight, quantize_weights(weight, 4, group))


@pytest.mark.parametrize("group", [None, 32, 64])
def test_they_are_on_captured_layers_of_a_model(group: int | None) -> None:
    with Trace(TRACES / "llama_small.safetensors") as trace:
        for name in trace.layer_names[:8]:
            layer = trace.layer(name)
            x = layer.x.astype(np.float64)
            found = gptq(layer.weight, x.T @ x, group)
            nearest = quantize_weights(layer.weight, 4, group)
            assert error(x, layer.weight, found) < error(x, layer.weight, nearest), name


def test_inputs_that_do_not_depend_on_each_other_leave_the_nearest_weights(rng: np.random.Generator) -> None:
    weight = rng.standard_normal((6, 96)).astype(np.float32)
    for group in (None, 32):
        got, nearest = gptq(weight, np.diag(rng.uniform(1, 9, 96)), group), quantize_weights(weight, 4, group)
        assert (got.codes == nearest.codes).all() and (got.scale == nearest.scale).all()


def test_a_channel_without_input_is_zero_and_disturbs_no_other(rng: np.random.Generator) -> None:
    weight, x = rng.standard_normal((4, 64)).astype(np.float32), inputs(rng, 200, 64)
    x[:, 5] = 0
    got = gptq(weight, x.T @ x, 32)
    assert not got.codes[:, 5].any()
    weight[:, 5] = 0
    alone = np.zeros((64, 64))
    alone[5, 5] = 0.5  # its place in H is 1, and nothing stands beside it
    codes, pairs = by_definition(weight, x.T @ x + alone, 32, got.scale)
    assert got.groups is not None and got.codes.tolist() == codes.tolist()
    assert np.stack([got.groups.u, got.groups.z], axis=-1).tolist() == pairs.tolist()
    assert not gptq(weight, np.zeros((64, 64)), 32).codes.any()


def test_a_result_depends_on_weights_and_inputs_alone(rng: np.random.Generator) -> None:
    weight, x = rng.standard_normal((4, 64)).astype(np.float32), inputs(rng, 200, 64)
    products = x.T @ x
    kept = products.copy()
    one, other = gptq(weight, products, 32), gptq(weight, products, 32)
    assert (one.codes == other.codes).all() and (products == kept).all()
    assert isinstance(one.groups, Groups)


@pytest.mark.parametrize(("products", "message"), [
    (np.eye(3), "do not fit; got float64[3, 3]; expected finite values [4, 4]"),
    (np.full((4, 4), np.nan), "do not fit"), (-np.eye(4), "are not positive"),
])
def test_products_that_do_not_fit_are_refused_in_one_line(products: np.ndarray, message: str) -> None:
    with pytest.raises(LayerError) as caught:
        gptq(np.ones((2, 4), np.float32), products, 32, "layer 7")
    assert str(caught.value).startswith(f"layer 7: products of inputs {message}") and "\n" not in str(caught.value)
