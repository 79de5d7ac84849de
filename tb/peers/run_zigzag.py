"""Products through ZigZag, in its own environment: `PYTHON run_zigzag.py QUESTION.json ANSWER.json`.

QUESTION has `accelerator`, `mapping` and `workload` as ZigZag's YAML files hold them (`tb.peers.accelerator`), `opt`
and `lpf_limit`; ANSWER has what it found for each product, and the CPU seconds that all took in this process, the files
read, without the imports. Imports nothing of this project, which the environment does not hold.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import platform
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from zigzag.api import get_hardware_performance_zigzag

_CYCLES = {"steps": "ideal_temporal_cycle", "wait_memory": "stall_slack_comb", "load": "data_onloading_cycle",
           "unload": "data_offloading_cycle", "drain": "systolic_drain_cycle", "total": "latency_total2"}


def _of_product(found: Any) -> dict[str, Any]:
    """Cycles by part, and pJ by operand and level, the registers first and the external memory last."""
    return {"name": found.layer.name, "cycles": {ours: int(getattr(found, theirs)) for ours, theirs in _CYCLES.items()},
            "mac_pj": float(found.mac_energy), "total_pj": float(found.energy_total),
            "memory_pj": {str(operand): [float(level) for level in levels]
                          for operand, levels in found.mem_energy_breakdown.items()}}


def main(question: str, answer: str) -> None:
    asked = json.loads(Path(question).read_text(encoding="utf-8"))
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        files = {name: str(Path(folder) / f"{name}.yaml") for name in ("accelerator", "mapping", "workload")}
        for name, file in files.items():  # the memories of an accelerator stand in their order, the nearest first
            Path(file).write_text(yaml.safe_dump(asked[name], sort_keys=False), encoding="utf-8")
        start = time.process_time()
        _, _, found = get_hardware_performance_zigzag(**files, opt=asked["opt"], lpf_limit=asked["lpf_limit"],
                                                      dump_folder=folder, loma_show_progress_bar=False)
        seconds = time.process_time() - start
    versions = {"python": platform.python_version(),
                **{name: metadata.version(name) for name in ("zigzag-dse", "numpy")}}
    products = [_of_product(layer) for layer, _ in found[0][1]]
    Path(answer).write_text(json.dumps({"versions": versions, "cpu_s": seconds, "products": products}),
                            encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
