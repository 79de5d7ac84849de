"""Verilog of a configuration, a file list and a manifest: the same bytes everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

from rtl_gen.delivery import handover
from rtl_gen.delivery import vectors as test_vectors
from rtl_gen.delivery.manifest import FILE_LIST, MANIFEST, VECTORS, WAIVER_FILE, listed, manifest
from rtl_gen.delivery.prefix import PREFIX, renamed
from rtl_gen.mac import ecp5
from rtl_gen.tops import AXI_TOP, BLOCKS, DESIGN, NPU_TOP, Unit, units
from rtl_gen.verilog.emit import PLAIN, Style, verilog
from rtl_gen.verilog.fields import comment, streams
from rtl_gen.verilog.waivers import control_file
from stamp_hw.config import NpuConfig
from stamp_hw.formats.folder import check_folder, replace_folder


def unit_files(unit: Unit, config: NpuConfig, style: Style = PLAIN) -> dict[str, str]:
    """File name → Verilog of one top module and what it instantiates, the top first; a top's head lists its fields."""
    files = verilog(unit.component(unit.params(config.hw)), unit.module, style=style)
    fields = {f"{top.module}.v": comment(unit_streams(top, config)) for top in units(hw=config.hw)
              if top.module in (unit.module, unit.inside)}
    return {name: delivered(text, fields.get(name, "")) for name, text in files.items()}


def delivered(text: str, fields: str = "") -> str:
    """A module's file as users get it: `fields` end its head, and a name that nobody declares is an error in this file,
    but not in what a tool reads behind it."""
    head, _, body = text.partition("\n\n")
    return f"{head}\n{fields}\n`default_nettype none\n\n{body}`default_nettype wire\n"


def unit_streams(unit: Unit, config: NpuConfig) -> dict[str, dict[str, Any]]:
    """What `rtl_gen.verilog.fields.streams` says of a top module."""
    component = unit.component(unit.params(config.hw))
    component._MustUse__used = True  # only its signature is read; Amaranth warns of what is never elaborated
    return streams(component.signature)


def generate(config: NpuConfig, *, blocks: bool = False, vectors: bool = False, prefix: str = PREFIX,
             style: Style = PLAIN) -> dict[str, str]:
    """Relative path → text of everything that `stamp-hw generate` writes, the manifest last.

    The tops are those of the engine; with `blocks` also each other block that the hardware has, as a top of its own.
    `vectors` adds their testbenches. Names begin with `prefix` (`rtl_gen.delivery.prefix`), which nothing before the
    last lines knows.
    """
    chosen = {block: [unit for unit in group if unit.is_built(config.hw)] for block, group in BLOCKS.items()
              if blocks or block in DESIGN}
    files: dict[str, str] = {}
    described: dict[str, dict[str, Any]] = {}
    for block, group in chosen.items():
        for unit in group:
            own = unit_files(unit, config, style)
            merge(files, own)
            described[unit.module] = {"block": block, "parameters": asdict(unit.params(config.hw)),
                                      "streams": unit_streams(unit, config), "files": list(own)}
    modules = list(files)
    files[FILE_LIST] = "".join(f"{name}\n" for name in modules)
    files[WAIVER_FILE] = control_file()
    files |= ecp5.delivered(modules, config.hw)
    benches = {}
    if vectors:
        extra = {name: text for group in chosen.values() for unit in group if unit.inside is None
                 for name, text in test_vectors.files(unit, config).items()}
        extra |= test_vectors.shared_files()
        benches = {str(PurePosixPath(VECTORS, name)): text for name, text in extra.items()}
    npu = described.get(NPU_TOP, {"files": []})["files"]
    files |= handover.files(config.hw, described[AXI_TOP]["files"], WAIVER_FILE, list(benches), npu) | benches
    files = {renamed(name, prefix): renamed(text, prefix) for name, text in files.items()}
    tops = {renamed(module, prefix): top | {"files": [renamed(name, prefix) for name in top["files"]]}
            for module, top in described.items()}
    files[MANIFEST] = manifest(config, tops, files, prefix)
    return files


def merge(files: dict[str, str], more: Mapping[str, str]) -> None:
    """Add files; raises ValueError when two blocks write different text under one name."""
    for name, text in more.items():
        if files.setdefault(name, text) != text:
            raise ValueError(f"two blocks would write different {name}")


def check_target(out: Path) -> None:
    """Raise OutputError where `write` would lose a file, or could not write (`stamp_hw.formats.folder`)."""
    check_folder(out, listed)


def write(out: Path, files: Mapping[str, str]) -> None:
    """Write all files below `out`, which appears complete or not at all; an earlier result is replaced.

    Raises OutputError as `check_target` does, or when the disk refuses.
    """
    replace_folder(out, files, listed)
