"""Products through SCALE-Sim, in its own environment: `PYTHON run_scalesim.py CASES.json ANSWER.json`.

CASES is a list of `m`, `k`, `n`, `rows`, `cols`, `dataflow`; ANSWER has what each run reports, in the same order, and
the CPU seconds that it took in this process, without the imports. Imports nothing of this project, which the
environment does not hold. The class is called, not the command: its `-s N` still writes the traces.
"""

from __future__ import annotations

import contextlib
import io
import json
import platform
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from scalesim.scale_sim import scalesim

# `CALC`: the memory is as fast as the array asks, so that nothing stalls; sizes of buffers change DRAM traffic alone.
_CONFIG = """[general]
run_name = run
[architecture_presets]
ArrayHeight : {rows}
ArrayWidth : {cols}
IfmapSramSzkB : 256
FilterSramSzkB : 256
OfmapSramSzkB : 256
IfmapOffset : 0
FilterOffset : 10000000
OfmapOffset : 20000000
Dataflow : {dataflow}
Bandwidth : 10
ReadRequestBuffer : 32
WriteRequestBuffer : 32
[layout]
IfmapCustomLayout : False
IfmapSRAMBankBandwidth : 10
IfmapSRAMBankNum : 10
IfmapSRAMBankPort : 2
FilterCustomLayout : False
FilterSRAMBankBandwidth : 10
FilterSRAMBankNum : 10
FilterSRAMBankPort : 2
[sparsity]
SparsitySupport : false
[run_presets]
InterfaceBandwidth : CALC
UseRamulatorTrace : False
"""
_TOPOLOGY = "Layer,M,N,K,\nproduct,{m},{n},{k},\n"
_LAYOUT = "product," + "1," * 20 + "\n"  # has to be there, and is not used without a custom layout


def run(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One product: `cycles` (its Total Cycles, without prefetch), `stall_cycles`, `utilization_percent`, `cpu_s`."""
    for name, text in (("run.cfg", _CONFIG), ("topology.csv", _TOPOLOGY), ("layout.csv", f"header\n{_LAYOUT}")):
        (folder / name).write_text(text.format(**case), encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        start = time.process_time()
        simulation = scalesim(save_disk_space=True, verbose=False, config=str(folder / "run.cfg"),
                              topology=str(folder / "topology.csv"), layout=str(folder / "layout.csv"),
                              input_type_gemm=True)
        simulation.run_scale(top_path=str(folder))
        seconds = time.process_time() - start
    (layer,) = simulation.runner.single_layer_sim_object_list
    _, cycles, stalls, utilization, *_ = layer.get_compute_report_items()
    return {"cycles": int(cycles), "stall_cycles": int(stalls), "utilization_percent": float(utilization),
            "cpu_s": seconds}


def main(cases: str, answer: str) -> None:
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for case in json.loads(Path(cases).read_text(encoding="utf-8")):
            runs.append(run(case, Path(folder)))
    versions = {"python": platform.python_version(), **{name: metadata.version(name) for name in ("scalesim", "numpy")}}
    Path(answer).write_text(json.dumps({"versions": versions, "runs": runs}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
