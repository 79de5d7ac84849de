"""From the bus into the engine: the order table, activations, weights and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from amaranth.hdl import Cat, Const, Module, Value, ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.axi.stream import Slice, activation_data, parameter_data, weight_data
from rtl_gen.dma.feed import Feed
from rtl_gen.dma.layouts import COUNT_WIDTH, byte_bits, descriptor_layout, segment_layout
from rtl_gen.dma.locate import Locate
from rtl_gen.dma.places import Places
from rtl_gen.engine.layouts import input_layout, parameter_layout, weight_layout
from stamp_hw.dma.order import ENTRY_BYTES
from stamp_hw.dma.params import DmaParams

STREAMS = ("order", "act", "wgt", "par")


def sizes_of(fields: data.View) -> dict[str, Value]:
    """Bytes of a unit of each stream."""
    return {"order": Cat(Const(0, ENTRY_BYTES.bit_length() - 1), fields.places)[:COUNT_WIDTH],
            "act": fields.act_bytes, "wgt": fields.wgt_bytes, "par": fields.par_bytes}


class Inward(wiring.Component):
    """What a layer reads.

    Parameters
    ----------
    params : DmaParams

    Members
    -------
    fields : In, the layer's descriptor
    act_segment : Out(stream of segment_layout), the tokens in the order in which the engine takes them
    <name>_word : In(stream of a word), of each of STREAMS
    i, w, p : Out(streams of the engine)
    place : Out(stream), as `Places.o`
    idle : Out, all that the layer reads has gone into the engine, and no place is left
    """

    def __init__(self, params: DmaParams) -> None:
        self.params = params
        self._places = Places(params)
        super().__init__({
            "fields": In(descriptor_layout(params)), "idle": Out(1),
            "act_segment": Out(stream.Signature(segment_layout(params))),
            **{f"{name}_word": In(stream.Signature(params.bus_width)) for name in STREAMS},
            "i": Out(stream.Signature(input_layout(params.engine))),
            "w": Out(stream.Signature(weight_layout(params.engine))),
            "p": Out(stream.Signature(parameter_layout(params.engine))),
            "place": Out(self._places.signature.members["o"].signature),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params, fields = self.params, self.fields
        sizes = sizes_of(fields)
        beats = {"order": ENTRY_BYTES, **params.beat_bytes}
        feeds = {}
        for name in STREAMS:
            m.submodules[f"{name}_feed"] = feeds[name] = feed = Feed(params, beats[name])
            m.d.comb += feed.size.eq(sizes[name])
            wiring.connect(m, wiring.flipped(getattr(self, f"{name}_word")), feed.i)
        # The order table says which tokens are read.
        m.submodules.places = places = self._places
        m.submodules.locate = locate = Locate(params)
        order, segment = feeds["order"].o, self.act_segment
        m.d.comb += [
            places.columns.eq(fields.job.columns), places.i.valid.eq(order.valid), order.ready.eq(places.i.ready),
            places.i.payload.eq(order.payload.data),
            locate.base.eq(fields.act), locate.stride.eq(fields.act_stride),
            locate.i.valid.eq(places.token.valid), places.token.ready.eq(locate.i.ready),
            locate.i.payload.token.eq(places.token.payload),
            segment.valid.eq(locate.o.valid), locate.o.ready.eq(segment.ready),
            segment.payload.address.eq(locate.o.payload.address[byte_bits(params):]),
            segment.payload.words.eq(((fields.act_bytes - 1) >> byte_bits(params)) + 1),
        ]
        wiring.connect(m, places.o, wiring.flipped(self.place))

        acts = self._slice(m, feeds["act"], self.i, "act", activation_data(params.engine),
                           beside={"sink_shift": places.exponent, "last": feeds["act"].o.payload.last},
                           ready=places.known)
        slices = [acts, self._slice(m, feeds["wgt"], self.w, "wgt", weight_data(params.engine)),
                  self._slice(m, feeds["par"], self.p, "par", parameter_data())]
        m.d.comb += [
            getattr(places, "pass").eq(acts.i.valid & acts.i.ready & acts.i.payload.last),
            self.idle.eq(Cat(*(feed.idle for feed in feeds.values()), places.idle,
                             *(~one.o.valid for one in slices)).all()),
        ]
        return m

    @staticmethod
    def _slice(m: Module, feed: Feed, port: stream.Interface, name: str, wire: data.StructLayout,
               beside: Mapping[str, Value] = MappingProxyType({}), ready: ValueLike = 1) -> Slice:
        """A stream's beats, whose bytes are `wire`, through a slice to the engine's `port`, while they may (`ready`);
        fields that are not among the bytes are `beside` them."""
        m.submodules[f"{name}_slice"] = into = Slice(port.signature.members["payload"].shape)
        values = wire(feed.o.payload.data)
        m.d.comb += [into.i.valid.eq(feed.o.valid & ready), feed.o.ready.eq(into.i.ready & ready)]
        for field, shape in into.i.payload.shape().members.items():
            if isinstance(shape, data.ArrayLayout):
                m.d.comb += [into.i.payload[field][lane].eq(values[field][lane]) for lane in range(shape.length)]
            else:
                m.d.comb += into.i.payload[field].eq(beside[field] if field in beside else values[field])
        wiring.connect(m, into.o, wiring.flipped(port))
        return into
