"""The PE at work: 8-bit steps, 4-bit pairs and bubbles, with its sums from NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rtl_gen.asic.bench import RESET, Bench, of_table
from rtl_gen.mac import split
from rtl_gen.mac.element import operand_shape
from rtl_gen.mac.pe import LOW_WIDTH
from stamp_hw.engine import changes
from stamp_hw.engine.changes import Passage
from stamp_hw.params import CODE_WIDTH, MacParams

MODULE = "stamp_pe"
EIGHT, FOUR, IDLE = 1, 3, 2  # phases
STEPS = {EIGHT: "mac.step8", FOUR: "mac.step4", IDLE: "idle"}


Factors = tuple[int, ...]  # of a step: what each sum takes of the weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """A PE as its bench sees it: bits of its `operand`, of its `control` and of its `sums`, and the cycles from a
    step to them; `packed` makes the operand of a step's factors, `told` the controls of valid, mode4, last.
    Where it `holds`, a bubble leaves the operand that its neighbours see as it was."""

    operand: int
    control: int
    sums: tuple[int, ...]
    latency: int
    packed: Callable[[Factors], int]
    told: Callable[[bool, bool, bool], int]
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Operands:
    """Codes and weights that one PE sees: `codes8` (n,), `codes4` (n, 2) and `weights` (n,), any integer dtype;
    `weights4` (n,) of pairs, None for the same."""

    codes8: np.ndarray
    codes4: np.ndarray
    weights: np.ndarray
    weights4: np.ndarray | None = None

    def of(self, phase: int) -> tuple[np.ndarray, np.ndarray]:
        """(codes, weights) of the steps of a phase."""
        if phase == EIGHT:
            return self.codes8, self.weights
        return self.codes4, self.weights if self.weights4 is None else self.weights4

    def measures(self, params: MacParams, phase: int) -> dict[str, float]:
        """What changes in the PE a step of a phase."""
        codes, weights = (np.asarray(values, np.int64) for values in self.of(phase))
        low, high = (codes, np.zeros_like(codes)) if phase == EIGHT else (codes[:, 0], codes[:, 1])
        return changes.of_steps(params, 8 if phase == EIGHT else 4, low, high, weights)


def drawn(rng: np.random.Generator, steps: int, bits: tuple[int, int, int] = (8, 4, 8)) -> Operands:
    """Rounded Gaussian values that fill their range at 4 sigma, as activations of a token and its own scale do;
    8-bit weights. `bits` of the codes of either kind and of the weights, where they fill less."""
    def normal(width: int, shape: tuple[int, ...]) -> np.ndarray:
        top = 1 << width - 1
        return np.clip(np.rint(rng.normal(0, top / 4, shape)), -top, top - 1).astype(np.int64)
    eight, four, weight = bits
    return Operands(codes8=normal(eight, (steps,)), codes4=normal(four, (steps, 2)), weights=normal(weight, (steps,)))


def of_passage(run: Passage, steps: int) -> Operands | None:
    """What a layer gives to PEs: a row slot and a channel behind the other. None without tokens of both precisions."""
    eight, four = (changes.some_steps(run, bits) for bits in (8, 4))
    if eight is None or four is None:
        return None

    def in_a_row(codes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slots, channels = len(codes), len(weights)
        return (np.resize(np.tile(codes.swapaxes(1, 2).reshape(-1, 2), (channels, 1)), (steps, 2)),
                np.resize(np.repeat(weights, slots, axis=0), (steps,)))
    codes8, codes4 = in_a_row(*eight), in_a_row(*four)
    return Operands(codes8=codes8[0][:, 0], codes4=codes4[0], weights=codes8[1], weights4=codes4[1])


def factors(params: MacParams, code: Sequence[int] | int) -> Factors:
    """What the PE's two sums take of a weight: token 0's and token 1's codes, or an 8-bit one, whose nibbles a split PE
    has apart."""
    if not isinstance(code, int):
        return code[0], code[1]
    return (code & 15, code >> 4) if params.split else (code, 0)


def operand(params: MacParams, low: int, high: int) -> int:
    """The PE's operand of both, as its port has it."""
    if params.split:
        return (high << split.LOW_WIDTH) + (low & ((1 << split.LOW_WIDTH) - 1))
    return (high << LOW_WIDTH) + low


def control(params: MacParams, valid: bool, mode4: bool, last: bool) -> int:
    """The controls of a step, as the PE's port has them."""
    return valid | last << 1 if params.split else mode4 | valid << 1 | last << 2


def ports(params: MacParams) -> Ports:
    """Those of the PE that `rtl_gen.mac.element` makes."""
    return Ports(operand=operand_shape(params).width, control=2 if params.split else 3, sums=params.sum_widths,
                 latency=params.pe_latency, packed=lambda code: operand(params, code[0], code[1] if code[1:] else 0),
                 told=lambda valid, mode4, last: control(params, valid, mode4, last), holds=params.split)


def bench(params: MacParams, operands: Operands, idle: int = 512, tile: int = 64) -> Bench:
    """Tiles of 8-bit steps, of 4-bit pairs, then bubbles with the inputs held. Of an 8-bit token a packed PE has one
    sum."""
    (codes8, weights8), (codes4, weights4) = (operands.of(phase) for phase in (EIGHT, FOUR))
    eight = [factors(params, code) if params.split else (code,) for code in codes8.tolist()]
    four = [factors(params, code) for code in codes4.tolist()]
    return of_phases(ports(params), {EIGHT: (eight, weights8), FOUR: (four, weights4)}, idle, tile)


def of_phases(given: Ports, phases: Mapping[int, tuple[Sequence[Factors], np.ndarray]], idle: int = 512,
              tile: int = 64) -> Bench:
    """A bench of phases of `STEPS`, each the factors and the weights of its steps, and of one at rest. Each tile's
    sums, of its factors, are expected in the hold registers `latency` cycles behind its last step."""
    inputs = {"rst": 1, "operand_i": given.operand, "control_i": given.control, "wgt_i": CODE_WIDTH, "shift": 1,
              **{f"below{number}": width for number, width in enumerate(given.sums)}}
    outputs = {"operand_o": given.operand, "wgt_o": CODE_WIDTH,
               **{f"hold{number}": width for number, width in enumerate(given.sums)}}
    rows: list[dict[str, int]] = [{"rst": 1, "phase": RESET} for _ in range(4)]
    expected: dict[int, dict[str, int]] = {}
    for phase, (codes, weights) in phases.items():
        rows += [{"phase": RESET} for _ in range(given.latency)]
        sums = np.zeros(len(codes[0]), np.int64)
        for number, (code, weight) in enumerate(zip(codes, weights.tolist(), strict=False)):
            sums += np.array(code) * weight
            last = (number + 1) % tile == 0
            rows.append({"phase": phase, "operand_i": given.packed(code), "wgt_i": weight,
                         "control_i": given.told(True, phase == FOUR, last)})
            if last:
                expected[len(rows) - 1 + given.latency] = {f"hold{n}": int(one) for n, one in enumerate(sums)}
                sums[:] = 0
    held_inputs = {key: value for key, value in rows[-1].items() if key != "control_i"}
    rows += [held_inputs | {"phase": RESET, "control_i": 0} for _ in range(given.latency + 2)]
    rows += [held_inputs | {"phase": IDLE, "control_i": 0} for _ in range(idle)]
    for before, row in zip(rows, rows[1:], strict=False):
        if "operand_i" in before and (before["control_i"] or not given.holds):
            row |= {"operand_o": before["operand_i"], "wgt_o": before["wgt_i"]}
    for cycle, held in expected.items():
        rows[cycle] |= held
    return of_table(MODULE, inputs, outputs, rows, {phase: STEPS[phase] for phase in (*phases, IDLE)})
