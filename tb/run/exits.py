"""How the programs `python -m tb.*` end: one line for what a user can mend, and the codes of `stamp_hw.exits`."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable

from stamp_hw import exits
from tb.run.block import BrokenBenchError


def seed(text: str) -> int:
    """An option's whole number from 0 on."""
    return _whole(text, 0)


def count(text: str) -> int:
    """An option's whole number from 1 on."""
    return _whole(text, 1)


def _whole(text: str, least: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) >= least):
        raise argparse.ArgumentTypeError(f"a whole number from {least} on is expected, not {text[:80]!r}")
    return int(text)


def ended(log: logging.Logger, run: Callable[[], int]) -> int:
    """What `run` returns, or the code of the error that it ended in; says which."""
    try:
        return run()
    except BrokenBenchError as error:
        log.error("broken: %s", error)
        return exits.BROKEN
    except AssertionError as error:
        log.error("%s", error)
        return exits.FOUND
    except KeyboardInterrupt:
        log.error("interrupted")
        return 130
    except Exception as error:
        if (known := exits.refusal(error)) is not None:
            log.error("%s: %s", log.name, known)
            return known.exit_code
        log.error("%s", exits.broken(error))
        return exits.BROKEN
