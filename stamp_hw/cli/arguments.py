"""Command-line arguments that are wrong end in one line, like any other bad input."""

from __future__ import annotations

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """argparse's parser without the usage text in front of an error; sub-commands are of the same kind."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where to read more; exit code 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")
