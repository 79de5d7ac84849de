"""Cycle model of a block that is one elastic pipeline: a sequencer in front, registers behind, one enable for all.

The block issues *items* one a cycle. An item may need an input beat and may become an output beat `depth` cycles
later. While an output beat waits for `ready`, every register holds (one enable), so nothing is issued either. While
the input is not offered, a bubble moves in instead. The stream side keeps the AXI rule: a beat is offered in the
first cycle whose pattern bit is 1 and stays offered until it is taken; `ready` is the pattern bit of the cycle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

Pattern = Callable[[int], bool]  # cycle → valid or ready bit of that cycle


def always(_cycle: int) -> bool:
    """The pattern of a stream that never stalls."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timing:
    """Cycle in which each input and output beat is taken (int64 arrays), counted from the first cycle of the job.

    `issues` is the cycle in which each item enters an elastic pipeline; other models leave it empty.
    """

    inputs: np.ndarray
    outputs: np.ndarray
    issues: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def cycles(self) -> int:
        """Cycles up to and including the last beat taken on either side."""
        last = [int(side[-1]) for side in (self.inputs, self.outputs) if len(side)]
        return 1 + max(last, default=-1)


def run(needs_input: Sequence[bool] | np.ndarray, emits: Sequence[bool] | np.ndarray, depth: int,
        valid: Pattern = always, ready: Pattern = always) -> Timing:
    """Step the pipeline cycle by cycle.

    Parameters
    ----------
    needs_input, emits : per item, in issue order: takes an input beat; becomes an output beat
    depth : cycles from issue to the output's `valid`, at least 1
    valid, ready : stall patterns of the input and the output side
    """
    stages = deque([False] * depth, maxlen=depth)
    inputs: list[int] = []
    outputs: list[int] = []
    issues: list[int] = []
    items = len(emits)
    wanted_in, wanted_out = int(np.sum(needs_input)), int(np.sum(emits))
    issued, cycle, offered = 0, 0, False
    while issued < items or len(outputs) < wanted_out:
        offered = offered or (len(inputs) < wanted_in and valid(cycle))
        stalled = stages[-1] and not ready(cycle)
        if stages[-1] and not stalled:
            outputs.append(cycle)
        if not stalled:
            beat = False
            if issued < items and (offered or not needs_input[issued]):
                beat = bool(emits[issued])
                if needs_input[issued]:
                    inputs.append(cycle)
                    offered = False
                issues.append(cycle)
                issued += 1
            stages.appendleft(beat)
        cycle += 1
    return Timing(inputs=np.array(inputs, np.int64), outputs=np.array(outputs, np.int64),
                  issues=np.array(issues, np.int64))
