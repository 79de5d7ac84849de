"""An evaluation in progress: FILE.partial beside its report, a line of JSON for every window that is done.

An interrupted run of the same settings goes on behind the last whole line; other settings are refused, because their
windows would not belong together. The file goes when the report is written.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from models.evaluate.integer_model import Watch
from stamp_hw.errors import OutputError, StampError
from stamp_hw.formats.files import final_target

_SUFFIX = ".partial"


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """What one window gave, by the row of the report: `loss` and `kl` float64[tokens], `layers` of each scheme by name,
    `cpu_s` seconds of the process."""

    loss: dict[str, np.ndarray]
    kl: dict[str, np.ndarray]
    layers: dict[str, dict[str, Watch]]
    cpu_s: dict[str, float]

    def line(self) -> str:
        """As JSON; floats come back to the bit."""
        return json.dumps({
            "loss": {name: values.tolist() for name, values in self.loss.items()},
            "kl": {name: values.tolist() for name, values in self.kl.items()},
            "layers": {scheme: {name: _fields(watch) for name, watch in layers.items()}
                       for scheme, layers in self.layers.items()}, "cpu_s": self.cpu_s})

    @classmethod
    def of(cls, line: str) -> Window:
        """From a line. Raises one of several errors where it is none."""
        found = json.loads(line)
        return cls(
            {name: np.array(values, np.float64) for name, values in found["loss"].items()},
            {name: np.array(values, np.float64) for name, values in found["kl"].items()},
            {scheme: {name: _watch(one) for name, one in layers.items()}
             for scheme, layers in found["layers"].items()},
            {name: float(seconds) for name, seconds in found["cpu_s"].items()})


def _fields(watch: Watch) -> dict[str, Any]:
    return {field.name: getattr(watch, field.name) for field in fields(watch)}


def _watch(found: Mapping[str, Any]) -> Watch:
    places = {int(place): int(count) for place, count in found["outliers"].items()}
    return Watch(**{**found, "outliers": Counter(places)})


class Partial:
    """The windows that are done of a report to `out`, or, with None, of one that is not kept.

    Parameters
    ----------
    settings : JSON-able, everything that decides the figures

    Raises StampError where the file is of other settings, or is no such file, OutputError where it cannot be written.
    """

    def __init__(self, out: Path | None, settings: Mapping[str, Any]) -> None:
        self._settings = json.loads(json.dumps(dict(settings)))
        self.path = None if out is None else file_beside(out)
        self.windows: list[Window] = []
        if self.path is not None and self.path.exists():
            self._load(self.path)

    def add(self, window: Window) -> None:
        """Keep a window."""
        self.windows.append(window)
        if self.path is not None:
            self._write("a" if self.path.exists() else "w", window.line())

    def _load(self, path: Path) -> None:
        try:
            lines = path.read_text("utf-8").split("\n")
            there = json.loads(lines[0])["settings"]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise StampError("not an evaluation in progress", where=str(path), got=str(error)[:80],
                             expected="a file that can be removed, or another --json") from None
        if there != self._settings:
            key = min(key for key in {*there, *self._settings} if there.get(key) != self._settings.get(key))
            raise StampError(f"windows of an unfinished evaluation whose {key} differs are here", where=str(path),
                             got=json.dumps(self._settings.get(key))[:80],
                             expected=f"{json.dumps(there.get(key))[:80]}, or the file removed")
        whole = []
        for line in lines[1:-1]:  # what stands behind the last end of line was cut off
            try:
                self.windows.append(Window.of(line))
            except (ValueError, LookupError, TypeError, AttributeError):
                break  # and so was everything behind it
            whole.append(line)
        self._write("w", *whole)

    def _write(self, mode: str, *lines: str) -> None:
        """Append lines, or begin with the settings."""
        assert self.path is not None
        head = [json.dumps({"settings": self._settings})] if mode == "w" else []
        try:
            with self.path.open(mode, encoding="utf-8") as stream:
                stream.write("".join(f"{line}\n" for line in (*head, *lines)))
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise OutputError("cannot write file", where=str(self.path), got=error.strerror or str(error),
                              expected="a writable folder with free space") from error


def file_beside(out: Path) -> Path:
    """The file of an evaluation that writes `out`, links followed."""
    target = final_target(out)
    return target.with_name(f"{target.name}{_SUFFIX}")
