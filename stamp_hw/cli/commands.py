"""The commands of `stamp-hw` by name: what each does, and the module that has it, loaded when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A line of `stamp-hw --help`.

    module : has `add_options(parser)`, which describes the command, adds its options and sets `run`, a function of them
    """

    module: str
    help: str


COMMANDS = {
    "simulate": Command("sim.commands.simulate", "accuracy, cycles and energy of a trace's layers"),
    "ablate": Command("sim.commands.ablate", "transforms, feature transforms and bits compared on a trace"),
    "widths": Command("sim.commands.widths", "what narrower hardware costs against float STaMP"),
    "tune": Command("sim.commands.tune", "choose transform, levels, n_hi and scale mode for each kind of layer"),
    "trace": Command("models.commands.trace", "make a trace of a model run, or print what a trace holds"),
    "eval": Command("models.commands.eval",
                    "accuracy of a running language or image model on the bit-accurate engine"),
    "generate": Command("rtl_gen.commands.generate", "write the Verilog of every block and of the engine"),
    "program": Command("rtl_gen.commands.program", "write the engine's job registers for a trace's layers"),
    "synth": Command("rtl_gen.commands.synth", "synthesize the engine or a block and count cells"),
    "place": Command("rtl_gen.commands.place", "place and route the engine for an ECP5: clock rate and slowest path"),
    "verify": Command("tb.commands.verify", "run the testbenches against the golden model"),
    "doctor": Command("rtl_gen.commands.doctor", "list the tools, found or not, and what installs them"),
}
