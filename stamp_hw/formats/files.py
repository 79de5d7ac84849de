"""Writing files so that a half-written one never carries the final name."""

from __future__ import annotations

import json
import math
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from stamp_hw.errors import OutputError

_KINDS = ((stat.S_ISDIR, "a directory"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"),
          (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"))


@contextmanager
def atomic_file(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`; on success flush, sync and rename it, on failure remove it.

    Missing parent folders are made. A symbolic link stays: the file that it leads to is the one replaced. Raises
    OutputError for a device, FIFO, socket, folder or the file that standard output or error goes to, and when the file
    cannot be written (folder below a regular file, name too long, no permission, disk full); `path` then still holds
    what it held before.
    """
    target = Path(path)
    temporary = None
    try:
        target = final_target(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".stamp-", suffix=".tmp")
        os.fchmod(descriptor, 0o666 & ~umask())
        encoding = None if "b" in mode else "utf-8"
        with os.fdopen(descriptor, mode, encoding=encoding) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(target)
        temporary = None
    except OSError as error:
        raise OutputError("cannot write file", where=str(path), got=error.strerror or str(error),
                          expected="a writable folder with free space") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def umask() -> int:
    """The permissions that this process keeps from new files."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def finite(value: Any) -> Any:
    """A document in which numbers that JSON does not have (NaN, infinities) are None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write `content` as JSON, complete or not at all. Raises OutputError as `atomic_file` does."""
    with atomic_file(path) as stream:
        json.dump(content, stream, indent=2, allow_nan=False)
        stream.write("\n")


def final_target(path: Path) -> Path:
    """The place that writing to `path` fills: links followed, nothing there or a regular file, else OutputError.

    Renaming over a device, FIFO or socket would remove it, which as root takes /dev/null from the whole system.
    Renaming over the file that standard output or error goes to would lose what is printed.
    """
    try:
        # The real name of a pipe behind /dev/stdout is no file; `missing/../name` is none, but its real name may be.
        real = Path(os.path.realpath(path))
        facts = (path if path.exists() else real).stat()
    except FileNotFoundError:
        return real
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        reason = error.strerror if isinstance(error, OSError) else "a name with a zero byte"
        raise OutputError("cannot write file", where=str(path), got=reason, expected="a usable file name") from error
    for matches, kind in _KINDS:
        if matches(facts.st_mode):
            raise OutputError("cannot write file", where=str(path), got=kind, expected="a regular file")
    for descriptor, stream in ((1, "output"), (2, "error")):
        if _is_open_as(descriptor, facts):
            raise OutputError("cannot write file", where=str(path), got=f"the open standard {stream}",
                              expected="a file of its own")
    return real


def _is_open_as(descriptor: int, facts: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), facts)
    except OSError:  # closed
        return False
