"""Take the reports that runs have left in build/ into docs/results: `python -m docs.tools.record` (`make results`).

A report is taken when it is there, whole, and not older than its record; else the record stays, and a line says why.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from docs.tools import ablation, energy_sets, figures, peers, silicon, studies
from docs.tools.results import RECORDS, ROOT
from stamp_hw.cli.main import main as stamp_hw
from stamp_hw.formats.files import write_json

BUILD = ROOT / "build"
LLAMA = "models/traces/llama_small.safetensors"
PIXART = "models/traces/pixart_small.safetensors"
SMOLLM2_TRACE = "models/traces/smollm2.safetensors"
LANGUAGE = ("--config", "configs/language.yaml")
GRID = "attn1|attn2.to_(q|out)|ff|proj_out"  # the layers of the small PixArt that see the grid
TEXT = "--model models/llama_small --text models/llama_small/heldout.txt"
STATIC = " --calibration models/llama_small/calibration.txt --outliers off"
PROMPTS = "--model models/pixart_small --prompts prompts.txt --size 32 --guidance 3"
W8 = " --config W8.yaml"
SINK = f"--model build/sink --text models/llama_small/heldout.txt --schemes a4,stamp{W8}"
SMOLLM2 = ("--model smollm2 --text models/texts/alice.txt --sequences 3 --calibration models/texts/pride.txt"
           f"{W8}")
#: Float kernels of torch → the environment that chooses them; `avx512` is the machine's own choice.
KERNELS = {"avx512": "", "avx2": "ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 ",
           "sse4": "ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE "}
#: The same lengths of a layer of SmolLM2 on the engine of the language preset.
LANGUAGE_SHAPES = tuple(word for tokens in figures.LENGTHS for word in ("--shape", f"{tokens}x576x576"))
SHAPES = tuple(word for tokens in figures.LENGTHS for word in ("--shape", f"{tokens}x192x192"))
#: What a layer without data is asked for: an array that waits for its drain, a token that waits for weights, 64 tokens.
ASKED = {
    "shape_drain": ("--shape", "2048x4096x4096", "--config", "configs/npu32.yaml", "--hw", "rows=128", "--hw",
                    "cols=128", "--hw", "act_slots=4224", "--schemes", "a4"),
    "shape_dram": ("--shape", "1x4096x4096", "--config", "configs/npu32.yaml", "--hw", "dram_bytes_per_s=1e9",
                   "--schemes", "a4"),
    "shape_port": ("--shape", "1x4096x4096", "--config", "configs/npu32.yaml", "--hw", "memory=LPDDR5", "--schemes",
                   "a4"),
    "shape_32": ("--shape", "64x192x192", "--hw", "rows=32", "--hw", "cols=32"),
}
#: Super-tiles as large as they can be and searched for: a buffer that is no whole number of array tiles, one beyond the
#: limit of tokens, a few tokens with two of 8 bits.
MAPPED = {f"mapping_{name}": ("--config", "configs/npu32.yaml", *words.split()) for name, words in {
    "rows_64": "--shape 1024x4096x4096 --hw act_slots=64",
    "rows_72": "--shape 1024x4096x4096 --hw act_slots=72",
    "rows_72_searched": "--shape 1024x4096x4096 --hw act_slots=72 --mapping searched --objective cycles",
    "buffer_1056": "--shape 4096x4096x4096",
    "buffer_2112": "--shape 4096x4096x4096 --hw act_slots=2112",
    "buffer_2112_searched": "--shape 4096x4096x4096 --hw act_slots=2112 --mapping searched",
    "tokens_64": "--shape 64x4096x4096 --mapping searched",
}.items()}
#: What hardware may have beside the rest → its values in `configs/fpga.yaml`.
PARTS = {"blocks": "--hw block=64", "hadamard": "--hw hadamard=64", "packed": "--hw packed_weights=true"}
PARTS["all"] = " ".join(PARTS.values())
#: The job that uses it.
OF_PARTS = {"none": "", "blocks": "--hw block=64 --job group=64", "hadamard": "--hw hadamard=64",
            "packed": "--hw packed_weights=true --job weight_group=32",
            "all": f"{PARTS['all']} --job group=64 --job weight_group=32"}
PART_LAYER = "--shape 512x576x576 --config configs/fpga.yaml --schemes stamp"
SIMULATED = {"measured": "SQNR, by the bit-accurate model",
             "modelled": "cycles, by the cycle model that equals the RTL beat for beat (the external memory's rate is "
                         "modelled); energy, with 45 nm constants from the literature"}
_LOG = logging.getLogger(__name__)

#: Record → its report in build/, the command that makes that, what its figures are, and how they are taken.
REPORTS: dict[str, tuple[str, str, dict[str, str], Callable[[Any], dict[str, Any]]]] = {
    "llama_small": ("results/llama_small.json", f"stamp-hw simulate {LLAMA}", SIMULATED, figures.simulation),
    "pixart_small": ("results/pixart_small.json", f"stamp-hw simulate {PIXART} --layers '{GRID}'", SIMULATED,
                     figures.simulation),
    "smollm2_trace": ("demo/smollm2.json", f"stamp-hw simulate {SMOLLM2_TRACE} {' '.join(LANGUAGE)}",
                      SIMULATED, figures.simulation),
    "lengths": ("results/lengths.json", f"stamp-hw simulate {' '.join(SHAPES)}",
                {"modelled": SIMULATED["modelled"].partition(";")[0]}, figures.lengths),
    "lengths_language": ("results/lengths_language.json",
                         f"stamp-hw simulate {' '.join((*LANGUAGE_SHAPES, *LANGUAGE))}",
                         {"modelled": SIMULATED["modelled"].partition(";")[0]}, figures.lengths),
    **{name: (f"results/{name}.json", f"stamp-hw simulate {' '.join(words)}",
              {"modelled": SIMULATED["modelled"].partition(";")[0]}, figures.shape) for name, words in ASKED.items()},
    **{name: (f"results/{name}.json", f"stamp-hw simulate {' '.join(words)}",
              {"modelled": SIMULATED["modelled"]}, figures.mapping) for name, words in MAPPED.items()},
    **{f"eval_llama{end}": (f"eval/llama{end}.json", f"stamp-hw eval {TEXT}{options}", {
        "measured": "the running model, every linear layer on the bit-accurate engine" if not end.endswith("kv") else
                    "the running model, its float layers reading quantized keys and values"}, figures.evaluation)
       for end, options in (("", STATIC), ("_hadamard", f"{STATIC} --rotate hadamard"), ("_kv", " --kv"))},
    "eval_llama_kv16": ("eval/llama_kv16.json", f"stamp-hw eval {TEXT} --kv 16", {
        "measured": "the running model, its float layers reading quantized keys and values"}, figures.evaluation),
    "eval_llama_tuned": ("eval/llama_tuned.json",
                         f"stamp-hw eval {TEXT}{STATIC} --config build/tuned_llama.yaml --schemes stamp", {
                             "measured": "the running model, every linear layer on the bit-accurate engine"},
                         figures.rows_of),
    "eval_decode": ("eval/llama_decode.json",
                    f"stamp-hw eval {TEXT}{STATIC} --decode 64 --sequences 8 --schemes a4,first_n,stamp",
                    {"measured": "the running model, one token at a time"}, figures.rows_of),
    **{f"eval_sink_{end}": (f"eval/sink_{end}.json", f"stamp-hw eval {SINK}{options}", {
        "measured": "the running model, every linear layer on the bit-accurate engine"}, figures.rows_of)
       for end, options in (("in", " --outliers off"), ("out", ""))},
    **{f"smollm2{end}": (f"eval/smollm2{end}.json", f"stamp-hw eval {SMOLLM2}{options}", {
        "measured": "the running model, every linear layer on the bit-accurate engine"}, figures.rows_of)
       for end, options in (("_auto", ""), ("_first", " --schemes stamp --outliers 0"),
                            ("_off", " --schemes stamp --outliers off"))},
    **{f"smollm2_{how}_{group}": (
        f"eval/smollm2_{how}_{group}.json", f"stamp-hw eval {SMOLLM2.removesuffix(W8)} --schemes a8 --config "
        f"W4G{group}.yaml --weights {how}",
        {"measured": "the running model, every linear layer on the bit-accurate engine"}, figures.rows_of)
       for how in ("nearest", "gptq") for group in ("64", "32")},
    "smollm2_rotated": ("eval/smollm2_rotated.json",
                        f"stamp-hw eval {SMOLLM2} --sequences 2 --rotate hadamard --schemes stamp".replace(
                            " --sequences 3", ""), {
                            "measured": "the running model, every linear layer on the bit-accurate engine"},
                        figures.rows_of),
    "smollm2_cost": ("eval/smollm2_cost.json",
                     f"stamp-hw eval {SMOLLM2.removesuffix(W8).replace('--sequences 3', '--sequences 2')} "
                     "--config configs/language.yaml --job weight_bits=8 --job weight_group=null", {
                         "measured": "the running model, every linear layer on the bit-accurate engine"},
                     figures.rows_of),
    "smollm2_cost_full": ("eval/smollm2_cost_full.json",
                          f"OMP_NUM_THREADS=1 stamp-hw eval {SMOLLM2.removesuffix(W8)} --config configs/language.yaml "
                          "--job weight_bits=8 --job weight_group=null --hw hadamard=null --rotate hadamard "
                          "--schemes a8,a4,first_n,stamp,stamp_shuffled", {
                              "measured": "the running model, every linear layer on the bit-accurate engine"},
                          figures.rows_of),
    "smollm2_kv": ("eval/smollm2_kv.json", "stamp-hw eval --model smollm2 --text models/texts/alice.txt --sequences 3 "
                   "--kv 16", {"measured": "the running model, its float layers reading quantized keys and values"},
                   figures.rows_of),
    "smollm2_results": ("smollm2.json", "make smollm2-results", {
        "measured": "the running model, every linear layer on the bit-accurate engine"}, studies.language),
    "pixart_results": ("pixart.json", "python -m models.studies.pixart", {
        "measured": "pictures of the running model, every linear layer on the bit-accurate engine"}, studies.pictures),
    **{f"predictors_{model}": (f"eval/predictors_{model}.json",
                               f"python -m models.evaluate.predictors {words} --json FILE",
                               {"measured": "the running model, and every layer by itself"}, figures.predictors)
       for model, words in (("llama", f"{TEXT} --calibration models/llama_small/calibration.txt"),
                            ("smollm2", "--model smollm2 --text models/texts/alice.txt --calibration "
                                        "models/texts/pride.txt --length 128"))},
    "smollm2_layers": ("smollm2_layers.json", "stamp-hw ablate build/smollm2.safetensors --transforms haar "
                       "--features none --levels 5", {"measured": "SQNR, by the float and by the bit-accurate model"},
                       ablation.closeness),
    **{f"digits_{model}_{kernels}": (f"eval/digits_{model}_{kernels}.json", f"{env}stamp-hw eval {words}", {
        "measured": "the running model under one kind of float kernels"}, figures.rows_of)
       for model, words in (("llama", f"{TEXT}{STATIC} --sequences 4 --schemes stamp"),
                            ("pixart", f"{PROMPTS} --schemes stamp")) for kernels, env in KERNELS.items()},
    **{f"eval_pixart{end}": (f"eval/pixart{end}.json", f"stamp-hw eval {PROMPTS}{options}", {
        "measured": "pictures of the running model, every linear layer on the bit-accurate engine"}, figures.evaluation)
       for end, options in (("", ""), ("_hadamard", " --rotate hadamard"), ("_w8", W8),
                           ("_w8_hadamard", f"{W8} --rotate hadamard"))},
    **{f"widths_{model}": (f"widths_{model}.json", f"stamp-hw widths {trace}", {"measured": "by both models"},
                           figures.widths) for model, trace in (("llama", LLAMA), ("pixart", PIXART))},
    "widths_a8": ("widths_a8.json", f"stamp-hw widths {LLAMA} --config A8.yaml", {"measured": "by both models"},
                  figures.eight_bits),
    **{f"synth_scale{end}": (f"synth_scale{end}.json", f"stamp-hw synth --block scale{options}", {
        "gate-level": "cells that Yosys counts, before place and route"}, figures.cells)
       for end, options in (("", ""), ("_narrow", " --hw in_width=12 --hw recip_frac=4"))},
    **{f"ablate_{run}": (f"ablate/{file}.json", "make ablate", {
        "measured": "SQNR, by the float and by the bit-accurate model"}, ablation.ablation)
       for run, file in (("llama", "llama_small"), ("llama_sink", "llama_sink"), ("llama_self", "llama_self"),
                         ("pixart", "pixart_small"), ("pixart_16", "pixart_16"))},
    "throughput": ("throughput.json", "make throughput", {"modelled": "by the cycle model that equals the RTL"},
                   figures.throughput),
    "synth_fpga": ("synth.json", "stamp-hw synth --config configs/fpga.yaml",
                   {"gate-level": "cells that Yosys counts, before place and route"}, figures.synth),
    "synth_16": ("synth16.json",
                 "stamp-hw synth --config configs/fpga.yaml --hw rows=16 --hw cols=16 --hw lanes=16",
                 {"gate-level": "cells that Yosys counts, before place and route"}, figures.synth),
    **{f"synth_{part}": (f"synth_{part}.json", f"stamp-hw synth --config configs/fpga.yaml {values}",
                         {"gate-level": "cells that Yosys counts, before place and route"}, figures.synth)
       for part, values in PARTS.items()},
    **{f"cycles_{part}": (f"results/cycles_{part}.json", f"stamp-hw simulate {PART_LAYER} {values}".rstrip(),
                          {"modelled": SIMULATED["modelled"].partition(";")[0]}, figures.cycles)
       for part, values in OF_PARTS.items()},
    **{f"block_scales_{model}": (f"block_scales_{model}.json", f"python -m sim.studies.block_scales {trace}",
                                 {"measured": "SQNR of lifted inputs, the scale's form in float"}, figures.block_scales)
       for model, trace in (("llama_small", LLAMA), ("pixart_small", PIXART))},
    **{f"fpga_pe{end}": (f"fpga_pe{end}.json", f"stamp-hw place --config configs/fpga.yaml --block pe{options} "
                         "--hw freq_hz=2e8 --seed 1 --seed 2 --seed 3",
                         {"gate-level": "timing of nextpnr, after place and route"}, figures.fpga)
       for end, options in (("", ""), ("_slice", " --hw dsp=ecp5"))},
    "board": ("board/ulx3s.json", "make board", {
        "gate-level": "cells, and timing of nextpnr, after place and route"}, figures.board),
    "board_said": ("board/simulated.json", "stamp-hw board ulx3s --out build/board/simulated --simulate-only "
                   "--json build/board/simulated.json", {"RTL-simulated": "the top, to its last byte"},
                   figures.board_said),
    "fpga": ("fpga.json", "make fpga", {"gate-level": "timing of nextpnr, after place and route"}, figures.fpga),
    "asic": ("asic.json", "make asic", {"gate-level": "all, before placement; wire, slew and clock tree are assumed"},
             figures.asic_checked),
    "silicon": ("silicon.json", "python -m tb.asic.silicon", {
        "gate-level": "area, clocks and what an event takes, before placement",
        "modelled": "energy a token, by counts and cycles that equal the RTL's, memories by CACTI",
        "assumed": "what is scaled to a size, as the page says; figures of others are theirs"}, silicon.silicon),
    "asic_osu018": ("asic_osu018.json", "stamp-hw characterize --liberty osu018 --json build/asic_osu018.json", {
        "gate-level": "all, before placement; wire, slew and clock tree are assumed"}, figures.asic),
    "energy_sets": ("energy_sets.json", "stamp-hw compare smollm2-135m --energy-set build/asic.yaml", {
        "modelled": "counts and cycles times each set's prices; of freepdk45 and osu018 these are gate-level, but "
                    "for memories (CACTI) and DRAM (from the literature)"}, energy_sets.by_set),
    "memory_table": ("cacti.json", "python -m sim.studies.cacti WHEEL --json build/cacti.json", {
        "modelled": "CACTI 7"}, energy_sets.memory_table),
    "coverage": ("coverage.json", "make coverage", {"RTL-simulated": "all"}, figures.coverage),
    "mutate": ("mutate.json", "make mutate", {"RTL-simulated": "killed and survived",
                                              "gate-level": "equivalent, proved on the netlist"}, figures.mutate),
    "faults": ("faults.json", "make faults", {"RTL-simulated": "all"}, figures.faults),
    "formal": ("formal.json", "make formal", {"gate-level": "proved on the elaborated Verilog"}, figures.formal),
    "regress": ("regress.json", "make regress", {"RTL-simulated": "all"}, figures.regress),
    "reference": ("reference.json", "python -m pytest tests/stamp_hw", {"measured": "all"}, figures.reference),
    "smollm2_rtl": ("smollm2-rtl.json", "make smollm2-rtl", {"RTL-simulated": "all but the perplexities",
                                                             "measured": "perplexities of this one window"},
                    figures.prefill),
    "decode": ("decode.json", "python -m sim.workload.decode",
               {"modelled": "cycles, by the cycle model, which equals the RTL where there is one entry row; energy, "
                            "with 45 nm constants from the literature"}, figures.decode),
    "small_banks": ("small_banks.json", "python -m sim.studies.small_banks",
                    {"modelled": "energy, with 45 nm constants from the literature"}, figures.small_banks),
    "peers": ("peers.json", "make peers", {
        "measured": "CPU seconds, on one machine in one run",
        "modelled": "cycles, bytes and energy, by each simulator"}, peers.beside),
    "bench": ("bench.json", "make bench", {"measured": "ratios on one machine"}, figures.bench),
}
#: What a page shows of a command's output: the command, its lines or how the one begins, what their figures are,
#: columns at most.
PRINTED = {
    "printed_model": (("simulate", "--model", "llama-3-8b", "--config", "configs/npu32.yaml", "--hw",
                       "packed_weights=true"), slice(0, 26),
                      {"modelled": SIMULATED["modelled"]}, 100),
    "printed_simulate": (("simulate", "--model", "llama-3-8b", "--config", "configs/npu32.yaml", "--schemes",
                          "a8,stamp"), slice(2, 10), {"modelled": SIMULATED["modelled"]}, 100),
    # What prefetch saves of a prompt and its decode, the same behind a port, and on a small array.
    **{f"printed_prefetch{name}": (("simulate", "--model", *words), "Prefetch saves",
                                   {"modelled": SIMULATED["modelled"]}, 100)
       for name, words in (
           ("", ("llama-3-8b", "--config", "configs/npu32.yaml", "--hw", "packed_weights=true")),
           ("_port", ("llama-3-8b", "--config", "configs/npu32.yaml", "--hw", "packed_weights=true", "--hw",
                      "memory=LPDDR5")),
           ("_small", ("smollm2-135m", "--config", "configs/language.yaml")))},
    "printed_chain": (("chain", "--model", "smollm2-135m", "--prefill", "64", "--hw", "bus_width=128", "--hw",
                       "memory=LPDDR4"), slice(None),
                      {"modelled": "cycles and bytes, by the cycle model that equals the RTL in the cycle of every "
                                   "burst behind a memory of that law"}, 100),
    "printed_verify": (("verify", "--block", "rescale", "--set", "four", "--seed", "1", "--words", "20000"),
                       slice(0, 4), {"RTL-simulated": "all"}, 66),
    **{f"printed_tune_{name}": (("tune", trace, "--out", f"build/tuned_{name}.yaml"), slice(0, end),
                                {"measured": "SQNR, by the bit-accurate model"}, 100)
       for name, trace, end in (("llama", LLAMA, 11), ("pixart", PIXART, 15))},
}
#: Reports that take seconds, and so are made each time.
QUICK = {
    "llama_small": ("simulate", LLAMA),
    "pixart_small": ("simulate", PIXART, "--layers", GRID),
    "lengths": ("simulate", *SHAPES),
    "lengths_language": ("simulate", *LANGUAGE_SHAPES, *LANGUAGE),
    **{name: ("simulate", *words) for name, words in (ASKED | MAPPED).items()},
    **{f"cycles_{part}": ("simulate", *PART_LAYER.split(), *values.split()) for part, values in OF_PARTS.items()},
}


def day_of(report: Path) -> str:
    return date.fromtimestamp(report.stat().st_mtime).isoformat()


def recorded_on(name: str) -> str:
    """The day of a record's run; before every day where there is no record."""
    path = RECORDS / f"{name}.json"
    return str(json.loads(path.read_text(encoding="utf-8"))["date"]) if path.is_file() else ""


def record(name: str, report: Path, command: str, provenance: Mapping[str, str], found: Mapping[str, Any],
           seed: int | None) -> None:
    """Write a record, with the day on which its report was written."""
    write_json(RECORDS / f"{name}.json", {"command": command, "date": day_of(report), "provenance": dict(provenance),
                                          **({} if seed is None else {"seed": seed}), "figures": dict(found)})


def printed(*words: str) -> list[str]:
    """The lines that a command prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = stamp_hw(words)
    assert code == 0, f"stamp-hw {' '.join(words)} ended with {code}"
    return out.getvalue().splitlines()


def chosen(lines: list[str], which: slice | str) -> list[str]:
    """Those lines; or those that begin so."""
    return [line for line in lines if line.startswith(which)] if isinstance(which, str) else lines[which]


def reproducible(lines: list[str], columns: int) -> list[str]:
    """The left part of a table, without the column of run times and what is behind it."""
    end = max(line.find("seconds") for line in lines)
    return [line[:end if end >= 0 else columns].rstrip() for line in lines]


def record_printed() -> None:
    """What `PRINTED` names, as it is printed."""
    for name, (words, lines, provenance, columns) in PRINTED.items():
        text = "\n".join(reproducible(chosen(printed(*words), lines), columns))
        write_json(RECORDS / f"{name}.json", {
            "command": f"stamp-hw {' '.join(words)}", "date": date.today().isoformat(), "provenance": provenance,
            "figures": {"text": text, "command": f"stamp-hw {' '.join(words)}"}})


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
            figures.whole(day_of(report) >= recorded_on(name), f"is older than the record, {recorded_on(name)}")
            found = take(document)
        except figures.NotTakenError as error:
            _LOG.info("%s: as recorded; %s: %s", name, report.relative_to(ROOT), error)
            continue
        seed = document.get("seed") if isinstance(document, dict) else None
        record(name, report, command, provenance, found, seed)
        _LOG.info("%s: taken from %s", name, report.relative_to(ROOT))
    record_printed()


if __name__ == "__main__":
    main()
