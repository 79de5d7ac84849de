"""Values of a document that a user wrote, looked at where it is read."""

from __future__ import annotations

from typing import Any

from stamp_hw.errors import ConfigError, brief


def name(where: str, value: Any) -> str:
    """A name of printable characters. Raises ConfigError for anything else."""
    if not (isinstance(value, str) and 1 <= len(value) <= 200 and value.isprintable()):
        raise ConfigError("not a name", where=where, got=brief(value), expected="1 to 200 printable characters")
    return value


def check_whole(where: str, value: Any, least: int, most: int, *, optional: bool = False) -> None:
    """Raise ConfigError unless `value` is a whole number in `least`…`most`, or None where that is `optional`."""
    if not (optional and value is None) and not (type(value) is int and least <= value <= most):
        raise ConfigError("impossible value", where=where, got=brief(value),
                          expected=f"a whole number in {least}…{most}")
