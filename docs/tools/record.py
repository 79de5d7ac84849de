"""Take the reports that runs have left in build/ into docs/results: `python -m docs.tools.record` (`make results`).

A report is taken when it is there, whole, and not older than its record; else the record stays, and a line says why.
What had no report when it was recorded says so (`recorded` in the file), until a run leaves one.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from docs.tools.results import RECORDS, ROOT
from stamp_hw.cli.main import main as stamp_hw
from stamp_hw.formats.files import write_json

BUILD = ROOT / "build"
KEPT = ("average_bits", "sqnr_db", "output_sqnr_db", "cycles", "tokens_per_s", "utilization")  # of a scheme's totals
SCHEMES = ("a8", "a4", "first_n", "stamp", "stamp_shuffled")
LLAMA = "models/traces/llama_small.safetensors"
PIXART = "models/traces/pixart_small.safetensors"
GRID = "attn1|attn2.to_(q|out)|ff|proj_out"  # the layers of the small PixArt that see the grid
TEXT = "--model models/llama_small --text models/llama_small/heldout.txt"
STATIC = " --calibration models/llama_small/calibration.txt"
PROMPTS = "--model models/pixart_small --prompts prompts.txt --size 32 --guidance 3"
W8 = " --config W8.yaml"
LENGTHS = (32, 64, 128, 256, 512, 1024, 2048)
SHAPES = tuple(word for tokens in LENGTHS for word in ("--shape", f"{tokens}x192x192"))
COLUMNS = 66  # of a table that a page shows; those to the right are left out
SIMULATED = {"measured": "SQNR, by the bit-accurate model",
             "modelled": "cycles, by the cycle model that equals the RTL beat for beat (the external memory's rate is "
                         "modelled); energy, with 45 nm constants from the literature"}
_LOG = logging.getLogger(__name__)


class NotTakenError(Exception):
    """A report is of a part of what its record holds, or older than it."""


def whole(is_whole: bool, lacks: str) -> None:
    if not is_whole:
        raise NotTakenError(lacks)


def simulation(report: Mapping[str, Any]) -> dict[str, Any]:
    """Totals of every scheme, and the hardware and layers that they are of."""
    totals, (first, *_) = report["totals"], report["layers"].values()
    hw, base = report["config"]["hw"], totals["a4"]
    found: dict[str, Any] = {
        "rows": hw["rows"], "cols": hw["cols"], "mhz": hw["freq_hz"] / 1e6, "layers": report["linear_layers"],
        "model_layers": report["model_linear_layers"], "tokens": base["tokens"], "n_hi": first["stamp"]["n_hi"],
        "n_hi_one_in": base["tokens"] // first["stamp"]["n_hi"], "mproducts": base["macs"] / 1e6,
        "order_db": totals["stamp"]["sqnr_db"] - totals["stamp_shuffled"]["sqnr_db"],
        "gain_db": totals["stamp"]["sqnr_db"] - totals["first_n"]["sqnr_db"],
        "energy_over_first_n": totals["stamp"]["energy_pj"] / totals["first_n"]["energy_pj"] - 1}
    for scheme in SCHEMES:
        total = totals[scheme]
        found[scheme] = {key: total[key] for key in KEPT}
        found[scheme] |= {"energy_uj": total["energy_pj"] / 1e6, "cycles_ratio": total["cycles"] / base["cycles"],
                          "energy_ratio": total["energy_pj"] / base["energy_pj"]}
    return found


def lengths(report: Mapping[str, Any]) -> dict[str, Any]:
    """Cycles of `first_n` and `stamp` over those of `a4`, by the number of tokens."""
    whole(len(report["layers"]) == len(LENGTHS), f"{len(report['layers'])} of {len(LENGTHS)} lengths")
    return {f"tokens_{layer['a4']['tokens']}": {"a4": layer["a4"]["cycles"],
                                                    "first_n": layer["first_n"]["cycles"] / layer["a4"]["cycles"],
                                                    "stamp": layer["stamp"]["cycles"] / layer["a4"]["cycles"]}
            for layer in report["layers"].values()}


def widths(report: Mapping[str, Any]) -> dict[str, Any]:
    """The loss at the widths of the default hardware, and the narrowest that lose nothing."""
    (row,) = (row for row in report["rows"] if row["parameter"] == "in_width" and row["value"] == 16)
    return {"limit_db": report["limit_db"], "narrowest": report["narrowest"],
            **{key: row[key] for key in ("loss_db", "worst_loss_db", "worst_layer")}}


def throughput(report: Mapping[str, Any]) -> dict[str, Any]:
    """Utilization and the time that the array waits, in steady state."""
    steady = {name: row for name, row in report.items() if name.endswith((" bits", "STaMP"))}
    return {"least_utilization": min(row["utilization"] for row in steady.values()),
            "int4_over_int8": report["8 x 8, 8 bits"]["total"] / report["8 x 8, 4 bits"]["total"],
            "share": report["transform's share"]["share"]}


def synth(report: Mapping[str, Any]) -> dict[str, Any]:
    """Cells of the engine, and the part that STaMP adds."""
    top = report["tops"]["stamp_engine"]
    return {"share": top["transform_share"], **{key: report["hw"][key] for key in ("rows", "cols", "lanes")},
            **{key.lower(): top["total"][key] for key in ("LUT", "FF", "MULT18X18D", "DP16KD")}}


def coverage(report: Mapping[str, Any]) -> dict[str, Any]:
    """Points of each block and words that its bench compared, and the sums."""
    whole(len(report["blocks"]) == 6 and not report["errors"], f"blocks {', '.join(report['blocks'])}")
    found = {name: {"points": block["line"] + block["branch"], "waived": block["waived"],
                    "port_toggles": block["port_toggles_hit"] / block["port_toggles"], "ports": block["port_toggles"],
                    "words": block["words"], "cycles": block["cycles"]} for name, block in report["blocks"].items()}
    found["all"] = {key: sum(block[key] for block in found.values()) for key in ("points", "waived", "words", "cycles")}
    found["most_waived"] = max(block["waived"] / block["points"] for block in found.values())
    return found


def mutate(report: Mapping[str, Any]) -> dict[str, Any]:
    """Mutants of each unit and of all."""
    whole(len(report["units"]) == 8 and not report["errors"], f"units {', '.join(report['units'])}")
    keys = ("mutants", "killed", "equivalent", "survived", "score")
    units = report["units"] | {"all": report["total"]}
    found = {name: {key: unit[key] for key in keys} for name, unit in units.items()}
    found["all"]["matter"] = found["all"]["mutants"] - found["all"]["equivalent"]
    return found


def formal(report: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """How many properties are proved for runs of any length, and for how many cycles the others hold."""
    from tb.formal.table import PROPERTIES

    verdicts = list(report)
    whole(len(verdicts) == len(PROPERTIES), f"{len(verdicts)} of {len(PROPERTIES)} properties")
    whole(not any(verdict["wrong"] or verdict["broken"] for verdict in verdicts), "some property does not hold")
    return {"properties": len(verdicts), "induction": sum(verdict["proved"] for verdict in verdicts),
            "bounded_count": sum(not verdict["proved"] for verdict in verdicts),
            "bounded": {verdict["name"]: verdict["depth"] for verdict in verdicts if not verdict["proved"]},
            "minutes": sum(verdict["seconds"] for verdict in verdicts) / 60}


def regress(report: Mapping[str, Any]) -> dict[str, Any]:
    """The deep regression's sums."""
    whole(report["cases"] >= 500 and report["flushes"] >= 1000, f"{report['cases']} cases, {report['flushes']} flushes")
    return {key: value for key, value in report.items() if key not in ("seed", "seconds")}


def evaluation(report: Mapping[str, Any]) -> dict[str, Any]:
    """KL divergence with its standard error, or SQNR of the picture, of every scheme that ran."""
    rows = {row["scheme"]: row for row in report["rows"]}
    whole({"a4", "first_n", "stamp"} <= set(rows), f"schemes {', '.join(rows)}")
    if report["kind"] == "images":
        return {"prompts": len(report["prompts"]), **{
            name: {"picture_sqnr_db": row["picture_sqnr_db"]} for name, row in rows.items() if name != "float"}}
    whole(report["windows"] == 32, f"{report['windows']} of 32 windows")
    return {"tokens": report["tokens"], **{
        name: {"kl": row["kl"], "kl_error": row["kl_error"]} for name, row in rows.items() if name != "float"}}


def fpga(report: Mapping[str, Any]) -> dict[str, Any]:
    """Clock rates of the seeds that were placed, and the slowest path of the best one."""
    seeds = report["seeds"]
    whole(len(seeds) >= 3, f"{len(seeds)} of 3 seeds")
    return {"best_mhz": report["fmax_mhz"]["best"], "median_mhz": report["fmax_mhz"]["median"], "seeds": len(seeds)}


def bench(report: Mapping[str, Any]) -> dict[str, Any]:
    """Ratios, and the rates that they are of; a document's may be a range, so that each is a list."""
    return {key: [value] for key, value in report.items() if "_vs_" in key or key.endswith("_cycles_per_s")}


#: Record → its report in build/, the command that makes that, what its figures are, and how they are taken.
REPORTS: dict[str, tuple[str, str, dict[str, str], Callable[[Any], dict[str, Any]]]] = {
    "llama_small": ("results/llama_small.json", f"stamp-hw simulate {LLAMA}", SIMULATED, simulation),
    "pixart_small": ("results/pixart_small.json", f"stamp-hw simulate {PIXART} --layers '{GRID}'", SIMULATED,
                     simulation),
    "lengths": ("results/lengths.json", f"stamp-hw simulate {' '.join(SHAPES)}",
                {"modelled": SIMULATED["modelled"].partition(";")[0]}, lengths),
    **{f"eval_llama{end}": (f"eval/llama{end}.json", f"stamp-hw eval {TEXT}{options}", {
        "measured": "the running model, every linear layer on the bit-accurate engine" if not end.endswith("kv") else
                    "the running model, its float layers reading quantized keys and values"}, evaluation)
       for end, options in (("", STATIC), ("_hadamard", f"{STATIC} --rotate hadamard"), ("_kv", " --kv"))},
    **{f"eval_pixart{end}": (f"eval/pixart{end}.json", f"stamp-hw eval {PROMPTS}{options}", {
        "measured": "pictures of the running model, every linear layer on the bit-accurate engine"}, evaluation)
       for end, options in (("", ""), ("_w8", W8), ("_w8_hadamard", f"{W8} --rotate hadamard"))},
    "widths_llama": ("widths_llama.json", f"stamp-hw widths {LLAMA}", {"measured": "by both models"}, widths),
    "widths_pixart": ("widths_pixart.json", f"stamp-hw widths {PIXART}", {"measured": "by both models"}, widths),
    "throughput": ("throughput.json", "make throughput", {"modelled": "by the cycle model that equals the RTL"},
                   throughput),
    "synth_fpga": ("synth.json", "stamp-hw synth --config configs/fpga.yaml",
                   {"gate-level": "cells that Yosys counts, before place and route"}, synth),
    "synth_16": ("synth16.json",
                 "stamp-hw synth --config configs/fpga.yaml --hw rows=16 --hw cols=16 --hw lanes=16",
                 {"gate-level": "cells that Yosys counts, before place and route"}, synth),
    "fpga": ("fpga.json", "make fpga", {"gate-level": "timing of nextpnr, after place and route"}, fpga),
    "coverage": ("coverage.json", "make coverage", {"RTL-simulated": "all"}, coverage),
    "mutate": ("mutate.json", "make mutate", {"RTL-simulated": "killed and survived",
                                              "gate-level": "equivalent, proved on the netlist"}, mutate),
    "formal": ("formal.json", "make formal", {"gate-level": "proved on the elaborated Verilog"}, formal),
    "regress": ("regress.json", "make regress", {"RTL-simulated": "all"}, regress),
    "bench": ("bench.json", "make bench", {"measured": "ratios on one machine"}, bench),
}
#: What README.md shows of a command's output: the command, its lines, what their figures are.
PRINTED = {
    "printed_simulate": (("simulate", LLAMA), slice(1, 8), SIMULATED),
    "printed_verify": (("verify", "--block", "rescale", "--set", "four", "--seed", "1", "--words", "20000"),
                       slice(0, 4), {"RTL-simulated": "all"}),
}
#: Reports that take seconds, and so are made each time.
QUICK = {
    "llama_small": ("simulate", LLAMA),
    "pixart_small": ("simulate", PIXART, "--layers", GRID),
    "lengths": ("simulate", *SHAPES),
}


def day_of(report: Path) -> str:
    return date.fromtimestamp(report.stat().st_mtime).isoformat()


def recorded_on(name: str) -> str:
    """The day of a record's run; before every day where there is no record."""
    path = RECORDS / f"{name}.json"
    return str(json.loads(path.read_text(encoding="utf-8"))["date"]) if path.is_file() else ""


def record(name: str, report: Path, command: str, provenance: Mapping[str, str], figures: Mapping[str, Any],
           seed: int | None) -> None:
    """Write a record, with the day on which its report was written."""
    write_json(RECORDS / f"{name}.json", {"command": command, "date": day_of(report), "provenance": dict(provenance),
                                          **({} if seed is None else {"seed": seed}), "figures": dict(figures)})


def printed(*words: str) -> list[str]:
    """The lines that a command prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = stamp_hw(words)
    assert code == 0, f"stamp-hw {' '.join(words)} ended with {code}"
    return out.getvalue().splitlines()


def reproducible(lines: list[str]) -> list[str]:
    """The left part of a table, without the column of run times and what is behind it."""
    end = max(line.find("seconds") for line in lines)
    return [line[:end if end >= 0 else COLUMNS].rstrip() for line in lines]


def record_printed() -> None:
    """The first lines of README.md's two commands, as `printed_simulate` and `printed_verify`."""
    for name, (words, lines, provenance) in PRINTED.items():
        text = "\n".join(reproducible(printed(*words)[lines]))
        write_json(RECORDS / f"{name}.json", {
            "command": f"stamp-hw {' '.join(words)}", "date": date.today().isoformat(), "provenance": provenance,
            "figures": {"text": text}})


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    for name, words in QUICK.items():
        printed(*words, "--json", str(BUILD / REPORTS[name][0]))
    for name, (file, command, provenance, take) in REPORTS.items():
        report = BUILD / file
        if not report.is_file():
            _LOG.info("%s: as recorded; no %s", name, report.relative_to(ROOT))
            continue
        document = json.loads(report.read_text(encoding="utf-8"))
        try:
            whole(day_of(report) >= recorded_on(name), f"is older than the record, {recorded_on(name)}")
            figures = take(document)
        except NotTakenError as error:
            _LOG.info("%s: as recorded; %s: %s", name, report.relative_to(ROOT), error)
            continue
        seed = document.get("seed") if isinstance(document, dict) else None
        record(name, report, command, provenance, figures, seed)
        _LOG.info("%s: taken from %s", name, report.relative_to(ROOT))
    record_printed()


if __name__ == "__main__":
    main()
