"""A dump in progress: the folder ``FILE.partial`` beside its output, one file for each finished part.

A part is what one run of a model showed (a sequence, a denoising step): inputs as tensors, everything else in the
header. It appears under its name when it is complete. A later dump with the same settings goes on where an interrupted
one stopped; other settings are refused, because the parts would not fit each other.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stamp_hw.errors import OutputError, TraceError
from stamp_hw.formats.files import atomic_file, final_target
from stamp_hw.formats.safetensors_file import SafetensorsFile, strict_json
from stamp_hw.formats.safetensors_writer import SafetensorsWriter, plain_json

_SETTINGS = "settings.json"
_SUFFIX = ".part"
_KEY = "part"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a part says of a layer: its input's tensor (None where only ranges were taken), whether that is the token
    sequence, largest magnitudes of input and output."""

    input: str | None
    transform: bool
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a part says beside its tensors: `sequences` in the batch, `grid` of the tokens or None, layer → Seen,
    tensor → SHA-256 of dtype, shape and bytes."""

    sequences: int
    grid: tuple[int, int] | None
    layers: Mapping[str, Seen]
    digests: Mapping[str, str]


def folder_beside(out: Path) -> Path:
    """The folder of a dump that writes `out`, links followed. Raises OutputError where `out` can be no file."""
    target = final_target(out)
    return target.with_name(f"{target.name}.partial")


class Parts:
    """The folder of a dump to `out`; a context manager, in which no other process can have it.

    Parameters
    ----------
    out : the trace that is being made
    settings : JSON-able, everything that decides its bytes

    Raises
    ------
    OutputError : the folder or a part cannot be written
    TraceError : the folder is of other settings, in use, or not a dump's; a part is damaged
    """

    def __init__(self, out: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        self.out = Path(out)
        self.folder = folder_beside(self.out)
        self._settings = json.loads(plain_json(dict(settings), self.out))
        self._lock: int | None = None

    def __enter__(self) -> Parts:
        try:
            while not self._locked():  # another dump ended in between and took the folder with it
                self._unlock()
        except BlockingIOError as error:
            self._unlock()
            raise TraceError("another dump is at work here", where=str(self.folder),
                             expected="one at a time") from error
        except OSError as error:
            self._unlock()
            raise OutputError("cannot write file", where=str(self.out), got=error.strerror or str(error),
                              expected="a writable folder with free space") from error
        try:
            self._check_settings()
        except BaseException:
            self._unlock()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.folder.exists() and not any(self.folder.glob(f"*{_SUFFIX}")):
            self.remove()
        self._unlock()

    def done(self, name: str) -> bool:
        """Whether that part is finished."""
        return self._path(name).exists()

    @contextmanager
    def writer(self, name: str) -> Iterator[PartWriter]:
        """A part to be written; it is finished when the block ends without an error."""
        with SafetensorsWriter(self._path(name)) as file:
            part = PartWriter(file)
            yield part
            file.finish({_KEY: plain_json(asdict(part.summary()), self.folder)})

    @contextmanager
    def reader(self, name: str) -> Iterator[tuple[SafetensorsFile, Summary]]:
        """A finished part: its tensors, and its summary."""
        where = f"{self._path(name)}, metadata"
        with SafetensorsFile(self._path(name)) as file:
            try:
                summary = _summary(strict_json(file.metadata[_KEY], where), file)
            except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
                raise TraceError("part is damaged", where=where, expected="a part that a dump wrote, or the folder "
                                 "removed") from error
            yield file, summary

    def remove(self) -> None:
        """Remove the folder and what a dump put into it; anything else stays."""
        for path in (*self.folder.glob(f"*{_SUFFIX}"), *self.folder.glob(".stamp-*.tmp"), self.folder / _SETTINGS):
            path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{_SUFFIX}"

    def _check_settings(self) -> None:
        path = self.folder / _SETTINGS
        if not path.exists() and any(not other.name.startswith(".stamp-") for other in self.folder.iterdir()):
            raise TraceError("not the folder of a dump", where=str(self.folder), got=f"no {_SETTINGS} in it",
                             expected="a folder that can be removed, or another --out")
        if not any(self.folder.glob(f"*{_SUFFIX}")):  # nothing that other settings could not fit
            with atomic_file(path) as stream:
                stream.write(json.dumps(self._settings, indent=1, sort_keys=True) + "\n")
            return
        try:
            there = strict_json(path.read_bytes(), path)
        except OSError as error:
            raise TraceError("cannot read settings", where=str(path), got=error.strerror) from error
        if there != self._settings:
            was = there if isinstance(there, dict) else {}
            key = min(key for key in {*was, *self._settings} if was.get(key) != self._settings.get(key))
            raise TraceError(f"parts of an unfinished dump whose {key} differs are here", where=str(self.folder),
                             got=json.dumps(self._settings.get(key)),
                             expected=f"{json.dumps(was.get(key))}, or the folder removed")

    def _locked(self) -> bool:
        """Make the folder and lock it; False where it is not the one of that name any more."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.folder, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self.folder.exists() and os.path.samestat(os.fstat(self._lock), self.folder.stat())

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _summary(value: Any, file: SafetensorsFile) -> Summary:
    """What the header of a part says; raises one of several errors where it is damaged."""
    grid = value["grid"]
    summary = Summary(sequences=int(value["sequences"]), grid=None if grid is None else (int(grid[0]), int(grid[1])),
                      layers={layer: Seen(**seen) for layer, seen in value["layers"].items()},
                      digests={name: str(digest) for name, digest in value["digests"].items()})
    if set(summary.digests) != set(file.tensors) or not all(
            type(seen.x) is float and type(seen.y) is float and type(seen.transform) is bool
            and (seen.input is None or seen.input in summary.digests) for seen in summary.layers.values()):
        raise ValueError("tensors or ranges are missing")
    return summary


class PartWriter:
    """Takes what the layers of one run show. `sequences` and `grid` are set by whoever runs the model."""

    def __init__(self, file: SafetensorsWriter) -> None:
        self.file = file
        self.sequences = 1
        self.grid: tuple[int, int] | None = None
        self.layers: dict[str, Seen] = {}
        self.digests: dict[str, str] = {}

    def summary(self) -> Summary:
        """Everything but the tensors."""
        return Summary(sequences=self.sequences, grid=self.grid, layers=self.layers, digests=self.digests)
