"""The one family of errors that a user can cause.

The command line prints such an error as one line and exits with code 2, or the error's own; any other exception is a
bug of ours and keeps its traceback (`stamp_hw.exits`). Whatever a stranger's file holds, the line stays short and
printable.
"""

import os
import reprlib
from typing import ClassVar

_LIMIT = 400  # characters of a part of a message; long enough for a path and a list of keys
_repr = reprlib.Repr()
_repr.maxlevel, _repr.maxlist, _repr.maxtuple, _repr.maxdict, _repr.maxset = 3, 8, 8, 8, 8
_repr.maxstring = _repr.maxother = _repr.maxlong = 80


def brief(value: object) -> str:
    """`repr` of at most a few lines of any value, however large, deep or self-containing."""
    try:
        return clip(_repr.repr(value), 120)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return f"{type(value).__name__} with thousands of digits"


def clip(text: str, limit: int) -> str:
    """The first `limit` characters, the last of them an ellipsis where some are missing."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def printable(text: str) -> str:
    """Control characters, other line ends than spaces and lone surrogates as Python escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class StampError(Exception):
    """Bad input or a missing tool: what went wrong, where, what was found and what was expected.

    Parameters
    ----------
    what : what is wrong, in a few words
    where : file, key path, layer or field that holds it
    got : the offending value, as the user would recognise it
    expected : what would have been accepted, or the command that mends it

    `exit_code` is what a command ends with.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, what: str, *, where: str = "", got: object = None, expected: str = "") -> None:
        self.what, self.where, self.got, self.expected = what, where, got, expected
        what = _line(what)
        # A line end in a name is shown as what it is; elsewhere texts of several lines become one.
        parts = [f"{printable(clip(where, _LIMIT))}: {what}" if where else what]
        if got is not None:
            named = isinstance(got, str | os.PathLike)
            parts.append(f"got {_line(str(got) if named else brief(got))}")
        if expected:
            parts.append(f"expected {_line(expected)}")
        super().__init__("; ".join(parts))


def _line(text: str) -> str:
    return printable(clip(" ".join(clip(text, 8 * _LIMIT).split()), _LIMIT))


class ConfigError(StampError):
    """A configuration that no hardware or job can have."""


class LayerError(StampError):
    """A layer whose tensors do not fit each other, are not finite, or do not fit the hardware."""


class TraceError(StampError):
    """A trace or checkpoint that is missing, truncated, hostile or not of this format."""


class ToolError(StampError):
    """An external tool that is missing, too old, or that failed."""


class BuildError(ToolError):
    """A simulator that cannot be built, though nothing is missing: what does the checking is broken."""

    exit_code: ClassVar[int] = 3


class OutputError(StampError):
    """A result that cannot be written."""


class MemoryShortage(StampError):
    """Too little memory, or a limit on it."""


def short_of_memory(got: object = None, *, where: str = "") -> MemoryShortage:
    """The error of a tool or a function that asked for more than there is."""
    return MemoryShortage("not enough memory", where=where, got=got, expected="more, or a larger limit (ulimit -v)")
