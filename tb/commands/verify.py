"""`stamp-hw verify`: the one door to all that checks the RTL; the first word says what, `bench` without one."""

from __future__ import annotations

import argparse
import textwrap

from stamp_hw.cli.arguments import Parser
from tb.commands import bench

WIDTH = 78  # of a line of the help
#: Word → what it does. Each has a module of its name in this folder, loaded when it is the one given.
WORDS = {
    "bench": "the testbenches, on their own parameter sets or on a configuration's hardware",
    "deep": "500 random layers, the whole shipped trace, corners, flushes, a real block",
    "prefill": "a real language model's linear layers, each through the engine's RTL",
    "faults": "seed every named mistake; the regression must catch each",
    "coverage": "lines, branches and toggles of the Verilog, and the test plan",
    "census": "bits of the engine's registers that its bench does not reach",
    "formal": "prove the properties of the Verilog, for every input",
    "mutate": "change bits of the Verilog; the benches must notice",
}


def add_options(parser: Parser) -> None:
    """Add the words, and the options of `bench` for what begins with none of them."""
    bench.add_options(parser)
    for word in WORDS:
        parser.add_word(word, f"tb.commands.{word}", option="--model" if word == "prefill" else None)
    width = max(map(len, WORDS))
    listed = "\n".join(f"  {word:{width}}  {says}" for word, says in WORDS.items())
    parser.usage = f"%(prog)s [{'|'.join(WORDS)}] [options]"
    parser.epilog = "\n".join(textwrap.fill(line, WIDTH) for line in (parser.epilog or "").splitlines())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (f"words (`{parser.prog} WORD --help` has the options and the run time of each):\n{listed}\n\n"
                          f"options of bench, and of no word (with --model it is prefill):\n"
                          f"{bench.SAYS}")
