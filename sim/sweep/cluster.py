"""Workers of a Dask cluster, wherever they run: the one module that knows `distributed`, where it is asked for.

The scheduler hands the points of a worker that dies to another one. It and its workers need this very stamp-hw.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from importlib import metadata
from typing import Any

from sim.sweep import points
from sim.sweep.workers import Done, Workers
from stamp_hw import rooms
from stamp_hw.errors import StampError, ToolError

_NAME = "stamp-hw"
_ADDRESS = re.compile(r"(tcp|tls)://.+:[0-9]{1,5}")
_CONNECT_S = 10  # until a scheduler that does not answer is given up
_CLOSE_S = 2  # until one that does not say good-bye is left
_WORKERS_S = 30  # and one that answers and has no workers
_LOOK_S = 1.0  # between two looks at the cluster


class Cluster:
    """Workers that a client of a scheduler reaches."""

    def __init__(self, client: Any, address: str) -> None:
        self._client, self._address = client, address
        self._executor = client.get_executor(pure=False)
        self._looked = self._peopled = time.monotonic()
        self._threads = 0

    def slots(self) -> int:
        """One more for each thread of a worker than it works on. Raises StampError where scheduler or workers are gone.
        """
        now = time.monotonic()
        if not self._threads or now >= self._looked + _LOOK_S:
            self._looked = now
            self._threads = self._count()
            if self._threads:
                self._peopled = now
            elif now > self._peopled + _WORKERS_S:
                raise _no_workers(self._address)
        return 2 * max(self._threads, 1)

    def submit(self, setting: str, chunk: str) -> Future[Done]:
        """To whichever worker the scheduler chooses."""
        # By name: what a worker's own folder calls `sim` is none of its business.
        future: Future[Done] = self._executor.submit(rooms.call, points.__name__, "work", setting, chunk)
        return future

    def _count(self) -> int:
        if self._client.status != "running":
            raise _gone(self._address)
        try:
            return sum(self._client.nthreads().values())
        except (OSError, ValueError, TimeoutError):
            raise _gone(self._address) from None


@contextmanager
def cluster(address: str) -> Iterator[Workers]:
    """The workers of the scheduler at that address. Raises StampError where there is none, and where it or a worker's
    installation fails; ToolError where `distributed` is not installed."""
    if not _ADDRESS.fullmatch(address):
        raise StampError("no address of a scheduler", where="--scheduler", got=address, expected="tcp://HOST:PORT")
    distributed = _distributed()
    with _silence():
        try:
            client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise StampError("no scheduler answers", where=f"--scheduler {address}",
                             got=str(error) or type(error).__name__,
                             expected="a Dask scheduler, as `dask scheduler` starts one") from None
        try:
            _check_installed(client, address)
            yield from _used(client, address, distributed.KilledWorker)
        finally:
            with contextlib.suppress(Exception):
                client.close(timeout=_CLOSE_S)


@contextmanager
def _silence() -> Iterator[None]:
    """What `distributed` and its loop would log and warn of, tracebacks and all, is said here in one line."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _check_installed(client: Any, address: str) -> None:
    """Raise StampError unless scheduler and workers have the stamp-hw of this process: one without it would break."""
    where, ours = f"--scheduler {address}", metadata.version(_NAME)
    try:
        client.wait_for_workers(1, timeout=_WORKERS_S)
        there = {"the scheduler": client.run_on_scheduler(metadata.version, _NAME),
                 **client.run(metadata.version, _NAME)}
    except TimeoutError:
        raise _no_workers(address) from None
    except metadata.PackageNotFoundError:
        raise StampError("scheduler or workers without stamp-hw", where=where,
                         expected=f"stamp-hw {ours} installed for all of them") from None
    except (OSError, ValueError):
        raise _gone(address) from None
    for name, version in there.items():
        if version != ours:
            raise StampError("another stamp-hw", where=where, got=f"{version} of {name}", expected=ours)


def _used(client: Any, address: str, killed_worker: type[Exception]) -> Iterator[Workers]:
    """A client's workers, and what becomes of them as a StampError."""
    found = Cluster(client, address)
    try:
        yield found
    except CancelledError:
        raise _gone(address) from None
    except killed_worker:
        raise StampError("workers died over the same points again and again", where=f"--scheduler {address}",
                         expected="more memory for each; points that are done are kept") from None


def _gone(address: str) -> StampError:
    return StampError("the scheduler is gone", where=f"--scheduler {address}",
                      expected="it running; points that are done are kept")


def _no_workers(address: str) -> StampError:
    return StampError("the scheduler has no workers", where=f"--scheduler {address}",
                      expected="`dask worker ADDRESS`; points that are done are kept")


def _distributed() -> Any:
    try:
        import distributed
    except ImportError:
        raise ToolError("Dask is not installed", where="--scheduler", got="no module distributed",
                        expected="pip install 'stamp-hw[sweep]'") from None
    return distributed
