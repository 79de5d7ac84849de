"""The linear engine: one layer from INT16 tokens and weights to INT16 tokens (docs/contract.md §4).

    Y = L⁻¹( Q(L·X) · Wᵀ ) + 1·bᵀ

    i → front: lifting, scale → rows: activation buffer → array → drain: rescale → back: inverse lifting, bias → o
                            w, p → loader: weight buffer, parameters ↗   issue: order of its steps

Inside there is no back-pressure, only gates: a super-tile's first token, a weight load, an array tile, its last step
and an inverse lifting start when they are certain to finish without waiting. So each stage's cycles are a closed form,
and what `sim/engine/closed_form.py` adds up is what the hardware takes.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.engine import layouts
from rtl_gen.engine.back import Back
from rtl_gen.engine.block_drain import BlockDrain
from rtl_gen.engine.buffers import ActBuffer, ScaleBuffer, WeightBuffer
from rtl_gen.engine.drain import Drain
from rtl_gen.engine.front import Front
from rtl_gen.engine.issue import Issue
from rtl_gen.engine.loader import Loader
from rtl_gen.engine.rows import Rows
from rtl_gen.engine.span_buffer import SpanBuffer
from rtl_gen.lib.delay import late
from rtl_gen.mac.array import Mac
from rtl_gen.mac.blocks import BlockMac
from stamp_hw.engine.params import EngineParams


class Engine(wiring.Component):
    """One linear layer a job; equation in the module's docstring.

    Parameters
    ----------
    params : EngineParams

    Members
    -------
    job : In(stream of engine_layouts.job_layout). Registers are double: a job is taken while the array still works on
        the one before it
    i, w, p : In(streams): tokens, weights, parameters, in the order of docs/contract.md §4
    o : Out(stream): results
    status : Out, `idle`: no job; `error`: sticky bits, `engine_layouts.ERRORS`. While one of `REFUSING` stands no job
        is taken: what the streams bring may belong to the one that was refused
    clear : In, clears `error`
    events : Out, increments of all blocks of this cycle, `engine_layouts.event_layout`

    Latency and throughput: `sim/engine/closed_form.py`. Back-pressure: a stalled `o` stops the inverse lifting, then
    the array before the last step of a tile, then `w`, `p` and `i`; no path leads from `o.ready` to the other streams'
    `ready`.
    """

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        super().__init__({
            "job": In(stream.Signature(layouts.job_layout(params))),
            "i": In(stream.Signature(layouts.input_layout(params))),
            "w": In(stream.Signature(layouts.weight_layout(params))),
            "p": In(stream.Signature(layouts.parameter_layout(params))),
            "o": Out(stream.Signature(layouts.output_layout(params))),
            "status": Out(data.StructLayout({"idle": 1, "error": len(layouts.errors_of(params))})), "clear": In(1),
            "events": Out(layouts.event_layout(params)),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params = self.params
        m.submodules.front = front = Front(params)
        m.submodules.mac = mac = BlockMac(params.mac) if params.block else Mac(params.mac)
        m.submodules.drain = drain = BlockDrain(params) if params.block else Drain(params)
        m.submodules.back = back = Back(params)
        m.submodules.rows = rows = Rows(params)
        m.submodules.acts = acts = ActBuffer(params)
        m.submodules.weights = weights = WeightBuffer(params)
        m.submodules.scales = scales = ScaleBuffer(params)
        m.submodules.loader = loader = Loader(params)
        m.submodules.issue = issue = Issue(params)

        for name, inner in (("job", front.job), ("i", front.i), ("w", loader.w), ("p", loader.p)):
            outer = getattr(self, name)
            m.d.comb += [inner.valid.eq(outer.valid), inner.payload.eq(outer.payload), outer.ready.eq(inner.ready)]
        m.d.comb += [self.o.valid.eq(back.o.valid), self.o.payload.eq(back.o.payload), back.o.ready.eq(self.o.ready)]

        # A job's registers go to every stage at once.
        stages = (loader, issue, back)
        m.d.comb += front.room.eq(Cat(stage.room for stage in stages).all())
        for stage in stages:
            m.d.comb += [stage.start.eq(front.start), stage.registers.eq(front.registers)]

        # Codes into the buffers.
        m.d.comb += [
            rows.code.eq(front.code), rows.valid.eq(front.valid), rows.claim.eq(front.claim),
            rows.leave.eq(issue.leave), rows.retire.eq(drain.retire), front.free.eq(rows.free),
            acts.write_at.eq(rows.address), acts.low.eq(rows.low), acts.high.eq(rows.high),
            acts.codes.as_value().eq(rows.late.codes.as_value()), acts.hi.eq(rows.late.hi),
            front.written.eq(rows.valid_late),
            scales.en.eq(rows.scale_en), scales.write_at.eq(rows.scale_at), scales.word.eq(rows.scale),
        ]

        # Weights and parameters into the buffers.
        m.d.comb += [
            loader.halves.eq(rows.halves), loader.release.eq(issue.release),
            weights.en.eq(loader.weight_en), weights.write_at.eq(loader.weight_at),
            weights.step.eq(loader.step if params.packed_weights else self.w.payload),
            drain.parameter_en.eq(loader.parameter_en), drain.channel.eq(loader.channel),
            drain.parameter.eq(self.p.payload), back.parameter_en.eq(loader.parameter_en),
            back.channel.eq(loader.channel), back.bias.eq(self.p.payload.bias),
        ]

        # The array and what feeds it.
        step = mac.step if params.block else mac.i.payload
        m.d.comb += [
            issue.halves.eq(rows.halves), issue.loaded.eq(loader.loaded),
            issue.out_free.eq(back.out_free), acts.read_at.eq(issue.act_at), acts.lane.eq(issue.lane),
            acts.read_en.eq(issue.act_en), weights.read_at.eq(issue.weight_at), weights.read_en.eq(issue.weight_en),
            step.last.eq(issue.step.last),
            step.act.eq(acts.act), step.mode4.as_value().eq(acts.mode4.as_value() & issue.step.rows),
            step.wgt.eq(weights.wgt.wgt),
        ]

        # Behind the array.
        waits = self._blocks(m, rows, acts, issue, mac, drain) if params.block else self._tiles(m, issue, mac, drain)
        m.d.comb += [
            scales.half.eq(drain.half),
            scales.read_at.eq(drain.scale_at), drain.token.eq(scales.token), back.word.eq(drain.word),
            back.out_claim.eq(issue.out_claim),
        ]

        # Sticky errors, in the order of `ERRORS`.
        internal = late(m, "internal", Cat(front.internal, drain.internal, back.internal, waits), control=True)
        error = Signal(len(layouts.errors_of(params)))
        seen = Cat(front.illegal, rows.overflow, front.framing, internal.any(),
                   *([loader.illegal] if params.packed_weights else []))
        m.d.sync += error.eq((error & ~self.clear.replicate(len(error))) | seen)
        m.d.comb += [front.refuse.eq(Cat(error[layouts.ERRORS.index(name)] for name in layouts.REFUSING).any()),
                     self.status.error.eq(error),
                     self.status.idle.eq(Cat(stage.idle for stage in (front, *stages)).all())]

        counted = [("haar", front.haar_events), ("scale", front.scale_events), ("mac", mac.events),
                   ("rescale", drain.events), ("inverse", back.inverse_events), ("finish", back.finish_events)]
        if params.block:
            counted.append(("combine", drain.combine_events))
        if params.rotation is not None:
            counted.append(("hadamard", front.hadamard_events))
        for unit, events in counted:
            m.d.comb += [self.events[f"{unit}_{name}"].eq(events[name]) for name in events.shape().members]
        return m

    def _tiles(self, m: Module, issue: Issue, mac: Mac, drain: Drain) -> Value:
        """Array tiles between issue, array and drain; returns whether a step is not taken."""
        m.d.comb += [
            mac.i.valid.eq(issue.step.valid), mac.o.ready.eq(1), drain.valid.eq(mac.o.valid),
            drain.beat.eq(mac.o.payload), drain.tile.eq(issue.tile), drain.tile_en.eq(issue.tile_en),
        ]
        return mac.i.valid & ~mac.i.ready

    def _blocks(self, m: Module, rows: Rows, acts: ActBuffer, issue: Issue, mac: BlockMac, drain: BlockDrain) -> Value:
        """Zeros and scales of blocks; the blocks themselves between issue, array and drain, which take every one."""
        m.submodules.spans = spans = SpanBuffer(self.params)
        m.d.comb += [
            acts.zero.eq(rows.late.zero), mac.step.zero.eq(acts.zeros), mac.step.valid.eq(issue.step.valid),
            drain.beat.eq(mac.beat), drain.acc.eq(mac.acc), drain.block.eq(issue.tile),
            drain.block_en.eq(issue.tile_en),
            spans.en.eq(rows.span_en), spans.write_at.group.eq(rows.group), spans.word.eq(rows.late.span),
            spans.half.eq(drain.span_half), spans.read_at.eq(drain.span_at), drain.span.eq(spans.span),
        ]
        m.d.comb += [spans.write_at[name].eq(rows.scale_at[name]) for name in rows.scale_at.shape().members]
        return Const(0)
