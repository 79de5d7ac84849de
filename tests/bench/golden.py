"""Speed of the golden model against NumPy's float32 product of the same shape, and of the RTL's fast bench.

`make bench` runs this; it prints a table and writes build/bench.json (a flat object). What is compared is timed in
turn, best of five, in one process, so all sides see the same BLAS threads and the same machine; for the RTL see
tests/bench/rtl.py.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stamp_hw import mac, scale
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.formats.files import write_json
from stamp_hw.layer import Layer
from tests import bench_rtl

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
    """The flat object of build/bench.json: ratios, and the seconds they were made from."""
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

    from stamp_hw.torch.linear import StampLinear

    device = "cuda" if cuda() else "cpu"
    module = StampLinear(result.weights, None, config, s_x=result.s_x, s_y=result.s_y).to(device)
    x = torch.from_numpy(layer.x).to(device)

    def run() -> np.ndarray:
        return module.run(x)[0].y.cpu().numpy()  # copying the result waits for the device

    assert np.array_equal(run(), result.y)
    return {"torch_datapath": run, "numpy_datapath": lambda: linear.datapath(
        layer.x, result.weights, None, result.s_x, result.s_y, result.job, config)}


def main() -> int:
    figures = {name: round(value, 4) for name, value in (measure() | bench_rtl.measure()).items()}
    write_json(Path("build") / "bench.json", figures)
    most = {"golden_vs_sgemm": 1.5, "golden_engine_vs_sgemm": 6.0}
    least = {"rtl_batched_vs_naive": 10.0, "rtl_batched_vs_raw": 1 / 3, "torch_vs_numpy": 5.0 if cuda() else 0.8}
    goals = {name: f"at most {limit:g}" for name, limit in most.items()} | {
        name: f"at least {limit:.3g}" for name, limit in least.items()}
    lines = [f"{TOKENS} × {CHANNELS_IN} × {CHANNELS_OUT}, {N_HI} tokens at 8 bits, 4-bit weights, best of {REPEATS}:"]
    lines += [f"  {name:26} {value:14.4f}" + (f"   (goal: {goals[name]})" if name in goals else "")
              for name, value in figures.items()]
    sys.stdout.write("\n".join(lines) + "\nwritten: build/bench.json\n")
    met = [figures[name] <= limit for name, limit in most.items()]
    met += [figures[name] >= limit for name, limit in least.items()]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
