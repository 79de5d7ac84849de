"""A stage's job and the one behind it (`rtl_gen.lib.job_registers`)."""

from __future__ import annotations

from amaranth.lib import data
from amaranth.sim import Simulator, SimulatorContext

from rtl_gen.lib.job_registers import JobRegisters


def test_a_job_is_at_hand_two_cycles_after_its_start_or_after_the_end_of_the_one_before() -> None:
    unit = JobRegisters(data.StructLayout({"name": 4}))
    # what is driven in a cycle; what is seen in it: room, begins, running, idle, name of the job at hand (None: no job)
    table: tuple[tuple[dict[str, int], tuple[int, int, int, int, int | None]], ...] = (
        ({"start": 1, "registers": 5}, (1, 0, 0, 1, None)),
        ({}, (0, 1, 0, 0, None)),
        ({"start": 1, "registers": 6}, (1, 0, 1, 0, 5)),
        ({"registers": 7}, (0, 0, 1, 0, 5)),
        ({"ends": 1}, (0, 0, 1, 0, 5)),
        ({}, (0, 1, 0, 0, None)),
        ({"ends": 1}, (1, 0, 1, 0, 6)),
        ({}, (1, 0, 0, 1, None)),
    )

    async def bench(ctx: SimulatorContext) -> None:
        for cycle, (driven, (*flags, name)) in enumerate(table):
            for port in ("start", "ends"):
                ctx.set(getattr(unit, port), driven.get(port, 0))
            ctx.set(unit.registers.name, driven.get("registers", 0))
            assert [ctx.get(port) for port in (unit.room, unit.begins, unit.running, unit.idle)] == flags, cycle
            if name is not None:
                assert ctx.get(unit.job.name) == name, cycle
            if flags[1]:
                assert ctx.get(unit.following.name) == 5 + cycle // 5, cycle
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
