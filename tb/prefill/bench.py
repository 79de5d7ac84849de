"""Runs inside the simulator: plays the jobs of a queue, and writes a line of JSON for each when it is over."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from rtl_gen.engine.top import Engine
from sim.engine.events import events
from sim.engine.timing import timing
from stamp_hw.config import NpuConfig
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.streams import words_of
from stamp_hw.formats.files import atomic_file
from tb.batch.bench import BatchBench, batch_test
from tb.bench.harness import TOTALS, Expect, Feed
from tb.engine.play import INPUTS, check_status
from tb.prefill.pieces import Piece, words_path
from tb.prefill.queue import taken
from tb.prefill.results import append

PARAMETER_SETS: dict[str, EngineParams] = {}  # the hardware is the configuration's
build = Engine
COUNTED = ("words", "mismatches", "timed_beats", "cycle_differences", "event_differences")


@batch_test
async def every_layer_gives_its_words_in_its_cycles(bench: BatchBench) -> None:
    """A difference ends the job, not the run."""
    config = NpuConfig.from_dict(bench.context["config"])
    for piece in taken(Path(bench.context["queue"])):
        append(Path(bench.context["results"]), await played(bench, piece, config, bench.context["answers"]))


async def played(bench: BatchBench, piece: Piece, config: NpuConfig, answers: str | None) -> dict[str, Any]:
    """Play a job: every word, the cycle of every beat, all events, no error. The hardware's own words go into the
    folder `answers`, where one is given. Of the processor's seconds, `rtl_cpu_s` are the simulator's and the
    comparisons'; the others went into the golden model, the cycle model and the beats."""
    began, before = time.time(), {name: getattr(TOTALS, name) for name in COUNTED}
    cpu = time.process_time()
    case = piece.case(config)
    predicted = timing(bench.params, [case.job])
    cycles, failure, ready = 0, "", time.process_time()
    try:
        run = await bench.run({name: Feed(case.beats[name]) for name in INPUTS}, {"o": Expect(case.beats["o"])},
                              job=case.name, timing=predicted.streams,
                              events=events(bench.params, [case.job], case.saturated))
        cycles = run.cycles
        await check_status(bench, case.name)
        if answers is not None:
            with atomic_file(words_path(Path(answers), piece.layer), "wb") as stream:
                np.save(stream, words_of(bench.params, case.job, run.fields["o"]["y"]), allow_pickle=False)
    except AssertionError as error:
        failure = str(error)
        await bench.reset()
    ended = time.process_time()
    return {"key": piece.key, "layer": piece.layer, "kind": piece.kind, "tokens": piece.tokens, "k": piece.k,
            "first": piece.first, "channels": piece.channels, "products": piece.products, "cycles": cycles,
            "predicted_cycles": predicted.cycles,
            **{name: getattr(TOTALS, name) - before[name] for name in COUNTED},
            "failure": failure, "began": began, "ended": time.time(), "cpu_s": ended - cpu, "rtl_cpu_s": ended - ready}
