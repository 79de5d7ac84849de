"""What would lift a decode step, in which one token fills one row of the array: `python -m sim.workload.decode`.

Today a pass takes K cycles whatever its tokens, because C weights enter at the top row a cycle. Two remedies:

- **Batch**: B sequences fill B rows of the same pass. The hardware does that today (`sim.workload`).
- **Entry rows**: weights enter at E rows R / E apart, E · C a cycle. Each takes its own part of K for the same token,
  and the combine unit adds the E sums of a column, as it adds blocks. A pass then takes ceil(K / E) steps; what stands
  behind it is the same. That costs E − 1 multiplexers of C bytes in the array (a row's weights come from the row above
  or from an entry), a stream `w` and a weight buffer E times as wide (of the same bits), and E sums for one T.

The cycles of the second are those of the engine's closed form for a layer of ceil(K / E) channels, at least those that
the layer's bytes take: *modelled*, and equal to the engine's own for E = 1 (tested). Not built (ADR 17).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sim import dram
from sim.cost import energy
from sim.engine import closed_form
from sim.memory import dram_bytes
from sim.task import Task
from sim.workload import find, jobs
from sim.workload.ops import Linear, Workload
from sim.workload.run import Run
from sim.workload.totals import total
from stamp_hw.config import NpuConfig
from stamp_hw.formats.files import write_json
from stamp_hw.rooms import HOME, build_folder
from stamp_hw.text import align, number

MODEL, CONTEXT = "llama-3-8b", 2048
ENTRIES = (1, 2, 4, 8, 16, 32)
BATCHES = (1, 2, 4, 8, 16, 32)
FAST = 1e15  # bytes per second


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A decode step: `cycles` of its linear layers; tokens a second of all sequences; what the bytes alone allow;
    joules a token, where the energy model knows the hardware."""

    cycles: int
    tokens_per_s: float
    memory_tokens_per_s: float
    energy_j: float | None = None


def configuration() -> NpuConfig:
    """The 32 × 32 preset with packed weights, which halve the bytes of a step."""
    return NpuConfig.load(HOME / "configs" / "npu32.yaml", {"packed_weights": True})


def step(batch: int = 1) -> Workload:
    """One decode step behind `CONTEXT` tokens."""
    return find.workload(MODEL, find.Ask(prefill=CONTEXT, decode=1, batch=batch))


def cycles(op: Linear, config: NpuConfig, entries: int) -> tuple[int, int]:
    """(cycles of a step's layers of one operation with so many entry rows, bytes that they move)."""
    hw, fast = config.hw, config.with_hw(memory=None, dram_bytes_per_s=FAST)
    found = moved = 0
    for job in jobs.of_linear(op, 1, "stamp", fast):
        task = Task.of(job.shape, job.config)
        parts = closed_form.simulate(replace(task, k=-(-task.k // entries)), fast.hw, job.limit)
        size = dram_bytes(task, hw, parts.super_tiles).total
        found += job.times * max(parts.total, dram.cycles(size, hw))
        moved += job.times * size
    return found, moved


def entry_rows(entries: int) -> Point:
    """The linear layers of a step with so many entry rows; attention is not in it."""
    config = configuration()
    (phase,) = (phase for phase in step().phases if phase.name == "decode")
    parts = [cycles(op, config, entries) for op in phase.ops if isinstance(op, Linear)]
    clocks, moved = (sum(column) for column in zip(*parts, strict=True))
    freq = float(config.hw.freq_hz)
    return Point(cycles=clocks, tokens_per_s=freq / clocks, memory_tokens_per_s=freq / dram.cycles(moved, config.hw))


def batched(batch: int) -> Point:
    """The same layers for so many sequences side by side, as the hardware is."""
    config, workload = configuration(), step(batch)
    phase = workload.phases[-1]
    run = Run(workload, config, energy.load(config.hw.technology), None, prefetch=False)
    ops = run.of(phase, "stamp")
    sums = total(ops[op.name] for op in phase.ops if isinstance(op, Linear))
    freq = float(config.hw.freq_hz)
    return Point(cycles=sums.cycles, tokens_per_s=batch * freq / sums.cycles,
                 memory_tokens_per_s=batch * freq / dram.cycles(sums.dram_bytes, config.hw),
                 energy_j=sums.energy_fj / 1e15 / batch)


def rows() -> Iterator[dict[str, Any]]:
    """Every point of the table."""
    for entries in ENTRIES:
        point = entry_rows(entries)
        yield {"entries": entries, "batch": 1, "cycles": point.cycles, "tokens_per_s": point.tokens_per_s,
               "memory_tokens_per_s": point.memory_tokens_per_s, "energy_j": None}
    for batch in BATCHES:
        point = batched(batch)
        yield {"entries": 1, "batch": batch, "cycles": point.cycles, "tokens_per_s": point.tokens_per_s,
               "memory_tokens_per_s": point.memory_tokens_per_s, "energy_j": point.energy_j}


def main() -> int:
    """Print the table and write `decode.json` into the build folder."""
    found = list(rows())
    write_json(build_folder() / "decode.json", {"model": MODEL, "context": CONTEXT, "rows": found})
    table = [(str(row["entries"]), str(row["batch"]), f"{row['cycles']:,}", number(row["tokens_per_s"], 2),
              number(row["memory_tokens_per_s"], 1),
              "–" if row["energy_j"] is None else number(row["energy_j"], 3)) for row in found]
    sys.stdout.write(f"Linear layers of a decode step of {MODEL}, 32 × 32 array, packed 4-bit weights\n" + align(
        ("entry rows", "sequences", "cycles", "tokens/s", "bytes ≤", "J a token"), table, left=0) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
