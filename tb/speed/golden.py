"""Speed of the golden model, and of its torch twin, against NumPy's float32 product of the same shape.

What is compared is timed in turn, best of five, in one process, so that all sides see the same BLAS threads and the
same machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from stamp_hw import mac, scale
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.layer import Layer

TOKENS, CHANNELS_IN, CHANNELS_OUT, N_HI = 2048, 4096, 1024, 64
REPEATS = 5


def best_of(work: dict[str, Callable[[], object]], repeats: int = REPEATS) -> dict[str, float]:
    """Seconds of the fastest of `repeats` runs of each, run in turn: A B C, A B C, … after one warm-up each."""
    for run in work.values():
        run()
    best = dict.fromkeys(work, float("inf"))
    for _ in range(repeats):
        for name, run in work.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def measure() -> dict[str, float]:
    """Ratios, and the seconds they were made from: a flat object."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((TOKENS, CHANNELS_IN), dtype=np.float32)
    weight = rng.standard_normal((CHANNELS_OUT, CHANNELS_IN), dtype=np.float32)
    config = NpuConfig().with_job(n_hi=N_HI)
    layer = Layer("bench", x, weight)
    result = linear.run_linear(layer, config)
    assert int(np.count_nonzero(result.quantized.bits == 8)) == N_HI
    assert np.array_equal(result.quantized.bits, scale.precision_map(TOKENS, N_HI))
    seconds = best_of({
        "sgemm": lambda: x @ weight.T,
        "golden": lambda: mac.matmul(result.quantized.codes, result.weights.codes),
        "golden_engine": lambda: linear.run_linear(layer, config),
        **datapaths(layer, result, config),
    })
    return {
        "golden_vs_sgemm": seconds["golden"] / seconds["sgemm"],
        "golden_engine_vs_sgemm": seconds["golden_engine"] / seconds["sgemm"],
        "torch_vs_numpy": seconds["numpy_datapath"] / seconds["torch_datapath"],
        **{f"{name}_s": value for name, value in seconds.items()},
    }


def cuda() -> bool:
    """A GPU is at hand."""
    import torch

    return torch.cuda.is_available()


def datapaths(layer: Layer, result: linear.LinearResult, config: NpuConfig) -> dict[str, Callable[[], object]]:
    """The whole datapath in NumPy, and in torch on the fastest device at hand; the same integers, checked here."""
    import torch

    from stamp_hw.torch import StampLinear

    device = "cuda" if cuda() else "cpu"
    module = StampLinear(result.weights, None, config, s_x=result.s_x, s_y=result.s_y, outliers="off").to(device)
    x = torch.from_numpy(layer.x).to(device)

    def run() -> np.ndarray:
        return module.run(x)[0].y.cpu().numpy()  # copying the result waits for the device

    assert np.array_equal(run(), result.y)
    return {"torch_datapath": run, "numpy_datapath": lambda: linear.datapath(
        layer.x, result.weights, None, result.s_x, result.s_y, result.job, config)}
