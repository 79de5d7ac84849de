"""Command-line arguments that are wrong end in one line, like any other bad input."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from stamp_hw.errors import clip, printable

_LIMIT = 400  # characters of a message


class Parser(argparse.ArgumentParser):
    """argparse's parser without the usage text in front of an error; sub-commands are of the same kind."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where to read more; exit code 2."""
        self.exit(2, f"{self.prog}: {printable(clip(message, _LIMIT))}; see {self.prog} --help\n")

    def parse_known_args(self, args: Sequence[str] | None = None,  # type: ignore[override]
                         namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse's, but a sub-command refuses what it does not know itself, so that its own help is named."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown
