"""What of a job comes before the results of the job in front of it (docs/contract.md §5, "Jobs in a row").

Registers are double, so that a host may always write a job's while the one before it runs. Whether its streams may run
ahead as well is a matter of what they carry: tokens that the job before makes cannot; weights and parameters can, but
for keys and values, which are results too.
"""

from __future__ import annotations

from enum import Enum


class Early(Enum):
    """What of a job may be fetched before the results of the job before it are there: everything; weights and
    parameters; its registers alone."""

    TOKENS = "tokens"
    WEIGHTS = "weights"
    REGISTERS = "registers"

    @property
    def waiting(self) -> tuple[str, ...]:
        """The input streams that wait for those results."""
        return {"tokens": (), "weights": ("i",), "registers": ("i", "w", "p")}[self.value]
