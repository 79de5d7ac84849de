"""Standard cell libraries by name: where a package manager puts them, and what is assumed of their wires.

Nothing of them is in this project. `five` is its own: five invented cells, for tests.
"""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from stamp_hw.errors import ConfigError, ToolError


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """`path` of a library of this name; `slew` in ns and `wire_ff` in fF a pin driven, both assumed; `install`, the
    command that brings it; `node` in words, and its `nm`, None where that is not known."""

    path: Path
    slew: float
    wire_ff: float
    install: str
    node: str
    nm: int | None = None


def known() -> dict[str, Known]:
    """Name → library, there or not."""
    site = Path(sysconfig.get_paths()["purelib"])
    return {
        "freepdk45": Known(path=site / "adks/freepdk-45nm/view-tiny/stdcells.lib", slew=0.04, wire_ff=1.5,
                           install="pip install 'stamp-hw[asic]'", node="45 nm, 1.1 V", nm=45),
        "osu018": Known(path=Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib"), slew=0.2, wire_ff=6.0,
                        install="apt-get install qflow-tech-osu018", node="180 nm, 1.8 V", nm=180),
        "five": Known(path=Path(str(resources.files("rtl_gen.asic") / "five.lib")), slew=0.05, wire_ff=1.0,
                      install="pip install -e .", node="invented, 1 V"),
    }


def find(name: str) -> Known:
    """A library by name, or a file. Raises ToolError that says what installs it, ConfigError for no such file."""
    names = known()
    if name in names:
        if not names[name].path.is_file():
            raise ToolError("library not found", where=name, got=names[name].path, expected=f"`{names[name].install}`")
        return names[name]
    path = Path(name)
    if not path.is_file():
        raise ConfigError("no such library", where="--liberty", got=name,
                          expected=f"a liberty file, or {' or '.join(names)}")
    return Known(path=path, slew=0.04, wire_ff=1.5, install="", node="of the file")
