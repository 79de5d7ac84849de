"""Write the files of this folder: `python -m tests.reference.make [NAME …] [--because TEXT]`.

Without `--because` it shows what differs from the files and writes nothing. With it, a file that differs is written
anew; TEXT is the line of CHANGELOG.md that tells users why their figures change, and each file keeps it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stamp_hw import exits, rooms
from stamp_hw.formats.files import write_json
from tests.reference.workloads import REFERENCES

FOLDER = Path(__file__).parent
CHANGELOG = rooms.HOME / "CHANGELOG.md"
_LEAST = 20  # characters of a reason, so that it names one line


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.json"


def kept(name: str) -> dict[str, Any]:
    """A file as it is; empty where there is none."""
    path = path_of(name)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def fresh(name: str) -> dict[str, Any]:
    """The same of today, without its reason."""
    return {**REFERENCES[name].described(), "figures": REFERENCES[name].figures()}


def differences(old: Mapping[str, Any], new: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """A line for each value that is not the same on both sides: where it is, what it was and what it is."""
    for key in {**old, **new}:
        before, after, place = old.get(key), new.get(key), f"{where}{key}"
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from differences(before, after, f"{place}: ")
        elif before != after:
            numbers = isinstance(before, int) and isinstance(after, int) and before
            change = f" ({after / before - 1:+.3%})" if numbers else ""  # type: ignore[operator]
            yield f"{place}: {_short(before)} -> {_short(after)}{change}"


def _short(value: Any) -> str:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)[:60]


def changes(name: str) -> list[str]:
    """What of a workload is not as in its file, but for the reason."""
    old = {key: value for key, value in kept(name).items() if key != "because"}
    return list(differences(old, fresh(name)))


def explained(text: str) -> bool:
    """Whether CHANGELOG.md has that text, its lines joined."""
    return len(text) >= _LEAST and " ".join(text.split()) in " ".join(CHANGELOG.read_text(encoding="utf-8").split())


def main(argv: list[str] | None = None) -> int:
    """Show what differs; write it where there is a reason."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(REFERENCES)} (default: all)")
    parser.add_argument("--because", metavar="TEXT", help="write; TEXT is a line of CHANGELOG.md, or a part of it")
    options = parser.parse_args(argv)
    if unknown := [name for name in options.names if name not in REFERENCES]:
        parser.error(f"no such workload: {unknown[0]}; there are {', '.join(REFERENCES)}")
    if options.because is not None and not explained(options.because):
        parser.error(f"CHANGELOG.md has no such line of {_LEAST} characters and more: {options.because!r}")
    differing = {name: lines for name in options.names or REFERENCES if (lines := changes(name))}
    for name, lines in differing.items():
        sys.stdout.write(f"{name}\n" + "".join(f"  {line}\n" for line in lines))
        if options.because is not None:
            write_json(path_of(name), {"because": options.because, **fresh(name)})
    if differing and options.because is None:
        sys.stdout.write("nothing is written: say --because 'a line of CHANGELOG.md'\n")
        return exits.FOUND
    return exits.OK


if __name__ == "__main__":
    sys.exit(main())
