"""The table of external memories: every constant of a kind of `hw.memory` with its source, and beside them what no
model uses: supply voltages, and figures of others that differ from the one taken."""

from __future__ import annotations

from stamp_hw.memory_config import KINDS

_LISTED = "as listed in github.com/Dongyunkam/DRAM_info"
_LPDDR = "Wikipedia, LPDDR, the table of generations; not read in the standard"
#: Kind → (what, value, source).
BESIDE: dict[str, list[tuple[str, str, str]]] = {
    "DDR4": [
        ("supply, V", "1.2", f"JESD79-4, 2012, as the DDR4 of Ramulator 2 has it, {_LISTED}; not read in the standard"),
        ("another `pj_per_bit`", "4.5", "T. Vogelsang, MICRO-43, 2010: expected of an 8 Gb device of 45 nm, its own "
                                        f"part alone, {_LISTED}; not read in the paper"),
    ],
    "LPDDR4": [
        ("supplies, V", "1.1, 1.8", _LPDDR),
        ("another `pj_per_bit`", "13", "H. Ha, PhD thesis, Stanford 2018: a package of four 8 Gb dies, simulated, "
                                       f"{_LISTED}; not read in the thesis"),
    ],
    "LPDDR5": [("supplies, V", "0.5, 1.05, 1.8", _LPDDR)],
    "GDDR6": [("supply, V", "1.35", "Micron's announcement of mass production, June 2018, as jagatreview.com reported "
                                    "it; not read at Micron")],
    "HBM2": [
        ("supply, V", "1.2", "assumed: no source was found"),
        ("another `pj_per_bit`", "6", "of HBM2E: Micron's comparison of memories of high bandwidth, as reproduced at "
                                      "kylolab.com/ultra-bandwidth-solutions.html; not read at Micron, no year given"),
    ],
}


def verified(source: str) -> str:
    """What a source's text says of itself."""
    if source.startswith("assumed"):
        return "assumed"
    if "not read" in source:
        return "**no**: quoted"
    return "cited, in part assumed" if "assumed" in source else "cited"


def table() -> str:
    """A line a constant, kind after kind."""
    rows = []
    for kind, constants in KINDS.items():
        found = [(f"`{name}`", f"{value:g}", source) for name, (value, source) in constants.items()]
        rows += [f"| {kind} | {what} | {value} | {verified(source)} | {source} |"
                 for what, value, source in (*found, *BESIDE[kind])]
    return "\n".join(rows)
