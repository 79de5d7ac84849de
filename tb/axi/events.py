"""The totals of events behind EVENT_SELECT: what they count, and that nothing of what was cleared shows. Tests of
`tb.tb_axi`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rtl_gen.axi.registers import events
from sim.engine.events import events as counts
from tb.axi.bench import AxiBench, axi_test
from tb.axi.cases import Drawn, draw

TURNS = 3  # jobs for each event, at most, until every one has shown


@axi_test
async def the_totals_of_events_equal_the_cycle_model(bench: AxiBench) -> None:
    """After jobs in a row, under stalls, and together with those before; cleared, they begin anew."""
    names = list(events(bench.params))
    total = dict.fromkeys(names, 0)
    for turn in range(6):
        bench.pause(bench.rng if turn % 2 else None)
        layers = [draw(bench.params, bench.rng) for _ in range(int(bench.rng.integers(1, 4)))]
        await bench.play(layers, f"turn {turn}")
        counted = of_layers(bench, layers)
        total = {name: total[name] + counted[name] for name in names}
        await totals_are(bench, total, f"turn {turn}")
        if turn >= 2:
            bench.pause(None)
            await clear(bench)
            total = dict.fromkeys(names, 0)


@axi_test
async def a_total_that_was_cleared_shows_nothing_of_before(bench: AxiBench) -> None:
    """Of each event in turn, at once, before the memory's round has come to its word: a small job that counts it, its
    total, the clear, nothing."""
    left = list(events(bench.params))
    numbers = {name: number for number, name in enumerate(left)}
    for turn in range(TURNS * len(left)):
        layer = draw(bench.params, bench.rng, most_tokens=6, most_k=6)
        await bench.play([layer], f"turn {turn}")
        counted = of_layers(bench, [layer])
        name = next((name for name in left if counted[name]), None)
        if name is not None:
            left.remove(name)
            await bench.write("EVENT_SELECT", numbers[name])
            await bench.expect("EVENT_LOW", counted[name], f"turn {turn}, {name}")
        await clear(bench)
        if name is not None:
            await bench.expect("EVENT_LOW", 0, f"turn {turn}, {name}, once it was cleared")
        if not left:
            return


async def totals_are(bench: AxiBench, total: Mapping[str, int], where: str) -> None:
    """Compare every word of EVENT_SELECT, those of no event as well, with totals in the order of the events."""
    names = list(total)
    for index in range(bench.table["EVENT_SELECT"].fields[0].mask + 1):
        await bench.write("EVENT_SELECT", index)
        got = await bench.read("EVENT_LOW") | await bench.read("EVENT_HIGH") << 32
        name = names[index] if index < len(names) else "none"
        bench.check(f"{where}, event {index} ({name})", got, total.get(name, 0))


def of_layers(bench: AxiBench, layers: Sequence[Drawn]) -> dict[str, int]:
    """What jobs in a row count: event → its total."""
    units = ("rescale", "finish") + ("hadamard",) * (bench.params.rotation is not None)
    saturated = {unit: sum(layer.saturated[unit] for layer in layers) for unit in units}
    return counts(bench.params, [layer.registers for layer in layers], saturated)


async def clear(bench: AxiBench) -> None:
    """All totals begin anew."""
    await bench.write("CTRL", bench.field("CTRL", "clear_events"))
