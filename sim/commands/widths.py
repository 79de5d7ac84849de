"""`stamp-hw widths`: what each width of the hardware costs against float STaMP."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import HardwareOptions, add_hardware, check_apart, check_writable, progress_line
from stamp_hw.cli.show import show


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(HardwareOptions):
    """What the command line asks for."""

    trace: Path
    layers: str
    json: Path | None
    plot: Path | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Changes one width of the hardware, or one register of the job, at a time and compares the "
        "integer engine with the same job in float, on every layer that is transformed. "
        "docs/widths.md says how.")
    parser.add_argument("trace", type=Path, metavar="TRACE", help="a trace that `stamp-hw trace dump` wrote")
    add_hardware(parser)
    parser.add_argument("--layers", default="", metavar="REGEX", help="only layers whose name it is found in")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the picture (PNG)")
    runs(parser, Options, run)


def run(options: Options) -> int:
    """Measure, write, print."""
    from sim.studies import widths
    from stamp_hw.cli.layers import check_n_hi, chosen
    from stamp_hw.formats.files import finite, write_json
    from stamp_hw.formats.trace import Trace

    config = options.configuration()
    for path in (options.json, options.plot):
        if path is not None:
            check_writable(path, folder=False)
    check_apart({"the trace": options.trace, "--config": options.config},
                [("--json", options.json), ("--plot", options.plot)])
    progress = progress_line()
    try:
        with Trace.open(options.trace) as trace:
            names = chosen(trace, options.layers)
            check_n_hi(trace, config, names)
            layers = [trace.layer(name) for name in names]
        document = widths.document(widths.run(layers, config, progress), config)
    finally:
        progress("")
    if options.json is not None:
        write_json(options.json, finite(document))
    if options.plot is not None:
        from sim.studies import widths_plot

        widths_plot.write(document, options.plot)
    show(render(document))
    return 0


def render(document: dict[str, Any]) -> str:
    """A row a value, and the narrowest hardware that is wide enough."""
    from stamp_hw.text import align, shorten

    config = {**document["config"]["hw"], **document["config"]["job"]}
    config["n_hi"] = "1/32" if config["n_hi"] == "auto" else config["n_hi"]
    rows = []
    for row in document["rows"]:
        mark = " (configured)" if row["value"] == config[row["parameter"]] else ""
        rows.append((row["parameter"], f"{row['value']}{mark}",
                     *(f"{row[key]:.2f}" for key in ("sqnr_db", "engine_sqnr_db", "output_sqnr_db",
                                                     "engine_output_sqnr_db")),
                     f"{row['loss_db']:+z.3f}", f"{row['worst_loss_db']:+z.3f}", shorten(row["worst_layer"])))
    header = ("parameter", "value", "in dB", "engine", "out dB", "engine", "loss dB", "worst", "worst layer")
    limits = ", ".join(f"{name} {'–' if value is None else value}" for name, value in document["narrowest"].items())
    return "\n".join([
        align(header, rows, left=2), "",
        f"loss: float STaMP less the integer engine, at input or output, whichever is more; means over "
        f"{len(document['rows'][0]['layers'])} layers. Bit-accurate.",
        f"No layer loses more than {document['limit_db']} dB from these on: {limits}."])
