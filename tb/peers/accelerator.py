"""This project's hardware in the words of ZigZag, as near as they come, with the same constants of energy.

An output-stationary array: columns are output channels, rows are tokens, a sum stays in its PE. Behind each operand the
buffer that the engine has for it, double, as wide as the array reads it, a byte at the price that it has in the
engine's banks; the external memory behind all. What ZigZag has no words for is not there: lifting, quantizer, rescale
and their memories, the parameters of the output channels, and rows that hold two 4-bit tokens. Activations and weights
are 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim.banks import banks
from sim.cost import bank_prices
from sim.cost.energy import EnergySet, Event
from stamp_hw.config import HwConfig
from stamp_hw.engine.wire import OUT_BYTES
from stamp_hw.params import CODE_WIDTH, Z_WIDTH

DRAM_BITS = 10**12  # larger than any layer
#: ZigZag's own default of the temporal loops that it permutes, and what it looks for among the mappings.
LPF_LIMIT, OPT = 6, "EDP"


def dram_bits(hw: HwConfig) -> int:
    """Bits a cycle of the external memory's port."""
    return 8 * int(hw.dram_bytes_per_s // hw.freq_hz)


def dram_pj(hw: HwConfig, energy_set: EnergySet) -> float:
    """Energy of such a cycle."""
    return energy_set.price(Event(name="", constant="dram.access", count=1, bits=dram_bits(hw)))


def accelerator(hw: HwConfig, energy_set: EnergySet) -> dict[str, Any]:
    """The hardware, pJ an access of a whole port."""

    own = {one.name: one for one in banks(hw)}

    def word(*names: str) -> float:
        """pJ of a word of each of these memories."""
        return sum(energy_set.price(bank_prices.event(own[name], 1)) for name in names)

    def memory(operand: str, size: int, read: int, write: int, bit_pj: float) -> dict[str, Any]:
        """A double buffer of `size` bytes a half, its ports so many bits wide, at `bit_pj` a bit."""
        down, up = ("tl", "fh") if operand != "O" else ("tl, th", "fh, fl")
        return {"size": 2 * 8 * size, "r_cost": read * bit_pj, "w_cost": write * bit_pj, "area": 0,
                "latency": 1, "operands": [operand], "served_dimensions": ["D1", "D2"],
                "force_double_buffering": True,
                "ports": [_port("r_port_1", "read", read, operand, down),
                          _port("w_port_1", "write", write, operand, up)]}

    external, out_bits = dram_bits(hw), hw.drain_lanes * Z_WIDTH
    pj = {name: energy_set.constants[name].at(0) for name in ("mac.multiply", "mac.add")}
    dram = dram_pj(hw, energy_set)
    sums = [("r_port_1", "read", "tl"), ("r_port_2", "read", "th"), ("w_port_1", "write", "fh"),
            ("w_port_2", "write", "fl")]
    return {
        "name": "npu",
        "memories": {
            "sums": {"size": hw.acc_width, "r_cost": 0.0, "w_cost": pj["mac.add"], "area": 0, "latency": 1,
                     "operands": ["O"], "served_dimensions": [],
                     "ports": [_port(name, kind, hw.acc_width, "O", way) for name, kind, way in sums]},
            # A beat of `lanes` codes is a word of both planes.
            "activations": memory("I1", hw.act_slots * hw.max_k, hw.rows * CODE_WIDTH, external,
                                  word("activation_low", "activation_high") / (hw.lanes * CODE_WIDTH)),
            "weights": memory("I2", hw.max_k * hw.cols, hw.cols * CODE_WIDTH, hw.cols * CODE_WIDTH,
                              word("weight_buffer") / (hw.cols * CODE_WIDTH)),
            "outputs": memory("O", 2 * hw.act_slots * hw.cols * Z_WIDTH // 8, out_bits, out_bits,
                              word("output_buffer") / out_bits),
            "dram": {"size": DRAM_BITS, "r_cost": dram, "w_cost": dram, "area": 0, "latency": 1,
                     "operands": ["I1", "I2", "O"], "served_dimensions": ["D1", "D2"],
                     "ports": [{"name": "rw_port_1", "type": "read_write", "bandwidth_min": external,
                                "bandwidth_max": external,
                                "allocation": [*(f"{operand}, {way}" for operand in ("I1", "I2", "O")
                                                 for way in ("fh", "tl")), "O, fl", "O, th"]}]},
        },
        "operational_array": {"input_precision": [CODE_WIDTH, CODE_WIDTH], "unit_energy": pj["mac.multiply"],
                              "unit_area": 1.0, "dimensions": ["D1", "D2"], "sizes": [hw.cols, hw.rows]},
    }


def mapping(hw: HwConfig) -> list[dict[str, Any]]:
    """Which loops the array unrolls."""
    return [{"name": "default", "spatial_mapping": {"D1": [f"N, {hw.cols}"], "D2": [f"M, {hw.rows}"]},
             "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"}}]


def workload(products: Sequence[tuple[str, int, int, int]], hw: HwConfig) -> list[dict[str, Any]]:
    """(name, m, k, n) as loops."""
    return [{"id": number, "name": name, "operator_type": "Gemm", "equation": "O[m][n]+=I[m][k]*W[k][n]",
             "dimension_relations": [], "loop_dims": ["M", "K", "N"], "loop_sizes": [m, k, n],
             "operand_precision": {"I": CODE_WIDTH, "W": CODE_WIDTH, "O": hw.acc_width, "O_final": 8 * OUT_BYTES},
             "operand_source": {}} for number, (name, m, k, n) in enumerate(products)]


def _port(name: str, kind: str, bits: int, operand: str, ways: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "bandwidth_min": bits, "bandwidth_max": bits,
            "allocation": [f"{operand}, {way}" for way in ways.split(", ")]}
