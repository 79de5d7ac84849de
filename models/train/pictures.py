"""Photographs for training, from a folder or a zip file of ``KIND/NAME.jpg``: a folder is a kind, its name the caption.

The file may come from anyone. Only JPEG and PNG are decoded, one at a time, and each size is limited before anything is
unpacked; a picture that cannot be read ends the reading with one line that names it.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from stamp_hw.errors import ToolError, TraceError

#: Name of the file in which photographers and licences of the pictures are listed.
ATTRIBUTION = "ATTRIBUTION.txt"
_SUFFIXES = (".jpg", ".jpeg", ".png")
_MAX_FILES = 100_000  # in the folder or zip, of any kind
_MAX_BYTES = 8 << 20  # of a file
_MAX_TOTAL_BYTES = 4 << 30
_MAX_SIDE = 4096  # pixels
#: A picture closer than this to another (mean square of the difference of pixels in −1…1) is a near copy of it.
_COPY = 0.03
#: The kind is a part of a caption and of file names.
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9 _-]{0,39}")
_EXPECTED = "a folder or a zip file with pictures KIND/NAME.jpg or .png"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """`pixels` uint8[n, 3, side, side]; `labels` int64[n] into `kinds`; `names` and `sha256` of the files, in order of
    their names; `attribution` is empty where there is none."""

    pixels: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    attribution: str
    sha256: str

    def split(self, every: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices for training and held out. A picture is held out by the hash of its name, one in `every` on average:
        pictures that come or go do not move the others."""
        buckets = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % every for name in self.names]
        held_out = np.array(buckets) == 0
        return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def without_copies(pixels: np.ndarray, training: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Those of the indices `training` whose picture is no near copy of a held-out one, straight or mirrored."""
    x, rest, mirrored = ((part.reshape(len(part), -1) / np.float32(127.5) - 1).astype(np.float32) for part in (
        pixels[training], pixels[held_out], pixels[held_out][..., ::-1]))
    square = np.square(x).mean(1)[:, None]
    nearest = np.full(len(x), np.inf)
    for others in (rest, mirrored):
        nearest = np.minimum(nearest, (square + np.square(others).mean(1) - 2 * x @ others.T / x.shape[1]).min(1))
    return training[nearest > _COPY]


def read_pictures(path: Path, side: int) -> Pictures:
    """Every picture of a folder or zip file, its central square scaled to `side` × `side` pixels.

    Raises TraceError for a path that is neither, holds no picture, exceeds a limit or has a picture that cannot be
    read; ToolError without Pillow.
    """
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise ToolError("this needs Pillow", got=str(error), expected="`make venv-trace`") from error
    with _opened(path) as (names, read):
        chosen = sorted(name for name in names if _is_picture(name))
        if not chosen:
            raise TraceError("no pictures", where=str(path), got=f"{len(names)} files", expected=_EXPECTED)
        kinds = tuple(sorted({_kind(name) for name in chosen}))
        digest, pixels, total = hashlib.sha256(), np.empty((len(chosen), 3, side, side), dtype=np.uint8), 0
        for number, name in enumerate(chosen):
            content = read(name)
            total += len(content)
            if total > _MAX_TOTAL_BYTES:
                raise TraceError("too many pictures", where=str(path), expected=f"at most {_MAX_TOTAL_BYTES >> 30} GiB")
            digest.update(f"{name}\0{len(content)}\n".encode() + content)
            pixels[number] = _decode(content, side, f"{path}, {name}")
        attribution = read(ATTRIBUTION) if ATTRIBUTION in names else b""
    labels = np.array([kinds.index(_kind(name)) for name in chosen], dtype=np.int64)
    return Pictures(pixels=pixels, labels=labels, names=tuple(chosen), kinds=kinds,
                    attribution=attribution.decode("utf-8", errors="replace"), sha256=digest.hexdigest())


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    return (len(path.parts) == 2 and path.suffix.lower() in _SUFFIXES and name.isprintable()
            and _KIND.fullmatch(path.parts[0]) is not None)


def _kind(name: str) -> str:
    return PurePosixPath(name).parts[0].replace("_", " ")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[frozenset[str], Callable[[str], bytes]]]:
    """Names of the files, relative and with slashes, and a function that reads one."""
    if path.is_dir():
        names: set[str] = set()
        for file in path.rglob("*"):
            if file.is_file():
                names.add(file.relative_to(path).as_posix())
                _check_count(path, len(names))

        def from_folder(name: str) -> bytes:
            with _reading(path, name), (path / name).open("rb") as stream:
                return _limited(stream.read(_MAX_BYTES + 1), f"{path}, {name}")

        yield frozenset(names), from_folder
        return
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise TraceError("cannot read pictures", where=str(path), got=_said(error), expected=_EXPECTED) from error
    with archive:
        _check_count(path, len(archive.infolist()))

        def from_zip(name: str) -> bytes:
            # What the zip's directory says of a size is not believed: no more than the limit is ever unpacked.
            with _reading(path, name), archive.open(name) as stream:
                return _limited(stream.read(_MAX_BYTES + 1), f"{path}, {name}")

        yield frozenset(item.filename for item in archive.infolist() if not item.is_dir()), from_zip


@contextmanager
def _reading(path: Path, name: str) -> Iterator[None]:
    """What a damaged zip, an encrypted member or the disk raises becomes one TraceError."""
    try:
        yield
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise TraceError("cannot read file", where=f"{path}, {name}", got=_said(error), expected=_EXPECTED) from error


def _limited(content: bytes, where: str) -> bytes:
    if len(content) > _MAX_BYTES:
        raise TraceError("file is too large", where=where, expected=f"at most {_MAX_BYTES >> 20} MiB")
    return content


def _check_count(path: Path, count: int) -> None:
    if count > _MAX_FILES:
        raise TraceError("too many files", where=str(path), expected=f"at most {_MAX_FILES}")


def _decode(content: bytes, side: int, where: str) -> np.ndarray:
    """uint8[3, side, side]. Raises TraceError for what is no whole JPEG or PNG."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as picture:
            width, height = picture.size
            if not 1 <= min(width, height) <= max(width, height) <= _MAX_SIDE:
                raise TraceError("picture is too large", where=where, got=f"{width} × {height}",
                                 expected=f"at most {_MAX_SIDE} × {_MAX_SIDE} pixels")
            square = min(width, height)
            left, top = (width - square) // 2, (height - square) // 2
            scaled = picture.convert("RGB").crop((left, top, left + square, top + square)).resize(
                (side, side), Image.Resampling.LANCZOS)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise TraceError("damaged picture", where=where, got=_said(error), expected="a whole JPEG or PNG") from error
    return np.asarray(scaled, dtype=np.uint8).transpose(2, 0, 1)


def _said(error: Exception) -> str:
    """Class and message, without the address of a buffer in memory."""
    text = getattr(error, "strerror", None) or str(error)
    return f"{type(error).__name__}: {os.fspath(text).partition(' <')[0]}"
