"""The peers' answers beside this project's: `make peers`."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from sim.cost import layer_cost
from sim.task import Shape
from sim.workload import file
from stamp_hw import schemes
from stamp_hw.config import NpuConfig
from stamp_hw.errors import StampError
from tb.peers import accelerator, ours
from tb.peers.cases import SEED, SIZES, TIMED, cases, count
from tb.peers.process import ask, command

SCHEMA_VERSION = 1
#: ZigZag's operand and level of memory → part of the energy; the registers come first, the external memory last.
_LEVELS = {("O", 0): "accumulate", ("I", 0): "activation_buffer", ("W", 0): "weight_buffer", ("O", 1): "output_buffer",
           ("I", 1): "dram_activations", ("W", 1): "dram_weights", ("O", 2): "dram_outputs"}
_LOG = logging.getLogger(__name__)


def measure(python: Path) -> dict[str, Any]:
    """The report: ratios of CPU seconds, what took them, SCALE-Sim's runs, and the layer product by product. Raises
    StampError where a run of SCALE-Sim differs from `sim.engine.compat`."""
    scale, zigzag = _scalesim(python), _zigzag(python)
    return {
        "schema_version": SCHEMA_VERSION, "version": metadata.version("stamp-hw"), "seed": SEED,
        "versions": {"scalesim": scale.pop("versions"), "zigzag": zigzag.pop("versions")},
        "sim_vs_scalesim": scale["cpu_s"] / scale["ours_cpu_s"],
        "sim_vs_zigzag": zigzag["cpu_s"] / zigzag["ours_cpu_s"],
        "cold_vs_scalesim": scale["cold_s"] / scale["ours_cold_s"],
        "cold_vs_zigzag": zigzag["cold_s"] / zigzag["ours_cold_s"], "scalesim": scale, "zigzag": zigzag}


def record(report: Mapping[str, Any]) -> dict[str, Any]:
    """Product and array → dataflow → cycles that SCALE-Sim reported, and where they are from."""
    runs: dict[str, dict[str, int]] = {}
    for run in (*report["scalesim"]["runs"], report["scalesim"]["timed"] | {"cycles": report["scalesim"]["cycles"]}):
        runs.setdefault("x".join(str(run[name]) for name in SIZES), {})[run["dataflow"]] = run["cycles"]
    return {"source": "Total Cycles of SCALE-Sim, by make peers", "versions": report["versions"]["scalesim"],
            "seed": report["seed"], "order": " x ".join(SIZES), "runs": runs}


def _scalesim(python: Path) -> dict[str, Any]:
    """The drawn products in one process, the timed one in a process of its own."""
    asked = cases()
    _LOG.info("SCALE-Sim: %d runs", len(asked))
    answer, _ = ask(python, "run_scalesim.py", asked)
    runs = [case | {"cycles": run["cycles"]} for case, run in zip(asked, answer["runs"], strict=True)]
    _check(runs)
    _LOG.info("SCALE-Sim: %s, half a minute or more", _named(TIMED))
    timed, cold = ask(python, "run_scalesim.py", [TIMED])
    (run,) = timed["runs"]
    _check([TIMED | {"cycles": run["cycles"]}])
    config, energy_set = ours.configured()
    shape = Shape(name="", tokens=TIMED["m"], k=TIMED["k"], n=TIMED["n"])
    config = replace(config, hw=replace(config.hw, rows=TIMED["rows"], cols=TIMED["cols"]))
    product = [(shape.name, shape.tokens, shape.k, shape.n)]
    return {
        "versions": answer["versions"], "timed": TIMED, "cycles": run["cycles"], "cpu_s": run["cpu_s"], "cold_s": cold,
        "engine_cycles": layer_cost.cost(shape, config, energy_set).cycles.total,
        "ours_cpu_s": ours.seconds(lambda: ours.costs(product, config, energy_set)),
        "count_cpu_s": ours.seconds(lambda: count(TIMED)),
        "ours_cold_s": command("simulate", "--shape", f"{shape.tokens}x{shape.k}x{shape.n}", "--config",
                               str(ours.CONFIG), "--schemes", ours.SCHEME),
        "runs": runs}


def _zigzag(python: Path) -> dict[str, Any]:
    """The layer's products, all in one process."""
    config, energy_set = ours.configured()
    products = ours.products()
    _LOG.info("ZigZag: the %d products of a layer of %s, a quarter of a minute or more", len(products), ours.MODEL)
    answer, cold = ask(python, "run_zigzag.py", {
        "accelerator": accelerator.accelerator(config.hw, energy_set), "mapping": accelerator.mapping(config.hw),
        "workload": accelerator.workload(products, config.hw), "opt": accelerator.OPT,
        "lpf_limit": accelerator.LPF_LIMIT})
    theirs = {found["name"]: _theirs(found, config, energy_set) for found in answer["products"]}
    own = {name: ours.figures(cost) | {"super_tiles": {"count": cost.cycles.super_tiles}}
           for name, cost in ours.costs(products, config, energy_set).items()}
    stamp = ours.costs(products, schemes.configure("stamp", NpuConfig.load(ours.CONFIG)), energy_set)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.yaml"
        with path.open("w", encoding="utf-8") as stream:
            file.write(ours.layer(), stream)
        ours_cold = command("simulate", "--model", str(path), "--config", str(ours.CONFIG), "--schemes", ours.SCHEME)
    return {
        "versions": answer["versions"], "cpu_s": answer["cpu_s"], "cold_s": cold, "model": ours.MODEL,
        "tokens": ours.TOKENS, "opt": accelerator.OPT, "lpf_limit": accelerator.LPF_LIMIT,
        "ours_cpu_s": ours.seconds(lambda: ours.costs(products, config, energy_set)), "ours_cold_s": ours_cold,
        "products": {name: {"m": m, "k": k, "n": n, "ours": own[name], "zigzag": theirs[name]}
                     for name, m, k, n in products},
        "total": {"ours": ours.summed(list(own.values())), "zigzag": ours.summed(list(theirs.values())),
                  "ours_stamp": ours.summed([ours.figures(cost) for cost in stamp.values()])}}


def _theirs(found: Mapping[str, Any], config: NpuConfig, energy_set: Any) -> dict[str, Any]:
    """ZigZag's figures of a product in the form of `ours.figures`."""
    energy = {"multiply": found["mac_pj"], **{part: found["memory_pj"][operand][level]
                                             for (operand, level), part in _LEVELS.items()}}
    bits, pj = accelerator.dram_bits(config.hw), accelerator.dram_pj(config.hw, energy_set)
    moved = {operand: round(energy[f"dram_{operand}"] / pj) * bits // 8
             for operand in ("weights", "activations", "outputs")}
    return {"cycles": found["cycles"], "dram_bytes": moved | {"total": sum(moved.values())},
            "energy_pj": energy | {"total": found["total_pj"]}}


def _check(runs: list[dict[str, Any]]) -> None:
    """Raise StampError for the first run that is not what `sim.engine.compat` says."""
    for run in runs:
        if run["cycles"] != count(run):
            raise StampError("SCALE-Sim counts other cycles", where=_named(run), got=run["cycles"],
                             expected=str(count(run)))


def _named(case: Mapping[str, Any]) -> str:
    return f"{case['m']}x{case['k']}x{case['n']} on {case['rows']} x {case['cols']}, {case['dataflow']}"
