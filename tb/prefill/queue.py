"""A folder of jobs, which several simulator processes share out among themselves."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from tb.prefill.pieces import Piece

_CLOSED = "closed"
_PATIENCE_S, _POLL_S = 1800, 0.05  # a process whose main process was ended does not wait for ever


def offer(pieces: Iterable[Piece], queue: Path) -> None:
    """Put more jobs into a folder, from which several processes take them in their order."""
    queue.mkdir(parents=True, exist_ok=True)
    for number, piece in enumerate(pieces, len(list(queue.iterdir()))):
        new = queue / f"{number:06}.new"
        new.write_text(json.dumps(asdict(piece)), "utf-8")
        new.rename(new.with_suffix(".json"))  # nobody takes half a job


def close(queue: Path) -> None:
    """No job will come after those that are there."""
    (queue / _CLOSED).touch()


def taken(queue: Path) -> Iterator[Piece]:
    """Take one job after the other, each goes to one process, until there is none left and none can come."""
    last = time.monotonic()
    while time.monotonic() - last < _PATIENCE_S:
        closed = (queue / _CLOSED).exists()
        for path in sorted(queue.glob("*.json")):
            own = path.with_suffix(".taken")
            with suppress(FileNotFoundError):  # another process was faster
                path.rename(own)
                yield Piece(**json.loads(own.read_text("utf-8")))
                last = time.monotonic()
        if closed:
            return
        time.sleep(_POLL_S)
    raise TimeoutError(f"no job in {_PATIENCE_S} s: {queue}")
