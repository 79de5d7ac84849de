"""Writing files so that a half-written one never carries the final name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from stamp_hw.errors import OutputError


@contextmanager
def atomic_file(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO]:
    """Open a temporary file beside `path`; on success flush, sync and rename it, on failure remove it.

    Missing parent folders are made. Raises OutputError when the file cannot be written (folder below a regular
    file, no permission, disk full); `path` then still holds what it held before.
    """
    target = Path(path)
    temporary = None
    try:
        if target.is_dir():
            raise OutputError("cannot write file", where=str(target), got="a directory", expected="a file name")
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
        umask = os.umask(0)
        os.umask(umask)
        os.fchmod(descriptor, 0o666 & ~umask)
        encoding = None if "b" in mode else "utf-8"
        with os.fdopen(descriptor, mode, encoding=encoding) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(target)
        temporary = None
    except OSError as error:
        raise OutputError("cannot write file", where=str(target), got=error.strerror or str(error),
                          expected="a writable folder with free space") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
