"""`python -m sim.studies.small_banks`: what hangs on the price of banks below the first published point."""

from __future__ import annotations

from sim.cost import energy
from sim.studies import small_banks


def test_a_held_price_is_that_of_the_first_point_below_it_and_the_same_above() -> None:
    chosen = energy.load("horowitz45")
    own, held = (each.constants["memory.access"] for each in (chosen, small_banks.held(chosen)))
    first, price = own.points[0]
    for size in (1.0, 8.0, 100.0, 5000.0, first):
        assert held.at(size) == price >= own.at(size)
    for size in (first, 20_000.0, 2.0**20, 2.0**24):
        assert held.at(size) == own.at(size)


def test_every_layer_costs_more_where_small_banks_do_and_nothing_else_changes() -> None:
    found = list(small_banks.rows())
    assert [row["config"] for row in found] == list(small_banks.LAYERS)
    for row in found:
        assert row["held_memories_fj"] > row["memories_fj"] > 0
        assert row["held_total_fj"] - row["total_fj"] == row["held_memories_fj"] - row["memories_fj"]
