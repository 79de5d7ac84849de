"""The figures of a record out of the report of a run: `docs.tools.record` takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.commands import eval_table
from sim.cost.energy import load
from stamp_hw.text import align
from tb.mutate.units import UNITS
from tb.run.blocks import blocks

KEPT = ("average_bits", "sqnr_db", "output_sqnr_db", "cycles", "tokens_per_s", "utilization")  # of a scheme's totals
SCHEMES = ("a8", "a4", "first_n", "stamp", "stamp_shuffled")
LENGTHS = (32, 64, 128, 256, 512, 1024, 2048)
SMALL_KL = 0.5  # nats a token, below which an expected divergence is compared with the measured one
#: Tests that draw cases and compare them with the scalar reference.
REFERENCE_TESTS = {f"test_{name}.py" for name in ("golden", "golden_linear", "golden_product", "hadamard",
                                                  "hadamard_linear", "outliers", "engine_streams")}
TABLE = 160  # columns at which a table of `eval` would be folded


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


def shape(report: Mapping[str, Any]) -> dict[str, Any]:
    """Of one layer without data: what its cycles are spent on, as parts of one, the bottleneck, the ratio to `a4`."""
    (schemes,) = report["layers"].values()
    return {name: {"bottleneck": one["bottleneck"], "cycles_ratio": one["cycles"] / schemes["a4"]["cycles"],
                   **{part: cycles / one["cycles"] for part, cycles in one["cycles_by_part"].items()}}
            for name, one in schemes.items()}


def mapping(report: Mapping[str, Any]) -> dict[str, Any]:
    """Of one layer without data: what its super-tiles cost, and what a search says of its 8-bit tokens."""
    (schemes,) = report["layers"].values()
    return {name: {"cycles": one["cycles"], "cycles_ratio": one["cycles"] / schemes["a4"]["cycles"],
                   "super_tiles": one["super_tiles"], "energy_mj": one["energy_pj"] / 1e9,
                   "dram_mb": one["dram_bytes"] / 1e6, "n_hi": one["n_hi"], **one.get("mapping", {})}
            for name, one in schemes.items()}


def block_scales(report: Mapping[str, Any]) -> dict[str, Any]:
    """Form and size of a block → mean SQNR of the layers, bits of scales a value, bits that meet a block's sum."""
    return {f"{row['form']}{row['size'] or ''}": {key: row[key] for key in ("sqnr_db", "bits", "operand")}
            for row in report["rows"]}


def small_banks(report: Mapping[str, Any]) -> dict[str, Any]:
    """Of a layer on each configuration, as rows of a table: energy of the on-chip memories and of all, as they are and
    with no bank below the price of the first point; and each layer's part more."""
    rows = report["rows"]
    keys = ("memories_fj", "total_fj", "held_memories_fj", "held_total_fj")
    return {"table": "\n".join(f"| `configs/{row['config']}.yaml`, {row['shape']} | "
                               + " | ".join(f"{row[key] / 1e9:,.1f} µJ" for key in keys) + " |" for row in rows),
            **{row["config"]: {"more": row["held_total_fj"] / row["total_fj"] - 1} for row in rows}}


def decode(report: Mapping[str, Any]) -> dict[str, Any]:
    """`e` and the entry rows, or `b` and the sequences side by side → that point of the study."""
    rows = report["rows"]
    several = [row for row in rows if row["energy_j"] is None]
    return ({f"e{row['entries']}": row for row in several}
            | {f"b{row['batch']}": row for row in rows if row not in several})


def cycles(report: Mapping[str, Any]) -> dict[str, Any]:
    """Of one layer without data: its cycles under STaMP."""
    (schemes,) = report["layers"].values()
    return {"cycles": schemes["stamp"]["cycles"]}


def widths(report: Mapping[str, Any]) -> dict[str, Any]:
    """The loss at each width, at those of the default hardware, and the narrowest that lose nothing; `of_registers` is
    the worst layer's under any value of a register, `symmetric_db` what symmetric scales lose in float."""
    rows = {(row["parameter"], row["value"]): row for row in report["rows"]}
    found: dict[str, Any] = {"limit_db": report["limit_db"], "narrowest": report["narrowest"]}
    found |= {key: rows["in_width", 16][key] for key in ("loss_db", "worst_loss_db", "worst_layer")}
    for parameter in ("in_width", "recip_frac", "z_frac"):
        found[parameter] = {f"is_{value}": {"loss_db": row["loss_db"], "worst_db": row["worst_loss_db"],
                                            "left_db": report["limit_db"] - row["worst_loss_db"]}
                            for (name, value), row in rows.items() if name == parameter}
    found["of_registers"] = max(row["worst_loss_db"] for (name, _), row in rows.items()
                                if name in ("scale_mode", "n_hi", "levels"))
    found["symmetric_db"] = rows["scale_mode", "minmax"]["sqnr_db"] - rows["scale_mode", "symmetric"]["sqnr_db"]
    found["layers"] = len(rows["in_width", 16]["layers"])
    return found


def eight_bits(report: Mapping[str, Any]) -> dict[str, Any]:
    """The loss where every token has 8 bits."""
    (row,) = (row for row in report["rows"] if row["parameter"] == "in_width" and row["value"] == 16)
    losses = sorted(row["layers"].values())
    return {**{key: row[key] for key in ("loss_db", "worst_loss_db", "output_sqnr_db")},
            "worst_layer": row["worst_layer"].removeprefix("model.layers."), "next_worst_db": losses[-2]}


def cells(report: Mapping[str, Any]) -> dict[str, Any]:
    """LUTs and flip-flops of the scale unit."""
    total = report["tops"]["stamp_scale"]["total"]
    return {"lut": total["LUT"], "ff": total["FF"], "lanes": report["hw"]["lanes"]}


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


def asic(report: Mapping[str, Any]) -> dict[str, Any]:
    """Every block's figures and a table of them; parts of the area; a PE's steps beside their arithmetic alone."""
    blocks = report["blocks"]
    lacks = {"lifting", "scale", "pe", "array", "rescale", "inverse", "finish", "control"} - set(blocks)
    whole(not lacks, f"blocks {', '.join(sorted(lacks))}")
    element, area = blocks["pe"], report["engine"]["area_um2"]
    eight, four = (element["idle_pj"] + element["energy_pj"][f"mac.step{bits}"] for bits in (8, 4))
    arithmetic = load("horowitz45").constants
    multiply, add = (arithmetic[name].at(0) for name in ("mac.multiply", "mac.add"))
    columns = (("area_um2", ",.0f"), ("gate_equivalents", ",.0f"), ("flip_flops", ","), ("clock_mhz", ".0f"),
               ("leakage_uw", ",.4g"), ("idle_pj", ".2f"), ("busy_pj", ".2f"))
    rows = [f"| {name} | {' | '.join(format(one[key], form) for key, form in columns)} |"
            for name, one in blocks.items()]
    return {**blocks, "table": "\n".join(rows), "mm2": area / 1e6, "wire_ff": report["wire_ff"],
            "slew_ns": report["slew_ns"], "fanout": report["fanout"],
            "pe_share": element["count"] * element["area_um2"] / area,
            "stamp_share": sum(blocks[name]["area_um2"] for name in ("lifting", "scale", "inverse")) / area,
            "sta_off": 100 * abs(element["path_ps"] / element["sta_ps"] - 1) if element["sta_ps"] else None,
            "step8_pj": eight, "step4_pj": four, "clock_share": element["clock_pj"] / eight,
            "horowitz8_pj": multiply + add, "horowitz4_pj": multiply + 2 * add}


def asic_checked(report: Mapping[str, Any]) -> dict[str, Any]:
    """The same, and how well its prices hold on layers that they were not fitted on."""
    return asic(report) | held(report["blocks"], report["engine"])


def held(blocks: Mapping[str, Any], engine: Mapping[str, Any]) -> dict[str, Any]:
    """What is charged for layers that no price has seen over what their gates took, less one: a table of the least and
    the largest of each block, and of the small engine; the worst of all blocks."""
    whole(all(one.get("errors") for one in blocks.values()) and "checked" in engine, "--check of blocks and engine")
    checked = engine["checked"]
    rows = [_ends(name, one["errors"]) for name, one in blocks.items()]
    rows.append(_ends(f"engine of {checked['hw']['rows']} × {checked['hw']['cols']}, whole", checked["errors"]))
    worst = max(blocks, key=lambda name: blocks[name]["energy_error"])
    run = max(blocks[worst]["errors"], key=lambda error: abs(error["following"]))["run"]
    return {"held": "\n".join(rows), "worst": blocks[worst]["energy_error"], "worst_block": worst, "worst_run": run,
            "worst_mean": max(abs(error["mean"]) for one in blocks.values() for error in one["errors"]),
            "engine_worst": engine["energy_error"], "layers": len(checked["errors"]),
            "follows": "\n".join(f"| {name} | {_prices(one['follows_pj'])} |" for name, one in blocks.items())}


def _ends(name: str, errors: Sequence[Mapping[str, Any]]) -> str:
    spans = [[100 * found for found in (min(values), max(values))]
             for values in ([error[key] for error in errors] for key in ("mean", "following"))]
    return f"| {name} | {' | '.join(f'{low:+.1f} … {high:+.1f} %' for low, high in spans)} |"


def _prices(prices: Mapping[str, float]) -> str:
    return ", ".join(f"{key} {price:.3g}" for key, price in prices.items())


def coverage(report: Mapping[str, Any]) -> dict[str, Any]:
    """Points of each block and words that its bench compared, the sums, and how long the run took."""
    whole(set(report["blocks"]) == set(blocks()) and not report["errors"], f"blocks {', '.join(report['blocks'])}")
    found = {name: {"points": block["line"] + block["branch"], "waived": block["waived"],
                    "port_toggles": block["port_toggles_hit"] / block["port_toggles"], "ports": block["port_toggles"],
                    "words": block["words"], "cycles": block["cycles"]} for name, block in report["blocks"].items()}
    found["all"] = {key: sum(block[key] for block in found.values()) for key in ("points", "waived", "words", "cycles")}
    most = max(block["waived"] / block["points"] for block in found.values())
    return {**found, "most_waived": most, "minutes": minutes(report)}


def mutate(report: Mapping[str, Any]) -> dict[str, Any]:
    """Mutants of each unit and of all."""
    whole(len(report["units"]) == len(UNITS) and not report["errors"], f"units {', '.join(report['units'])}")
    keys = ("mutants", "killed", "equivalent", "survived", "score")
    units = report["units"] | {"all": report["total"]}
    found = {name: {key: unit[key] for key in keys} for name, unit in units.items()}
    found["all"]["matter"] = found["all"]["mutants"] - found["all"]["equivalent"]
    return {**found, "minutes": minutes(report)}


def minutes(report: Mapping[str, Any]) -> float:
    """How long a processor took for a run."""
    return float(report["seconds"]) / 60


def formal(report: Mapping[str, Any]) -> dict[str, Any]:
    """How many properties are proved for runs of any length, and for how many cycles the others hold."""
    from tb.formal.table import PROPERTIES

    verdicts = report["properties"]
    whole(len(verdicts) == len(PROPERTIES), f"{len(verdicts)} of {len(PROPERTIES)} properties")
    whole(not any(verdict["wrong"] or verdict["broken"] for verdict in verdicts), "some property does not hold")
    return {"properties": len(verdicts), "induction": sum(verdict["proved"] for verdict in verdicts),
            "bounded_count": sum(not verdict["proved"] for verdict in verdicts),
            "bounded": {verdict["name"]: verdict["depth"] for verdict in verdicts if not verdict["proved"]},
            "minutes": sum(verdict["seconds"] for verdict in verdicts) / 60}


def faults(report: Mapping[str, Any]) -> dict[str, Any]:
    """How many faults were seeded, where, and caught."""
    from tb.faults import blocks, table

    seeded = report["faults"]
    count = sum(len(table(block)) for block in blocks())
    whole(len(seeded) == count, f"{len(seeded)} of {count} faults")
    of = {block: sum(one["block"] == block for one in seeded) for block in ("engine", "axi")}
    return {"faults": count, "caught": sum(one["caught"] for one in seeded), **of, "blocks": count - sum(of.values()),
            "minutes": minutes(report)}


def regress(report: Mapping[str, Any]) -> dict[str, Any]:
    """The deep regression's sums."""
    whole(report["cases"] >= 500 and report["flushes"] >= 1000, f"{report['cases']} cases, {report['flushes']} flushes")
    return {key: value for key, value in report.items() if key not in ("seed", "seconds")}


def reference(report: Mapping[str, Any]) -> dict[str, Any]:
    """Drawn cases that were equal to the scalar reference, and how many of them were whole layers."""
    missing = REFERENCE_TESTS - {test.partition("::")[0].rpartition("/")[2] for test in report["tests"]}
    whole(not missing, f"no case of {', '.join(sorted(missing))}")
    return {"cases": report["cases"] + report["layers"], "layers": report["layers"]}


def prefill(report: Mapping[str, Any]) -> dict[str, Any]:
    """Sums over all layers of a model's prefill in the RTL, and over its first block, chained."""
    whole(report["layers"] == report["model_layers"] and report["chained"] is not None,
          f"{report['layers']} of {report['model_layers']} layers")
    whole(not report["failures"], "a layer differs")
    sums = ("products", "words", "mismatches", "timed_beats", "cycles", "cycle_differences", "event_differences")
    return {**{name: report[name] for name in ("tokens", "layers", "jobs", *sums, "perplexity", "float_perplexity")},
            "wall_min": report["wall_s"] / 60, "cpu_min": report["rtl_cpu_s"] / 60,
            "cycles_per_cpu_s": report["cycles"] / report["rtl_cpu_s"],
            "chained": {name: report["chained"][name] for name in ("layers", "inputs", "equal_inputs", *sums)}}


def evaluation(report: Mapping[str, Any]) -> dict[str, Any]:
    """KL divergence with its standard error, or SQNR of the picture, of every scheme that ran."""
    rows = {row["scheme"]: row for row in report["rows"]}
    whole({"a4", "first_n", "stamp"} <= set(rows), f"schemes {', '.join(rows)}")
    whole(report["kind"] == "images" or report["windows"] == 32, f"{report.get('windows')} of 32 windows")
    return rows_of(report)


def rows_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """The same of the schemes that there are, and the table as it is printed."""
    rows = {row["scheme"]: row for row in report["rows"]}
    found: dict[str, Any] = {"table": eval_table.table(report, TABLE)}
    if report["kind"] == "images":
        found["prompts"] = len(report["prompts"])
        if {"first_n", "stamp"} <= set(rows):
            found |= {name: rows["stamp"][key] - rows["first_n"][key]
                      for name, key in (("gain_db", "picture_sqnr_db"), ("layers_gain_db", "layer_sqnr_db"))}
        kept: tuple[str, ...] = ("latent_sqnr_db", "picture_sqnr_db", "layer_sqnr_db")
    else:
        found |= {"tokens": report["tokens"], "windows": report["windows"], "float": rows["float"]["perplexity"]}
        kept = ("perplexity", "kl", "kl_error", "layer_sqnr_db", "worst_sqnr_db", "x_saturated", "y_saturated",
                "average_bits")
    found |= {name: {key: row[key] for key in kept if key in row} for name, row in rows.items() if name != "float"}
    if report.get("cost"):
        seconds = report["cost"]["cpu_s_a_window"]
        found |= {"peak_mb": report["cost"]["peak_mb"], "float_s": seconds.get("float"),
                  "cpu": {name: seconds[name] / seconds["float"] for name in seconds}}
    if report["kind"] == "text":
        for name in rows.keys() - {"float"}:
            found[name]["perplexity_error"] = rows[name]["perplexity"] * rows[name]["loss_difference_error"]
    return found


def predictors(report: Mapping[str, Any]) -> dict[str, Any]:
    """Fits of every candidate, the ranges that they are over, and the configurations as a table."""
    rows = report["rows"]
    whole(len(rows) >= 12, f"{len(rows)} of 12 configurations")
    lines = [(row["set"], row["scheme"], f"{row['perplexity']:.1f}", f"{row['kl']:.2g}",
              f"{row['candidates']['by_token']:.2g}", f"{-row['candidates']['running_mean_db']:.1f}") for row in rows]
    ratios = sorted(row["candidates"]["by_token"] / row["kl"] for row in rows if row["kl"] < SMALL_KL)
    return {"configurations": len(rows), "windows": report["windows"], "length": report["length"],
            **{f"{end}_{key}": take(row[key] for row in rows) for key in ("kl", "perplexity")
               for end, take in (("least", min), ("most", max))},
            "least_ratio": ratios[0], "most_ratio": ratios[-1], "small": len(ratios), "small_kl": SMALL_KL,
            "fits": report["fits"],
            "table": align(("integers", "scheme", "perplexity", "KL", "expected", "layers dB"), lines, left=2,
                           width=TABLE)}


def fpga(report: Mapping[str, Any]) -> dict[str, Any]:
    """Clock rates of the seeds that were placed, and the slowest path of the best one."""
    seeds = report["seeds"]
    whole(len(seeds) >= 3, f"{len(seeds)} of 3 seeds")
    return {"best_mhz": report["fmax_mhz"]["best"], "median_mhz": report["fmax_mhz"]["median"], "seeds": len(seeds),
            "ff": report["cells"]["TRELLIS_FF"]["used"]}


def board(report: Mapping[str, Any]) -> dict[str, Any]:
    """A bitstream for a board: what it takes, and its clock."""
    whole("fmax_mhz" in report, "a simulation alone")
    cells = report["cells"]
    taken = {name: cells[kind]["used"] for name, kind in (
        ("luts", "TRELLIS_COMB"), ("ff", "TRELLIS_FF"), ("ebr", "DP16KD"), ("dsp", "MULT18X18D"))}
    there = {f"{name}_there": cells[kind]["available"] for name, kind in (
        ("luts", "TRELLIS_COMB"), ("ebr", "DP16KD"), ("dsp", "MULT18X18D"))}
    return {**{name: report[name] for name in ("mhz", "fmax_mhz", "met", "seed")}, **taken, **there}


def board_said(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a simulated board runs, and what it says."""
    return {"layer": report["layer"], "cycles": report["cycles"], "text": "\n".join(report["said"])}


def bench(report: Mapping[str, Any]) -> dict[str, Any]:
    """Ratios, and the rates that they are of, what the process of a whole model takes, and what a sweep gives; a
    document's may be a range, so that each is a list."""
    return {key: [value] for key, value in report.items()
            if "_vs_" in key or key.endswith("_cycles_per_s") or key.startswith("llama3_8b_")
            or key in ("sweep_points_per_s", "sweep_two_workers")}
