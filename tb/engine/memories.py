"""The engine behind external memories: at a rate that each stream has for itself, behind one port, and in a row whose
jobs wait for results. Tests of `tb.tb_engine`."""

from __future__ import annotations

from sim.engine.early import Early
from tb.batch.bench import BatchBench, batch_test
from tb.engine import external
from tb.engine.cases import draw, searched
from tb.engine.play import play, several, stalls_of

ROWS = 9


@batch_test
async def inputs_at_the_memorys_rate_take_the_cycles_of_the_closed_form(bench: BatchBench) -> None:
    """Every beat's cycle, and the total of a report; every second job in super-tiles that were searched for it."""
    for number in range(6):
        moved, hw = external.rated(bench.rng, bench.params.hw)
        case = searched(bench.rng, hw) if number % 2 else draw(bench.rng, bench.params)
        patterns = external.at_the_rate(bench.params, case, hw)
        await play(bench, [case], f"memory {number}, {moved} bytes a cycle", patterns)


@batch_test
async def jobs_behind_one_port_take_the_cycles_of_its_model(bench: BatchBench) -> None:
    """One job, and the total of a report; several in a row while the other two streams stall."""
    for number in range(6):
        cases, stalls = (several(bench), stalls_of(bench)) if number % 2 else (several(bench, 1), {})
        hw = external.behind_a_port(bench.rng, bench.params.hw)
        patterns = external.from_the_port(bench.params, cases, hw, stalls)
        await play(bench, cases, f"port {number}, {hw.memory}", patterns)


@batch_test
async def jobs_that_wait_for_results_take_the_cycles_of_those_that_are_prefetched(bench: BatchBench) -> None:
    """Each job's registers are written while the one before it runs. Its tokens wait for that one's results, and its
    weights do or do not: at a memory's rate and behind a port, with the totals of a report; under stalls of every
    stream."""
    for number in range(ROWS):
        cases = several(bench)
        cases = [cases[place] for place in bench.rng.integers(0, len(cases), 4)]
        wanted = [Early(word) for word in bench.rng.choice([early.value for early in Early][1:], len(cases))]
        if number % 3 == 0:
            patterns = external.in_a_row_under(bench.params, cases, stalls_of(bench), wanted)
            where = "stalls"
        else:
            hw = external.behind_a_port(bench.rng, bench.params.hw) if number % 3 == 1 else external.rated(
                bench.rng, bench.params.hw)[1]
            patterns, where = external.in_a_row(bench.params, cases, hw, wanted), str(hw.memory or hw.dram_bytes_per_s)
        await play(bench, cases, f"row {number}, {[early.value for early in wanted]}, {where}", patterns)
