"""The PE at work: 8-bit steps, 4-bit pairs and bubbles, with its sums from NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rtl_gen.asic.bench import RESET, Bench, of_table
from rtl_gen.mac.multiplier import OPERAND_WIDTH
from rtl_gen.mac.pe import LOW_WIDTH
from stamp_hw.params import CODE_WIDTH, MacParams

MODULE = "stamp_pe"
EIGHT, FOUR, IDLE = 1, 3, 2  # phases
STEPS = {EIGHT: "mac.step8", FOUR: "mac.step4", IDLE: "idle"}
_VALID, _LAST = 2, 4  # bits of the controls, mode4 the lowest


@dataclass(frozen=True, slots=True, kw_only=True)
class Operands:
    """Codes and weights that one PE sees: `codes8` (n,), `codes4` (n, 2) and `weights` (n,), any integer dtype."""

    codes8: np.ndarray
    codes4: np.ndarray
    weights: np.ndarray


def drawn(rng: np.random.Generator, steps: int) -> Operands:
    """Rounded Gaussian values that fill their range at 4 sigma, as activations of a token and its own scale do;
    8-bit weights."""
    def normal(bits: int, shape: tuple[int, ...]) -> np.ndarray:
        top = 1 << bits - 1
        return np.clip(np.rint(rng.normal(0, top / 4, shape)), -top, top - 1).astype(np.int64)
    return Operands(codes8=normal(8, (steps,)), codes4=normal(4, (steps, 2)), weights=normal(8, (steps,)))


def bench(params: MacParams, operands: Operands, idle: int = 512, tile: int = 64) -> Bench:
    """Tiles of 8-bit steps, of 4-bit pairs, then bubbles with the inputs held. Each tile's sums are expected in the
    hold registers `params.latency` cycles behind its last step."""
    inputs = {"rst": 1, "operand_i": OPERAND_WIDTH, "control_i": 3, "wgt_i": CODE_WIDTH, "shift": 1,
              "below0": params.acc_width, "below1": params.pair_width}
    outputs = {"operand_o": OPERAND_WIDTH, "wgt_o": CODE_WIDTH, "hold0": params.acc_width, "hold1": params.pair_width}
    rows: list[dict[str, int]] = [{"rst": 1, "phase": RESET} for _ in range(4)]
    expected: dict[int, dict[str, int]] = {}
    weights = [int(value) for value in operands.weights]
    for phase, codes in ((EIGHT, operands.codes8), (FOUR, operands.codes4)):
        rows += [{"phase": RESET} for _ in range(params.latency)]
        sums = np.zeros(2, np.int64)
        for number, (code, weight) in enumerate(zip(codes.tolist(), weights, strict=False)):
            pair: Sequence[int] = code if phase == FOUR else (code, 0)
            sums += np.array(pair) * weight
            last = (number + 1) % tile == 0
            control = _VALID | (phase == FOUR) | _LAST * last
            rows.append({"phase": phase, "operand_i": (pair[1] << LOW_WIDTH) + pair[0], "wgt_i": weight,
                         "control_i": control})
            if last:
                held = {"hold0": int(sums[0])} | ({"hold1": int(sums[1])} if phase == FOUR else {})
                expected[len(rows) - 1 + params.latency] = held
                sums[:] = 0
    held_inputs = {key: value for key, value in rows[-1].items() if key != "control_i"}
    rows += [held_inputs | {"phase": RESET, "control_i": 0} for _ in range(params.latency + 2)]
    rows += [held_inputs | {"phase": IDLE, "control_i": 0} for _ in range(idle)]
    for before, row in zip(rows, rows[1:], strict=False):
        if "operand_i" in before:
            row |= {"operand_o": before["operand_i"], "wgt_o": before["wgt_i"]}
    for cycle, held in expected.items():
        rows[cycle] |= held
    return of_table(MODULE, inputs, outputs, rows, STEPS)
