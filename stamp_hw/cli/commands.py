"""The commands of `stamp-hw` by name: what each does, and the module that has it, loaded when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A line of `stamp-hw --help`.

    module : has `add_options(parser)`, which describes the command, adds its options and says what runs
    """

    module: str
    help: str


@dataclass(frozen=True, slots=True)
class Group:
    """Commands that answer the same kind of question, and an `example` of one of them."""

    commands: Mapping[str, Command]
    example: str


TRACE = "models/traces/llama_small.safetensors"
GROUPS = {
    "figures": Group({
        "simulate": Command("sim.commands.simulate", "a whole model's tokens a second and joules; a trace's accuracy"),
        "compare": Command("sim.commands.compare", "a whole model under five schemes on four machines"),
        "report": Command("sim.commands.report", "one HTML file of what simulate or compare wrote"),
        "timeline": Command("sim.commands.timeline", "what each unit of the engine does when, for Perfetto"),
        "chain": Command("sim.commands.chain", "layers through the engine with a DMA: cycles, bytes on the bus"),
        "sweep": Command("sim.commands.sweep", "a workload at many points of a design space, and the best of them"),
        "throughput": Command("sim.commands.throughput", "how busy the array is, and what the transform costs"),
    }, "stamp-hw simulate --model llama-3-8b --config configs/npu32.yaml"),
    "accuracy": Group({
        "ablate": Command("sim.commands.ablate", "transforms, feature transforms and bits compared on a trace"),
        "widths": Command("sim.commands.widths", "what narrower hardware costs against float STaMP"),
        "tune": Command("sim.commands.tune", "transform, levels, 8-bit tokens and scale mode for each kind of layer"),
        "eval": Command("models.commands.eval", "a running language or image model on the bit-accurate engine"),
    }, "stamp-hw eval --model models/llama_small --text models/llama_small/heldout.txt --sequences 4"),
    "hardware": Group({
        "generate": Command("rtl_gen.commands.generate", "write the engine's Verilog, and that of each block alone"),
        "program": Command("rtl_gen.commands.program", "write the engine's job registers for a trace's layers"),
        "synth": Command("rtl_gen.commands.synth", "synthesize the engine or a block and count cells"),
        "place": Command("rtl_gen.commands.place", "place and route for an ECP5: clock rate and slowest path"),
        "board": Command("tb.commands.board", "a bitstream for a ULX3S that runs a real layer and checks itself"),
        "characterize": Command("rtl_gen.commands.characterize", "area, clock and energy of each block in cells"),
        "doctor": Command("rtl_gen.commands.doctor", "list the tools, found or not, and what installs them"),
    }, "stamp-hw generate --config configs/fpga.yaml --out build/verilog --vectors"),
    "verification": Group({
        "verify": Command("tb.commands.verify", "run the testbenches against the golden model"),
        "bench": Command("tb.commands.speed", "speed of the models and of the RTL's fast bench, as ratios"),
    }, "stamp-hw verify --block scale"),
    "traces": Group({
        "trace": Command("models.commands.trace", "make a trace of a model run, or print what a trace holds"),
    }, f"stamp-hw trace info {TRACE}"),
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.commands.items()}


def overview() -> str:
    """The commands by group, each group with its example."""
    width = max(map(len, COMMANDS)) + 2
    parts = []
    for title, group in GROUPS.items():
        lines = [f"  {name:{width}}{command.help}" for name, command in group.commands.items()]
        parts.append("\n".join([f"{title}:", *lines, f"    $ {group.example}"]))
    return "\n\n".join(parts)
