"""What the tests of `stamp-hw trace dump` share."""

from __future__ import annotations

from tests.support import commands

QWENS = ("Qwen2", "Qwen3")
TEXT = "the quick brown fox jumps over the lazy dog; " * 60


def command(*words: str) -> int:
    """`stamp-hw trace WORD …`, errors as exceptions."""
    return commands.command("trace", *words)
