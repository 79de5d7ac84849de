"""The order of assignments in a block: none stands behind an `if` that it would overwrite.

By the rules of Verilog the last assignment wins. Yosys 0.70 reads one that stands behind an `if` of the same block, in
a branch, as if it stood in front of it; so text of that form would be other hardware there than in a simulator.
"""

from __future__ import annotations

from amaranth.hdl._nir import Assignment, AssignmentList, Netlist, Value

from rtl_gen.verilog.statements import Assign, Block, path


def drop_overwritten(netlist: Netlist) -> None:
    """Cut from all lists of assignments the bits that a later assignment takes whenever the earlier one does: it stands
    under the same condition, or under one around it."""
    for cell in netlist.cells:
        if isinstance(cell, AssignmentList):
            cell.assignments = _lasting(netlist, cell)


def _lasting(netlist: Netlist, cell: AssignmentList) -> tuple[Assignment, ...]:
    kept: list[Assignment] = []
    later: list[tuple[list[tuple[int, int]], range]] = []
    for assign in reversed(cell.assignments):
        steps = path(netlist, assign.cond)
        bits = range(assign.start, assign.start + len(assign.value))
        gone = [other for around, other in later if steps[:len(around)] == around]
        left = [bit for bit in bits if not any(bit in other for other in gone)]
        for low, high in reversed(_runs(left)):
            value = Value(assign.value[low - assign.start:high - assign.start])
            kept.append(Assignment(cond=assign.cond, start=low, value=value, src_loc=assign.src_loc))
        later.append((steps, bits))
    return tuple(reversed(kept))


def _runs(bits: list[int]) -> list[tuple[int, int]]:
    """(first, behind the last) of consecutive numbers."""
    starts = [bit for bit in bits if bit - 1 not in bits]
    ends = [bit + 1 for bit in bits if bit + 1 not in bits]
    return list(zip(starts, ends, strict=True))


def check_order(block: Block) -> set[tuple[str, int]]:
    """The bits, (register, place) each, that a block or one in it assigns. Raises ValueError where an assignment stands
    behind a condition under which the same bits are assigned."""
    plain: set[tuple[str, int]] = set()
    conditional: set[tuple[str, int]] = set()
    for node in block:
        if isinstance(node, Assign):
            wire, low, high = node.target
            bits = {(wire.name, bit) for bit in range(low, high)}
            if bits & conditional:
                raise ValueError(f"{wire.name} is assigned behind a condition that assigns it")
            plain |= bits
        else:
            for branch in node.branches.values():
                conditional |= check_order(branch)
    return plain | conditional
