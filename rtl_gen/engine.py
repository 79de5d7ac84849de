"""The linear engine: one layer from INT16 tokens and weights to INT16 tokens (docs/contract.md §4).

    Y = L⁻¹( Q(L·X) · Wᵀ ) + 1·bᵀ

    i → front: lifting, scale → rows: activation buffer → array → drain: rescale → back: inverse lifting, bias → o
                            w, p → loader: weight buffer, parameters ↗

Inside there is no back-pressure, only gates: a super-tile's first token, a weight load, an array tile, its last step
and an inverse lifting start when they are certain to finish without waiting. So each stage's cycles are a closed form,
and what `sim/engine.py` adds up is what the hardware takes.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen import engine_layouts as layouts
from rtl_gen.engine_array import Array
from rtl_gen.engine_back import Back
from rtl_gen.engine_buffers import ActBuffer, ScaleBuffer, WeightBuffer
from rtl_gen.engine_drain import Drain
from rtl_gen.engine_front import Front
from rtl_gen.engine_loader import Loader
from rtl_gen.engine_rows import Rows
from rtl_gen.mac import Mac
from stamp_hw.engine_params import EngineParams


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
    status : Out, `idle`: no job; `error`: sticky bits, `engine_layouts.ERRORS`
    clear : In, clears `error`
    events : Out, increments of all blocks of this cycle, `engine_layouts.event_layout`

    Latency and throughput: `sim/engine.py`. Back-pressure: a stalled `o` stops the inverse lifting, then the array
    before the last step of a tile, then `w`, `p` and `i`; no path leads from `o.ready` to the other streams' `ready`.
    """

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        self._front, self._mac = Front(params), Mac(params.mac)
        self._drain, self._back = Drain(params), Back(params)
        self._units = {
            "haar": self._front.haar_events, "scale": self._front.scale_events, "mac": self._mac.events,
            "rescale": self._drain.events, "inverse": self._back.inverse_events, "finish": self._back.finish_events,
        }
        events = layouts.event_layout({name: view.shape() for name, view in self._units.items()})
        super().__init__({
            "job": In(stream.Signature(layouts.job_layout(params))),
            "i": In(stream.Signature(layouts.input_layout(params))),
            "w": In(stream.Signature(layouts.weight_layout(params))),
            "p": In(stream.Signature(layouts.parameter_layout(params))),
            "o": Out(stream.Signature(layouts.output_layout(params))),
            "status": Out(data.StructLayout({"idle": 1, "error": len(layouts.ERRORS)})), "clear": In(1),
            "events": Out(events),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params = self.params
        m.submodules.front, m.submodules.mac = front, mac = self._front, self._mac
        m.submodules.drain, m.submodules.back = drain, back = self._drain, self._back
        m.submodules.rows = rows = Rows(params)
        m.submodules.acts = acts = ActBuffer(params)
        m.submodules.weights = weights = WeightBuffer(params)
        m.submodules.scales = scales = ScaleBuffer(params)
        m.submodules.loader = loader = Loader(params)
        m.submodules.array = array = Array(params)

        for name, inner in (("job", front.job), ("i", front.i), ("w", loader.w), ("p", loader.p)):
            outer = getattr(self, name)
            m.d.comb += [inner.valid.eq(outer.valid), inner.payload.eq(outer.payload), outer.ready.eq(inner.ready)]
        m.d.comb += [self.o.valid.eq(back.o.valid), self.o.payload.eq(back.o.payload), back.o.ready.eq(self.o.ready)]

        # A job's registers go to every stage at once.
        stages = (loader, array, back)
        m.d.comb += front.room.eq(Cat(stage.room for stage in stages).all())
        for stage in stages:
            m.d.comb += [stage.start.eq(front.start), stage.registers.eq(front.registers)]

        # Codes into the buffers.
        m.d.comb += [
            rows.code.eq(front.code), rows.valid.eq(front.valid), rows.claim.eq(front.claim),
            rows.retire.eq(drain.retire), front.free.eq(rows.free),
            acts.write_at.eq(rows.address), acts.low.eq(rows.low), acts.high.eq(rows.high),
            acts.codes.as_value().eq(front.code.codes.as_value()), acts.hi.eq(front.code.hi),
            scales.en.eq(rows.scale_en), scales.write_at.eq(rows.scale_at), scales.word.eq(rows.scale),
        ]

        # Weights and parameters into the buffers.
        m.d.comb += [
            loader.halves.eq(rows.halves), loader.release.eq(array.release),
            weights.en.eq(loader.weight_en), weights.write_at.eq(loader.weight_at), weights.step.eq(self.w.payload),
            drain.parameter_en.eq(loader.parameter_en), drain.channel.eq(loader.channel),
            drain.parameter.eq(self.p.payload), back.parameter_en.eq(loader.parameter_en),
            back.channel.eq(loader.channel), back.bias.eq(self.p.payload.bias),
        ]

        # The array and what feeds it.
        step = mac.i.payload
        m.d.comb += [
            array.halves.eq(rows.halves), array.retire.eq(drain.retire), array.loaded.eq(loader.loaded),
            array.out_free.eq(back.out_free), acts.read_at.eq(array.act_at), acts.lane.eq(array.lane),
            weights.read_at.eq(array.weight_at), mac.i.valid.eq(array.step.valid), step.last.eq(array.step.last),
            step.act.eq(acts.act), step.mode4.as_value().eq(acts.mode4.as_value() & array.step.rows),
            step.wgt.eq(weights.wgt.wgt),
        ]

        # Behind the array.
        m.d.comb += [
            mac.o.ready.eq(1), drain.valid.eq(mac.o.valid), drain.beat.eq(mac.o.payload),
            drain.tile.eq(array.tile), drain.tile_en.eq(array.tile_en), scales.half.eq(drain.half),
            scales.read_at.eq(drain.scale_at), drain.token.eq(scales.token), back.word.eq(drain.word),
            back.out_claim.eq(array.out_claim),
        ]

        self._status(m, rows.overflow, front.internal | drain.internal | (mac.i.valid & ~mac.i.ready),
                     Cat(stage.idle for stage in (front, *stages)).all())
        for name, view in self._units.items():
            m.d.comb += [self.events[f"{name}_{event}"].eq(view[event]) for event in view.shape().members]
        return m

    def _status(self, m: Module, overflow: Value, internal: Value, idle: Value) -> None:
        """Sticky error bits, in the order of `ERRORS`."""
        error = Signal(len(layouts.ERRORS))
        seen = Cat(self._front.illegal, overflow, self._front.framing, internal)
        m.d.sync += error.eq((error & ~self.clear.replicate(len(error))) | seen)
        m.d.comb += [self.status.idle.eq(idle), self.status.error.eq(error)]
