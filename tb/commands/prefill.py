"""`stamp-hw verify prefill`, and `verify --model`: the prefill of a language model through the engine's RTL."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stamp_hw import exits
from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import HardwareOptions, add_hardware, check_apart, check_writable, count, named
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ConfigError
from stamp_hw.formats.files import write_json
from stamp_hw.rooms import HOME
from tb.commands.common import explain, judged, say

TOKENS, JOBS = 512, 2
PRESET = HOME / "configs" / "language.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(HardwareOptions):
    """The options of `stamp-hw verify prefill`; None where one is absent."""

    model: str
    tokens: int
    layers: str
    jobs: int
    text: Path | None
    calibration: Path | None
    sequences: int | None
    json: Path | None
    build_dir: Path | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    explain(parser, "The prefill of a real language model through the generated engine: the quantized model runs once "
            "with the golden model in place of every linear layer, then each layer, fed what it was fed there, is "
            "played in the RTL. Every output word, the cycle of every beat and all events must be equal. The first "
            "block runs once more, chained: the next layer's input is made of the RTL's own words. Needs torch. "
            "SmolLM2's 211 layers at 512 tokens take 54 minutes on two busy cores; what is interrupted goes on "
            "layer by layer, as long as model, configuration, Verilog and models are the same. All figures: "
            "NAME-rtl.json of the build folder.", "--model smollm2 --tokens 512")
    parser.add_argument("--model", required=True, type=named, metavar="MODEL",
                        help="folder, hub id, GGUF file or known name, such as smollm2 (made by `make smollm2`)")
    parser.add_argument("--tokens", type=count, default=TOKENS, metavar="S", help=f"tokens (default {TOKENS})")
    add_hardware(parser, says="hardware and job (default: the language preset, 16 × 16)")
    parser.add_argument("--layers", default="", metavar="REGEX", help="only layers whose name it is found in")
    parser.add_argument("--jobs", type=count, default=JOBS, metavar="N", help=f"layers at a time (default {JOBS})")
    parser.add_argument("--text", type=Path, metavar="FILE", help="UTF-8 text to run (default: the shipped alice.txt)")
    parser.add_argument("--calibration", type=Path, metavar="FILE",
                        help="UTF-8 text to calibrate on (default: the shipped pride.txt)")
    parser.add_argument("--sequences", type=count, metavar="N", help="sequences to calibrate on (default 4)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--build-dir", metavar="DIR", type=Path, help="builds and layers go here")
    runs(parser, Options, run)


def configuration(options: Options) -> NpuConfig:
    """What the options name; without --config the language preset. Raises ConfigError where that is not there."""
    if options.config is not None:
        return options.configuration()
    if not PRESET.is_file():
        raise ConfigError("no preset in a plain install", where="--config", expected="a configuration")
    return HardwareOptions(config=PRESET, hw=options.hw, job=options.job).configuration()


def run(options: Options) -> int:
    """Play what is left of the prefill, say and write what came; the exit code of `stamp_hw.exits`."""
    from tb.run.simulator import BUILD_ROOT, check_root

    root = BUILD_ROOT if options.build_dir is None else options.build_dir.resolve()
    name = Path(options.model).resolve().name
    out = root / f"{name}-rtl.json" if options.json is None else options.json
    folder = root / f"{name}-rtl" / str(options.tokens)
    check_writable(out, folder=False)
    check_apart({"--config": options.config, "--text": options.text, "--calibration": options.calibration},
                [("--json", out), ("layers", folder)])
    config = configuration(options)
    if options.tokens > config.hw.max_tokens:
        raise ConfigError("too many tokens for the hardware", where="--tokens", got=options.tokens,
                          expected=f"at most hw.max_tokens = {config.hw.max_tokens}")
    check_root(root)
    return judged(lambda: _run(options, config, folder, root, out))


def _run(options: Options, config: NpuConfig, folder: Path, root: Path, out: Path) -> int:
    from tb.prefill.host import Host, HostError
    from tb.prefill.run import go_on, start

    host = Host(model=options.model, tokens=options.tokens, config=config, text=options.text,
                calibration=options.calibration, sequences=options.sequences)
    try:
        found, engine = start(host, folder, root, options.layers, say)
        try:
            go_on(found, engine, folder, options.jobs, say)
        finally:
            write_json(out, found.document())
    except HostError as error:
        return error.code
    document = found.document()
    for line in found.failures:
        say(line)
    say(f"{document['layers']} of {document['model_layers']} layers, {document['products']} products: "
        f"{document['words']} words, {document['mismatches']} differ; {document['cycles']} cycles, "
        f"{document['timed_beats']} beats, {document['cycle_differences']} in another cycle; "
        f"{document['event_differences']} event differences; {document['wall_s']:.0f} s: {out}")
    return exits.FOUND if found.failures or not found.whole else exits.OK
