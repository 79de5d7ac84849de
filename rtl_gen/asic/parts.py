"""The parts of the hardware that are mapped by themselves: their Verilog, their bench, and the work of their events.

The PE and the blocks between streams are whole; of the array and of the engine what is left without them: `array` is
skew registers, drain and queue, `control` all of the engine that is no block (issue, rows, loader, gates, buffers'
ports). Those run with the rest as RTL, and so do both lifting units in the engine: there they have places, a pace and a
register behind their memories, which they have not as tops of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from amaranth.lib import data

from rtl_gen.asic import layer_beats, pe
from rtl_gen.asic.bench import BUSY, ROWS, Bench, of_unit, seeded
from rtl_gen.asic.traced import Traced
from rtl_gen.delivery.generate import delivered, unit_files
from rtl_gen.delivery.vectors import Vectors
from rtl_gen.engine.layouts import event_layout as engine_events
from rtl_gen.haar.common import event_layout as haar_events
from rtl_gen.mac.element import element
from rtl_gen.tops import BLOCKS, ENGINE_TOP, Unit
from rtl_gen.verilog.emit import verilog
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.engine import changes
from stamp_hw.engine.changes import Passage
from stamp_hw.engine.params import MANT_WIDTH, EngineParams
from stamp_hw.errors import ConfigError
from stamp_hw.params import INVERSE_WIDTH, HaarParams, MacParams

#: Modules of the engine that are parts by themselves; a name may not be there in every configuration.
_BLOCKS_INSIDE = ("front_haar", "front_scale", "front_hadamard", "mac", "back_inverse", "back_send_finish",
                  "drain_rescale", "drain_combine")
_PE_STEPS, _PE_IDLE = 4096, 512
#: Codes of 8 and of 4 bits and weights that fill fewer bits than they have: more runs for the prices of a PE.
_NARROWER = ((7, 3, 7), (8, 2, 5), (5, 4, 4))
_SEED = 2026
NAMES = ("hadamard", "lifting", "scale", "pe", "array", "combine", "rescale", "inverse", "finish", "control")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """`count` events of a kind, each of so many `bits`: an adder's width, or the product of a multiplier's widths.
    `constant` is its name in an energy set."""

    constant: str
    count: int
    bits: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """`top` of `files` is mapped without the modules in `kept`; `count` such parts are in an engine. `work` is made of
    the events of a phase, by name as `events` places them in the port of that name; None for the PE. `layers` are runs
    of the bench, with what changes in each phase; whether the bench's own values are `random`."""

    name: str
    top: str
    files: Mapping[str, str]
    kept: tuple[str, ...]
    bench: Bench
    count: int
    events: data.StructLayout | None
    work: Callable[[Mapping[str, int]], list[Work]]
    layers: Mapping[str, Mapping[int, Measured]] = field(default_factory=dict)
    random: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a layer does in a phase: its `measures` a beat; `beats` of the layer, None where they are the phase's."""

    measures: Mapping[str, float]
    beats: int | None = None


Layers = Mapping[str, Passage]


def parts(config: NpuConfig, block: str | None = None, traced: Traced | None = None, layers: Layers | None = None
          ) -> list[Part]:
    """Those of a configuration, in the order of the data; of one `block`, or all; PE and control on a layer of a trace
    where one is given; each with `layers` for more runs. Raises ConfigError for a block that is unknown, or not
    there."""
    layers = layers or {}
    makers: dict[str, Callable[[], Part | None]] = {
        **{name: lambda name=name, module=module: _unit_part(name, module, config, layers)  # type: ignore[misc]
           for name, module in (("hadamard", "stamp_hadamard"), ("scale", "stamp_scale"))},
        "lifting": lambda: _lifting_part("lifting", "front_haar", EngineParams.of(config.hw).haar, config, layers),
        "pe": lambda: _pe(config, traced, layers),
        "array": lambda: _array(config, layers),
        **{name: lambda name=name, module=module: _unit_part(name, module, config, layers)  # type: ignore[misc]
           for name, module in (("combine", "stamp_combine"), ("rescale", "stamp_rescale"),
                                ("finish", "stamp_haar_finish"))},
        "inverse": lambda: _lifting_part("inverse", "back_inverse", EngineParams.of(config.hw).inverse, config, layers),
        "control": lambda: _control(config, traced, layers),
    }
    if block is not None and block not in NAMES:
        raise ConfigError("unknown block", where="--block", got=block, expected=" or ".join(NAMES))
    found = [part for name in NAMES if block in (None, name) and (part := makers[name]()) is not None]
    if not found:
        raise ConfigError(f"hardware without a block {block}", where="--block", got=block)
    return found


def _unit(module: str) -> Unit:
    return next(unit for group in BLOCKS.values() for unit in group if unit.module == module)


def _through(name: str, layers: Layers) -> tuple[dict[str, Vectors], dict[str, dict[int, Measured]]]:
    """Run → what a layer drives through a part, and what changes there; none through a part that is not followed."""
    measures = {run: found for run, layer in layers.items() if (found := changes.of_layer(layer, name))}
    return ({run: layer_beats.OF_PART[name](layers[run]) for run in measures},
            {run: {BUSY: Measured(measures=found, beats=layer_beats.count(layers[run], name))}
             for run, found in measures.items()})


def _unit_part(name: str, module: str, config: NpuConfig, layers: Layers) -> Part | None:
    unit = _unit(module)
    if not unit.is_built(config.hw):
        return None
    params = unit.params(config.hw)
    driven, measured = _through(name, layers)
    return Part(name=name, top=module, files=unit_files(unit, config), kept=(), count=1, layers=measured,
                bench=of_unit(unit, config, others=driven), events=_layout(unit, config.hw),
                work=lambda events: _WORK[name](params, events))


def _lifting_part(name: str, module: str, params: HaarParams, config: NpuConfig, layers: Layers) -> Part:
    """A lifting unit as the engine has it, in runs of the engine."""
    unit = _unit(ENGINE_TOP)
    driven, measured = _through(name, layers)
    return Part(name=name, top=f"{ENGINE_TOP}_{module}", files=unit_files(unit, config), kept=(), count=1,
                bench=of_unit(unit, config, others=driven), events=haar_events(), layers=measured,
                work=lambda events: _WORK[name](params, events))


def _layout(unit: Unit, hw: HwConfig) -> data.StructLayout:
    component = unit.component(unit.params(hw))
    component._MustUse__used = True  # only its signature is read
    layout: data.StructLayout = component.signature.members["events"].shape
    return layout


def _pe(config: NpuConfig, traced: Traced | None, layers: Layers) -> Part:
    params = MacParams.of(config.hw)
    files = {name: delivered(text) for name, text in verilog(element(params), pe.MODULE).items()}
    operands = pe.drawn(seeded(_SEED), _PE_STEPS) if traced is None else traced.operands(_PE_STEPS)
    bench = pe.bench(params, operands, _PE_IDLE)
    runs = {f"made {bits}": pe.drawn(seeded(_SEED), _PE_STEPS, bits) for bits in _NARROWER if layers}
    runs |= {run: found for run, layer in layers.items() if (found := pe.of_passage(layer, _PE_STEPS)) is not None}
    rows = {run: {ROWS: pe.bench(params, own, _PE_IDLE).files[ROWS]} for run, own in runs.items()}
    measured = {run: {phase: Measured(measures=own.measures(params, phase), beats=layer_beats.count(layers[run], unit)
                                      if run in layers else None)
                      for phase, unit in ((pe.EIGHT, "pe8"), (pe.FOUR, "pe4"))} for run, own in runs.items()}
    return Part(name="pe", top=pe.MODULE, files=files, kept=(), bench=replace(bench, runs=rows), events=None,
                count=config.hw.rows * config.hw.cols, work=lambda events: [], layers=measured, random=traced is None)


def _array(config: NpuConfig, layers: Layers) -> Part:
    """What the array is beside its PEs, in runs of it all."""
    unit = next(unit for unit in BLOCKS["mac"] if unit.is_built(config.hw))
    driven, measured = _through("array", layers)
    return Part(name="array", top=unit.module, files=unit_files(unit, config), kept=(pe.MODULE,),
                bench=of_unit(unit, config, others=driven), count=1, events=_layout(unit, config.hw), layers=measured,
                work=lambda events: [Work(constant="array.step", count=events["steps"], bits=1)])


def _control(config: NpuConfig, traced: Traced | None, layers: Layers) -> Part:
    unit = _unit(ENGINE_TOP)
    files = unit_files(unit, config)
    inside = tuple(name for name in (f"{ENGINE_TOP}_{block}" for block in _BLOCKS_INSIDE) if f"{name}.v" in files)
    driven, measured = _through("control", layers)
    return Part(name="control", top=ENGINE_TOP, files=files, kept=inside, count=1, layers=measured,
                bench=of_unit(unit, config, None if traced is None else traced.engine(), driven),
                events=engine_events(unit.params(config.hw)), random=traced is None,
                work=lambda events: [Work(constant="control.step", count=events["mac_steps"], bits=1)])


def _lifting(constant: str) -> Callable[[Any, Mapping[str, int]], list[Work]]:
    """Two additions a butterfly and channel."""
    return lambda params, events: [Work(constant=constant, bits=params.out_width, count=2 * params.lanes * (
        events["butterflies"] + events["cross_butterflies"]))]


def _hadamard(params: Any, events: Mapping[str, int]) -> list[Work]:
    """An addition a level and value, each a bit wider than the level before, and a rounding."""
    words = events["beats"] * params.lanes
    levels = [Work(constant="hadamard.add", count=words, bits=min(params.width + 1 + level, params.sum_width))
              for level in range(1, params.levels + 1)]
    return [*levels, Work(constant="hadamard.add", count=words, bits=params.sum_width)]


def _scale(params: Any, events: Mapping[str, int]) -> list[Work]:
    """Two comparisons a value; of each coefficient a difference, a product and its rounding; a subtraction a bit of a
    quotient."""
    values = events["multiplies"] * (params.lanes + (params.block_beats > 0))
    adds = ((2 * events["compares"] * params.lanes, params.width), (values, params.width + 1),
            (values, params.width + params.recip_width), (events["divide_steps"], params.width + 1))
    return [*(Work(constant="scale.add", count=count, bits=bits) for count, bits in adds),
            Work(constant="scale.multiply", count=values, bits=params.width * params.recip_width)]


def _combine(params: Any, events: Mapping[str, int]) -> list[Work]:
    """Of each sum of a block a product, the span's offset and an addition to T."""
    sums = events["sums"] * params.cols
    return [Work(constant="combine.multiply", count=sums, bits=params.width * params.acc_width),
            Work(constant="combine.add", count=2 * sums, bits=params.total_width)]


def _rescale(params: Any, events: Mapping[str, int]) -> list[Work]:
    """Three products of an output, five additions and a rounding among them."""
    each = events["multiplies"] // 3
    products = (params.width * params.sum_width, params.width * params.wsum_width, params.total_width * MANT_WIDTH)
    outputs = events["outputs"]
    adds = ((outputs, params.sum_width), (3 * outputs, params.total_width), (outputs, params.product_width))
    return [*(Work(constant="rescale.multiply", count=each, bits=bits) for bits in products),
            *(Work(constant="rescale.add", count=count, bits=bits) for count, bits in adds)]


def _finish(params: Any, events: Mapping[str, int]) -> list[Work]:
    """Bias and rounding, an addition an output."""
    return [Work(constant="finish.add", count=events["outputs"], bits=INVERSE_WIDTH)]


_WORK: dict[str, Callable[[Any, Mapping[str, int]], list[Work]]] = {
    "hadamard": _hadamard, "lifting": _lifting("lifting.add"), "scale": _scale, "combine": _combine,
    "rescale": _rescale, "inverse": _lifting("inverse.add"), "finish": _finish,
}
