"""The other packages of this project by name, whatever a user's current folder calls `sim`, `tb` or `models`."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from stamp_hw.errors import StampError

#: Packages that stand beside `stamp_hw`, in a checkout and where it is installed, and which of the others each imports.
#: All import `stamp_hw`, and it imports none of them: what it needs of them it asks for by name.
ROOMS = {"rtl_gen": (), "sim": (), "tb": ("rtl_gen", "sim"), "models": ()}
HOME = Path(__file__).resolve().parents[1]


def build_folder() -> Path:
    """Where results go that can be made again: what STAMP_BUILD names, else build/ of the checkout, or of the current
    folder for a plain install, whose own folder is no place to build in."""
    here = HOME if (HOME / "pyproject.toml").is_file() else Path.cwd()
    return Path(os.environ.get("STAMP_BUILD") or here / "build")


def sources_digest(*folders: str) -> str:
    """SHA-256 over the Python files of these folders of the project: tells results of this code from another's."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((HOME / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(HOME)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def load(name: str) -> ModuleType:
    """The module of that name in one of ROOMS. Raises StampError where another package has taken that room's name, or
    one's that it imports."""
    room = name.partition(".")[0]
    for needed in (*ROOMS[room], room):
        _open(needed)
    return importlib.import_module(name)


def call(module: str, function: str, *arguments: Any) -> Any:
    """`function` of a module in one of ROOMS, for a process elsewhere that has found `stamp_hw` alone."""
    return getattr(load(module), function)(*arguments)


def _open(room: str) -> None:
    """Import a room from beside `stamp_hw`; the search path would find a folder of that name in the current one."""
    if (there := sys.modules.get(room)) is not None:
        if not _ours(there, room):
            raise StampError("another package has this name", where=room, got=str(getattr(there, "__file__", None)),
                             expected=f"the one in {HOME}, in a process that has not imported the other")
        return
    spec = PathFinder.find_spec(room, [str(HOME)])
    if spec is None or spec.loader is None:
        raise StampError("package is missing", where=str(HOME / room), expected="an installation of all of stamp-hw")
    module = module_from_spec(spec)
    sys.modules[room] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[room]
        raise


def _ours(module: ModuleType, room: str) -> bool:
    return Path(getattr(module, "__file__", None) or "/").resolve().parent == HOME / room
