"""Reports on standard output: plain text, and in a terminal with headers, rules and warnings set apart."""

from __future__ import annotations

import sys

from stamp_hw.text import RULE, folded


def show(report: str) -> None:
    """Print a report; in a terminal with its notes folded to the width, headers bold, rules dim, warnings in colour."""
    if not sys.stdout.isatty():
        print(report)
        return
    from rich.console import Console
    from rich.text import Text

    lines = folded(report).split("\n")
    rules = [bool(line) and set(line) <= {RULE, " "} for line in lines]
    styles = ["dim" if rule else "bold" if below else "yellow" if line.startswith("* ") else ""
              for line, rule, below in zip(lines, rules, [*rules[1:], False], strict=True)]
    Console(highlight=False, soft_wrap=True).print(
        Text("\n").join(Text(line, style=style) for line, style in zip(lines, styles, strict=True)))
