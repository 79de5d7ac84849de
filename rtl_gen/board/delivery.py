"""What `stamp-hw board` writes: modules, memories, constraints, models for a simulation, and what was seen of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rtl_gen.board import ulx3s
from rtl_gen.board.contents import Contents, hex_text
from rtl_gen.board.params import BoardParams
from rtl_gen.board.program import WIDTH
from rtl_gen.board.top import Board
from rtl_gen.delivery import manifest
from rtl_gen.delivery.generate import delivered
from rtl_gen.mac import ecp5
from rtl_gen.verilog.emit import verilog
from stamp_hw.config import NpuConfig
from stamp_hw.formats.folder import check_folder, replace_folder

CORE = "stamp_board"
BITSTREAM, SAID, LPF, MODELS = f"{ulx3s.TOP}.bit", "expected.txt", f"{ulx3s.NAME}.lpf", "models"
_OWN = (rf"stamp_\w+\.v|{BITSTREAM}|{SAID}|{LPF}|{MODELS}/\w+\.v|" + "|".join(
    (ulx3s.RAM_FILE, ulx3s.WANT_FILE, ulx3s.PROGRAM_FILE)))


def modules(params: BoardParams, config: NpuConfig, mhz: int) -> dict[str, str]:
    """File name → Verilog of the top and all below it, as it is synthesized."""
    own = {name: delivered(text) for name, text in verilog(Board(params), CORE).items()}
    return ulx3s.top(params, mhz) | ecp5.for_synthesis(own, config.hw)


def simulated(files: Mapping[str, str], config: NpuConfig) -> dict[str, str]:
    """The same, with models of the part's own cells."""
    slices = {f"{ecp5.PRIMITIVE}.v": ecp5.model()} if config.hw.dsp == ecp5.DSP else {}
    return {**files, **ulx3s.models(), **slices}


def memories(held: Contents, params: BoardParams) -> dict[str, str]:
    """File name → what a memory of the top holds."""
    return {ulx3s.RAM_FILE: hex_text(held.words, params.npu.bus_width),
            ulx3s.WANT_FILE: hex_text(held.wanted, params.npu.bus_width),
            ulx3s.PROGRAM_FILE: hex_text(held.program, WIDTH)}


def files(own: Mapping[str, str], held: Mapping[str, str], config: NpuConfig, said: str, bits: bytes
          ) -> dict[str, str | bytes]:
    """Relative path → contents of all that is written: `modules`, `memories`, what the serial line says, and the
    bitstream where there is one."""
    models = {f"{MODELS}/{name}": text for name, text in simulated({}, config).items()}
    return {**own, **held, LPF: ulx3s.constraints(), **models, SAID: said, **({BITSTREAM: bits} if bits else {})}


def check_target(out: Path) -> None:
    """Raise OutputError where `write` would lose a file, or could not write."""
    check_folder(out, _listed)


def write(out: Path, files: Mapping[str, str | bytes], said: Mapping[str, object]) -> None:
    """Write all files below `out` and a manifest that says this of them; an earlier result is replaced."""
    replace_folder(out, {**files, manifest.MANIFEST: manifest.sealed(said, files)}, _listed)


def _listed(out: Path) -> dict[str, str]:
    return manifest.listed(out, _OWN)
