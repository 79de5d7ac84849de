"""Reading a JSON file strictly: whatever is wrong with it is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stamp_hw.errors import StampError
from stamp_hw.formats.safetensors_file import strict_json


def load_json(path: Path, what: str, most: int, expected: str) -> Any:
    """The document of a file, as `strict_json` reads it. Raises StampError as `load_bytes` and `strict_json` do."""
    return strict_json(load_bytes(path, what, most, expected), path)


def load_bytes(path: Path, what: str, most: int, expected: str) -> bytes:
    """A file of at most `most` bytes. Raises StampError ("cannot read `what`", with what is `expected`) where it cannot
    be read or is longer."""
    try:
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise StampError(f"cannot read {what}", where=str(path), got=error.strerror, expected=expected) from None
    if len(content) > most:
        raise StampError(f"cannot read {what}", where=str(path), got="a longer file",
                         expected=f"at most {most:,} bytes")
    return content
