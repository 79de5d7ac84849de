"""What several commands share: options, checks before the first layer runs, the progress line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from stamp_hw import positions
from stamp_hw.config import NpuConfig, section_of
from stamp_hw.errors import ConfigError, OutputError, StampError, printable
from stamp_hw.formats.files import final_target
from stamp_hw.formats.yaml_file import parse_yaml

T = TypeVar("T")
U = TypeVar("U")
_TEMPORARY = 14  # characters that `atomic_file` adds to a name
_DIGITS = 19  # of an option's number: what 64 bits hold
_LARGEST = 8  # digits of a size: a hundred million tokens are more than anything here can take
_WIDTH = 80  # columns of a terminal that does not say how many it has


def add_hardware(parser: argparse.ArgumentParser, *, required: bool = False,
                 says: str = "hardware and job (default: an 8 × 8 array)") -> None:
    """The options of `HardwareOptions`; `required` says that there is no configuration by default."""
    parser.add_argument("--config", metavar="YAML", type=Path, required=required, help=says)
    parser.add_argument("--hw", metavar="KEY=VALUE", action="append", default=[],
                        help="change a value of the configuration's hardware, such as rows=16 (may be repeated)")
    parser.add_argument("--job", metavar="KEY=VALUE", action="append", default=[],
                        help="change a value of the configuration's job, such as n_hi=32 (may be repeated); a kind of "
                             "layers for which the configuration's section kinds has that value keeps its own")


@dataclass(frozen=True, kw_only=True)
class HardwareOptions:
    """The options of `add_hardware`: a file, and words KEY=VALUE that change it."""

    config: Path | None
    hw: Sequence[str]
    job: Sequence[str]

    def configuration(self) -> NpuConfig:
        """The configuration that they name. Raises ConfigError."""
        hw, job = _values("hw", self.hw, "rows=16"), _values("job", self.job, "n_hi=32")
        return NpuConfig.load(self.config, hw, job) if self.config else NpuConfig.from_dict({"hw": hw, "job": job})


def _values(section: str, words: Sequence[str], example: str) -> dict[str, Any]:
    """Values of a section from the words KEY=VALUE of its option. Raises ConfigError."""
    values: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ConfigError("not a value", where=f"--{section}", got=word, expected=f"KEY=VALUE, such as {example}")
        other = section_of(key, section)
        if other not in (section, None):
            raise ConfigError(f"{key} is a value of the {'job' if other == 'job' else 'hardware'}",
                              where=f"--{section} {word}", expected=f"--{other} {word}")
        if key in values:
            raise ConfigError("given twice", where=f"--{section} {key}", got=word, expected="each value once")
        if not value.strip():  # YAML's word for it would be null
            raise ConfigError("no value", where=f"--{section} {key}", got=word,
                              expected=f"KEY=VALUE, such as {example}")
        values[key] = parse_yaml(value, f"--{section} {key}")
    return values


def named(text: str) -> str:
    """A name that is not empty."""
    if not text:
        raise argparse.ArgumentTypeError("a name is expected, not an empty text")
    return text


def seed(text: str) -> int:
    """An option's whole number from 0 on."""
    return _from(0, text)


def count(text: str) -> int:
    """An option's whole number from 1 on."""
    return _from(1, text)


def _from(least: int, text: str) -> int:
    whole = text.isascii() and text.isdigit()
    if whole and len(text) > _DIGITS:
        raise argparse.ArgumentTypeError(f"a whole number of at most {_DIGITS} digits is expected, not one of "
                                         f"{len(text):,}")
    if not whole or int(text) < least:
        raise argparse.ArgumentTypeError(f"a whole number from {least} on is expected, not {text[:80]!r}")
    return int(text)


def which_outliers(text: str) -> tuple[int, ...] | str:
    """`auto`, `off`, or positions between commas, whose range the model decides."""
    found = positions.parse(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"auto, off or positions such as 0,17 are expected, not {text[:80]!r}")
    return found


def sinks(text: str) -> tuple[int, ...] | str:
    """A number, for the first so many tokens, or `auto`."""
    if text == "auto":
        return text
    return tuple(range(min(_from(0, text), positions.MAX_SINKS))) or "off"


def add_outliers(parser: argparse._ArgumentGroup) -> None:
    """Add --outliers, and --sinks, an older name for the first tokens; both set `outliers`."""
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--outliers", type=which_outliers, metavar="auto|off|LIST",
                     help="tokens that are kept out of the transform: auto (default) takes the first and those of each "
                          "layer whose absmax is more than 8 times the median token's, at most one in 32; off; or "
                          "positions, as in 0,17")
    one.add_argument("--sinks", type=sinks, metavar="N", dest="outliers", help="the first N tokens are outliers")


def numbers(option: str, text: str, separator: str, expected: str) -> tuple[int, ...]:
    """Whole numbers between separators, of at most eight digits. Raises StampError."""
    parts = [part.strip() for part in text.split(separator)]
    right = all(part.isascii() and part.isdigit() for part in parts)
    if right and (large := [part for part in parts if len(part) > _LARGEST]):
        raise StampError("number too large", where=option, got=large[0], expected=f"at most {_LARGEST} digits")
    if not right:
        raise StampError("not a list of numbers" if separator == "," else "not a size", where=option, got=text,
                         expected=expected)
    return tuple(map(int, parts))


def kind_of_run(found: argparse.Namespace, text: type[T], images: type[U]) -> T | U:
    """The dataclass of the kind of models that --text or --prompts names, with its own defaults for what was not given.

    Raises StampError for an option of the other kind.
    """
    own, other = (text, images) if found.prompts is None else (images, text)
    for field in fields(other):  # type: ignore[arg-type]
        if getattr(found, field.name) is not None:
            raise StampError("option of the other kind of models", where=f"--{field.name.replace('_', '-')}",
                             expected="--text with it" if other is text else "--prompts with it")
    given = {field.name: getattr(found, field.name) for field in fields(own)}  # type: ignore[arg-type]
    return own(**{name: value for name, value in given.items() if value is not None})


def check_apart(inputs: Mapping[str, Path | None], outputs: Sequence[tuple[str, Path | None]]) -> None:
    """Raise OutputError where an output would replace an input or another output, or be the folder of one."""
    taken = [(name, path, Path(os.path.realpath(path))) for name, path in inputs.items() if path is not None]
    for name, path in outputs:
        if path is None:
            continue
        real = Path(os.path.realpath(path))
        for other, _, place in taken:
            if real == place or real in place.parents or place in real.parents:
                raise OutputError("output in the way of another file", where=f"{name} {path}", got=f"{other} {place}",
                                  expected="a file of its own")
        taken.append((name, path, real))


def check_writable(path: Path, *, folder: bool) -> None:
    """Raise OutputError where a file (or a folder for files) of that name could not be made. Makes nothing."""
    where = str(path)
    nearest = path if folder else path.parent
    try:
        while not nearest.exists():
            nearest = nearest.parent
        longest = os.pathconf(nearest, "PC_NAME_MAX")
    except OSError as error:
        raise OutputError("cannot write", where=where, got=error.strerror or str(error),
                          expected="a writable folder") from None
    # `atomic_file` writes beside the name first, under one that is longer.
    if max(len(os.fsencode(part)) for part in path.parts or ("",)) + _TEMPORARY > longest:
        raise OutputError("cannot write", where=where, got="a name too long", expected=f"at most {longest - _TEMPORARY}"
                          " bytes between slashes")
    if not nearest.is_dir():
        raise OutputError("cannot write", where=where, got=f"{nearest} is no folder", expected="a writable folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError("cannot write", where=where, got=f"{nearest} is read-only", expected="a writable folder")
    if not folder:
        final_target(path)


def progress_line() -> Callable[[str], None]:
    """One line on stderr, rewritten in place and cut to the terminal's width; nothing when stderr is no terminal."""
    if not sys.stderr.isatty():
        return lambda line: None

    def show(line: str) -> None:
        try:
            width = os.get_terminal_size(sys.stderr.fileno()).columns
        except OSError:
            width = 0
        print(f"\r\x1b[K{printable(line)[: (width or _WIDTH) - 1]}", end="", file=sys.stderr, flush=True)

    return show
