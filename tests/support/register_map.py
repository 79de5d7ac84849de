"""What every register map has to be: words in order, fields that do not overlap, a description of each."""

from __future__ import annotations

from collections.abc import Sequence

from rtl_gen.axi.registers import ADDRESS_WIDTH, WORD_BYTES, Register


def check_register_map(table: Sequence[Register]) -> None:
    """Registers by rising offset, each with a name of its own; fields with resets that fit."""
    offsets = [register.offset for register in table]
    assert offsets == sorted(set(offsets)) and offsets[-1] < 1 << ADDRESS_WIDTH
    assert all(offset % WORD_BYTES == 0 for offset in offsets)
    assert len({register.name for register in table}) == len(table)
    for register in table:
        bits = [bit for field in register.fields for bit in range(field.low, field.low + field.width)]
        assert len(bits) == len(set(bits)) and set(bits) <= set(range(32)), register.name
        assert all(field.reset < 1 << field.width for field in register.fields), register.name
        assert register.description and all(field.description for field in register.fields)
