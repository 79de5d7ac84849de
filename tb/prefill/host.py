"""The host's part of a prefill, a process of its own: `stamp-hw trace prefill` runs the model (`models.prefill`)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stamp_hw.config import NpuConfig
from stamp_hw.formats.files import write_json
from tb.run.block import BrokenBenchError

INDEX = "prefill.json"


class HostError(Exception):
    """The host has ended with this exit code, and has said why."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the host runs: the fields are options of `stamp-hw trace prefill`, None for its own."""

    model: str
    tokens: int
    config: NpuConfig
    text: Path | None = None
    calibration: Path | None = None
    sequences: int | None = None

    def store(self, folder: Path, layers: str) -> dict[str, Any]:
        """Have the quantized model's layers in a folder, as far as the last that `layers` finds; returns what its
        `prefill.json` says. Raises HostError."""
        with self._command(folder, layers) as command:
            _check(subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode)
        found: dict[str, Any] = json.loads((folder / INDEX).read_text("utf-8"))
        return found

    @contextmanager
    def asking(self, folder: Path, layers: str) -> Iterator[Conversation]:
        """While the block runs the host waits for the words of each layer. Raises HostError where it ends with an error
        before the block does."""
        with (self._command(folder, layers) as command,
              subprocess.Popen([*command, "--ask"], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                               ) as process):
            try:
                yield Conversation(process)
            finally:
                if process.poll() is None:  # nobody wants what it would ask for
                    process.kill()

    @contextmanager
    def _command(self, folder: Path, layers: str) -> Iterator[list[str]]:
        """The words of the command, for as long as the configuration that it reads is there."""
        with tempfile.TemporaryDirectory(prefix="stamp-") as room:
            config = Path(room) / "configuration.yaml"  # JSON is YAML
            write_json(config, self.config.to_dict())
            command = [sys.executable, "-m", "stamp_hw", "trace", "prefill", "--model", self.model, "--tokens",
                       str(self.tokens), "--config", str(config), "--out", str(folder), "--layers", layers]
            for option, value in (("--text", self.text), ("--calibration", self.calibration),
                                  ("--sequences", self.sequences)):
                command += [] if value is None else [option, str(value)]
            yield command


def _check(code: int) -> None:
    """Raise HostError for an exit code of the host that is none of success, BrokenBenchError where it did not end
    itself."""
    if code < 0:
        raise BrokenBenchError(f"the host of the model was ended by signal {-code}")
    if code:
        raise HostError(code)


class Conversation:
    """Requests of a host, and the answers to them."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def requests(self) -> Iterator[dict[str, Any]]:
        """`layer` and the path of its `trace`, for as long as the host asks. Raises HostError."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            request = json.loads(line)
            if "layer" not in request:
                break
            yield request
        _check(self._process.wait())

    def answer(self, words: Path) -> None:
        """The layer that was asked for gave the words in this file."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"words": str(words)}) + "\n")
        self._process.stdin.flush()
