"""Speed of a sweep: points of one layer a second of one processor, and what two processes make of it.

Every round has points of its own, so that none finds in a cache what another has computed: a clock and memories that
are so many times as fast, which are the same cycles by the same steps. Seconds of one process are CPU time; two are
compared with one by the clock, their start included.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from pathlib import Path

from sim.sweep import run, spec
from sim.sweep.kept import Kept
from sim.sweep.workers import local

ROUNDS = 3
FREQ_HZ, BYTES_PER_S = 5e8, (25.6e9, 51.2e9, 102.4e9, 204.8e9)
SWEEP = """\
base: {{hw: {{rows: 32, cols: 32, lanes: 64, max_k: 4096}}}}
workload: {{tokens: 2048, k: 4096, n: 4096}}
axes:
  hw.act_slots: {{from: 256, to: 2048, step: 16}}
  hw.dram_bytes_per_s: {bytes_per_s}
  job.n_hi: [0, 64, 1/8]
  hw.freq_hz: [{freq_hz}]
"""


def measure() -> dict[str, float]:
    """`sweep_points_per_s` of a processor; by the clock `sweep_one_s` and `sweep_two_s` of all points in one process
    and in two, and `sweep_two_workers` the speed of two over that of one."""
    seconds = {1: float("inf"), 2: float("inf")}  # by the clock, of so many processes
    processor, count = float("inf"), 0
    for number in range(ROUNDS):
        for workers in seconds:
            start, used = time.perf_counter(), time.process_time()
            count = _swept(2 * number + workers, workers)
            seconds[workers] = min(seconds[workers], time.perf_counter() - start)
            if workers == 1:
                processor = min(processor, time.process_time() - used)
    return {"sweep_points": count, "sweep_points_per_s": count / processor, "sweep_one_s": seconds[1],
            "sweep_two_s": seconds[2], "sweep_two_workers": seconds[1] / seconds[2]}


def _swept(times: int, processes: int) -> int:
    """Run all of a sweep of hardware `times` as fast, as the command does; how many points it has."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sweep.yaml"
        rates = [times * rate for rate in BYTES_PER_S]
        path.write_text(SWEEP.format(freq_hz=times * FREQ_HZ, bytes_per_s=rates), encoding="utf-8")
        plan = run.plan(spec.read(path))
        with closing(Kept(Path(folder) / "out", plan.head, len(plan.points))) as kept, local(processes) as workers:
            run.run(plan, workers, kept, lambda line: None)
            kept.finish()
            assert all('"cycles"' in line for line in kept.lines.values())
    return len(plan.points)
