"""Points that are done: FILE.partial while a sweep runs, a line of JSON a point in any order, then FILE, in theirs.

The first line says of which sweep they are. A sweep that is started again takes what is there and does the rest; points
of another sweep are refused, whichever file they are in. What was cut off in the middle of a line is done again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sim.sweep.points import dumps
from stamp_hw.errors import OutputError, StampError
from stamp_hw.formats.files import atomic_file, final_target

_SUFFIX = ".partial"
_SYNC_S = 1.0  # a disk may take longer to sync than workers for a chunk
_ROOM = "a writable folder with free space"


class Kept:
    """The points of a sweep that writes `out`, whose first line is `head`; `total` points. To be closed.

    `lines` number of a point → its line, without an end of line. Raises StampError where a file of that name holds
    something else, or another run writes it, OutputError where it cannot be written.
    """

    def __init__(self, out: Path, head: Mapping[str, Any], total: int) -> None:
        self._target, self.path = final_target(out), beside(out)
        self._out, self._head, self._total = out, dumps(head), total
        self.lines: dict[int, str] = {}
        self._file: int | None = None
        self._synced = 0.0
        if self._target.exists():
            self._take(self._target)
        self._finished = self.whole
        if not self._finished:
            self._begin()

    @property
    def whole(self) -> bool:
        """Every point is there."""
        return len(self.lines) == self._total

    def add(self, lines: Iterable[str]) -> None:
        """Keep points that are done: this process may end at once, the machine in a second. Raises OutputError."""
        fresh = list(lines)
        self._append("".join(f"{line}\n" for line in fresh))
        self.lines |= {_number(line): line for line in fresh}

    def finish(self) -> None:
        """Write the file, its points in order, and remove the partial one. Raises OutputError."""
        if self._finished:
            return
        with atomic_file(self._out) as stream:
            stream.writelines(f"{line}\n" for line in (self._head, *(self.lines[n] for n in sorted(self.lines))))
        self._finished = True
        self.close()

    def close(self) -> None:
        """Let go of the partial file; it stays where it holds points and the whole is not there."""
        if self._file is not None:
            self._release(remove=self._finished or not self.lines)

    def _begin(self) -> None:
        """Open the partial file for this run alone, and take what is there."""
        path = final_target(self.path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(self._file), path.stat()):
                raise BlockingIOError  # the other run has just ended, and removed it
            size = self._take(path)
            os.ftruncate(self._file, size)
            if size == 0:
                self._append(f"{self._head}\n")
        except (BlockingIOError, FileNotFoundError):
            self._release(remove=False)
            raise StampError("another sweep is writing this file", where=str(self.path), expected="one at a time") \
                from None
        except OSError as error:
            self._release(remove=False)
            raise OutputError("cannot write file", where=str(self.path), got=error.strerror, expected=_ROOM) from None
        except StampError:
            self._release(remove=path.stat().st_size == 0)
            raise

    def _release(self, *, remove: bool) -> None:
        if self._file is not None:
            if remove:  # before others may have it
                self.path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def _take(self, path: Path) -> int:
        """Take the points of a file; bytes up to the end of the last whole line. Raises StampError."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise OutputError("cannot read file", where=str(path), got=error.strerror, expected="a readable file") \
                from None
        size = data.rfind(b"\n") + 1
        head, *rest = data[:size].decode("utf-8", "replace").split("\n")
        if self._head.encode().startswith(data):  # nothing yet, or not even all of that line
            return 0
        if head != self._head:
            raise StampError("points of another sweep", where=str(path), got=_difference(head, self._head),
                             expected="another --out, or the file removed")
        try:
            self.lines |= {_number(line): line for line in rest[:-1]}
        except (ValueError, LookupError, TypeError):
            raise StampError("damaged points of a sweep", where=str(path), expected="the file removed") from None
        return size

    def _append(self, text: str) -> None:
        """Write, and sync once a second; of what does not fit nothing stays, if the disk allows that."""
        assert self._file is not None
        data, size = text.encode(), os.fstat(self._file).st_size
        try:
            done = 0
            while done < len(data):
                done += os.write(self._file, data[done:])
            if time.monotonic() >= self._synced + _SYNC_S:
                os.fsync(self._file)
                self._synced = time.monotonic()
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, size)
            raise OutputError("cannot write file", where=str(self.path), got=error.strerror,
                              expected=f"{_ROOM}; points that are done are kept") from None


def beside(out: Path) -> Path:
    """The file of a sweep that is not done yet, links followed. Raises OutputError where `out` is no file."""
    target = final_target(out)
    return target.with_name(f"{target.name}{_SUFFIX}")


def _number(line: str) -> int:
    return int(json.loads(line)["point"])


def _difference(there: str, ours: str) -> str:
    """What two first lines differ in, in a few words."""
    try:
        old, new = json.loads(there), json.loads(ours)
        key = next(key for key in new if old.get(key) != new[key])
    except (ValueError, AttributeError, StopIteration):
        return "a file of another kind"
    return f"another {key}"
