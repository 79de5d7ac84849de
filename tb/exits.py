"""How the programs `python -m tb.*` end: one line for what a user can mend, and the codes of `stamp_hw.exits`."""

from __future__ import annotations

import logging
from collections.abc import Callable

from stamp_hw import exits
from tb.regression import BrokenBenchError


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
            log.error("error: %s", known)
            return known.exit_code
        log.error("%s", exits.broken(error))
        return exits.BROKEN
