"""Folders that appear whole or not at all; an earlier result is replaced only where nothing would be lost."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from stamp_hw.errors import OutputError
from stamp_hw.formats.files import umask

NEW_FOLDER = "a new folder whose parent is writable"
#: Of a folder: relative path → sha256 of each file that an earlier run wrote there; empty where none did.
Listed = Callable[[Path], Mapping[str, str]]


def check_folder(out: Path, listed: Listed) -> None:
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
            _check_contents(out, listed(out))
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise OutputError("cannot write folder", where=str(out), got=getattr(error, "strerror", None) or str(error),
                          expected="a readable folder") from error


def _check_contents(out: Path, listed: Mapping[str, str]) -> None:
    """Refuse whatever would be lost: a file, link or folder that no run wrote, and an edited file."""
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


def replace_folder(out: Path, files: Mapping[str, str | bytes], listed: Listed) -> None:
    """Write all files below `out`, which appears complete or not at all; an earlier result is replaced.

    Raises OutputError as `check_folder` does, or when the disk refuses.
    """
    check_folder(out, listed)
    out = out.resolve()
    fresh = old = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
        fresh.chmod(0o777 & ~umask())
        for name, content in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
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
