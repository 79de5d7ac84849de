"""Registers of two jobs: the one at hand, and the one that waits behind it."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out


class JobRegisters(wiring.Component):
    """A stage's job, and the next one, which is handed over while the stage still works.

    Parameters
    ----------
    layout : registers of a job

    Members
    -------
    start, registers : In, a job's registers, given in a cycle with `room` only; `room` : Out, no job waits
    ends : In, the job at hand is over
    begins : Out, the job that waits, `following`, is the one at hand from the next cycle on
    running, job : Out, there is a job at hand, and its registers
    idle : Out, there is no job, at hand or waiting

    Latency: a job that finds the stage at rest is at hand two cycles after its `start`; one that waits, two cycles
    after `ends`.
    """

    def __init__(self, layout: data.StructLayout) -> None:
        self.layout = layout
        super().__init__({
            "start": In(1), "registers": In(layout), "room": Out(1), "ends": In(1), "begins": Out(1),
            "following": Out(layout), "running": Out(1), "job": Out(layout), "idle": Out(1),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        waiting = Signal()
        following = Signal(self.layout, name="following_held", reset_less=True)
        job = Signal(self.layout, name="job_held", reset_less=True)
        m.d.comb += [
            self.room.eq(~waiting),
            self.begins.eq(waiting & ~self.running),
            self.following.eq(following),
            self.job.eq(job),
            self.idle.eq(~waiting & ~self.running),
        ]
        with m.If(self.start):
            m.d.sync += [waiting.eq(1), following.eq(self.registers)]
        with m.If(self.begins):
            m.d.sync += [waiting.eq(0), self.running.eq(1), job.eq(following)]
        with m.If(self.ends):
            m.d.sync += self.running.eq(0)
        return m
