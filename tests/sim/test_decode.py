"""The study of decode steps: one entry row is the engine as it is, and more of them never lose."""

from __future__ import annotations

from sim.cost import energy
from sim.workload import decode
from sim.workload.ops import Linear
from sim.workload.run import Run


def test_one_entry_row_takes_the_cycles_of_the_engine_job_by_job() -> None:
    config = decode.configuration()
    phase = decode.step().phases[-1]
    run = Run(decode.step(), config, energy.load(config.hw.technology), None, prefetch=False)
    sums = run.of(phase, "stamp")
    for op in phase.ops:
        if isinstance(op, Linear):
            cycles, moved = decode.cycles(op, config, 1)
            assert (cycles, moved) == (sums[op.name].cycles, sums[op.name].dram_bytes), op.name
    assert decode.entry_rows(1).cycles == decode.batched(1).cycles


def test_more_entry_rows_lift_a_step_up_to_what_its_bytes_allow() -> None:
    points = [decode.entry_rows(entries) for entries in decode.ENTRIES]
    rates = [point.tokens_per_s for point in points]
    assert rates == sorted(rates) and all(point.tokens_per_s <= point.memory_tokens_per_s for point in points)
    assert rates[1] > 1.9 * rates[0] and rates[3] > 0.9 * points[3].memory_tokens_per_s


def test_sequences_side_by_side_share_the_bytes_and_the_cycles_of_one() -> None:
    alone, many = decode.batched(1), decode.batched(16)
    assert many.cycles < 1.01 * alone.cycles and many.tokens_per_s > 15 * alone.tokens_per_s
