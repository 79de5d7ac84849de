"""One build of a block with Verilator's coverage on, and its whole testbench on it."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from tb.coverage.parts import part_of
from tb.coverage.points import parse
from tb.coverage.report import Sample
from tb.run.block import WORDS_PER_BLOCK, BrokenBenchError, bench_module, elaborate, reproduce
from tb.run.simulator import BUILD_ROOT, simulate

# Toggle points of vectors up to the widest payload; Verilator's own limit is 256 bits.
FLAGS = ("--coverage-line", "--coverage-toggle", "--coverage-max-width", "16384")


def measure(block: str, set_name: str, seed: int, words: int, root: Path = BUILD_ROOT) -> Sample:
    """Run every test of one parameter set, `words` output words in its random ones, or what its regression compares
    there if that is less.

    Raises AssertionError when a test fails, BrokenBenchError when one crashes: coverage of a failing run means nothing.
    """
    bench = bench_module(block)
    params, top = bench.PARAMETER_SETS[set_name], f"stamp_{block}"
    files, ports = elaborate(bench, params, top)
    words = min(words, -(-getattr(bench, "WORDS", WORDS_PER_BLOCK) // len(bench.PARAMETER_SETS)))
    (root / "coverage").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root / "coverage", prefix=f"{block}-{set_name}.") as folder:
        data = Path(folder) / "coverage.dat"
        result = simulate(files, top, bench.__name__, ports, params, block=block, set_name=set_name, seed=seed,
                          words=words, root=root, flags=FLAGS, plusargs=(f"+verilator+coverage+file+{data}",))
        if not result.passed:
            raise (BrokenBenchError if result.crashed else AssertionError)(
                f"block {block}, set {set_name}: {' || '.join(result.failures)}; seed {seed}; again: "
                f"{reproduce(block, set_name, seed, words=words)}; log: {result.log}")
        points = tuple(parse(data.read_bytes(), files))
    own = [point for point in points if part_of(block, point.module) == block]
    inner = [point for point in own if point.kind == "toggle" and not point.port]
    elsewhere = [(part, point.hit) for point in points
                 if point.kind != "toggle" and (part := part_of(block, point.module)) != block]
    found, hit = Counter(part for part, _ in elsewhere), Counter(part for part, reached in elsewhere if reached)
    return Sample(block=block, set_name=set_name, points=tuple(point for point in own
                                                               if point.kind != "toggle" or point.port),
                  inner_toggles=len(inner), inner_hit=sum(point.hit for point in inner),
                  parts={part: (count, hit[part]) for part, count in found.items()}, words=result.tests,
                  cycles=result.cycles, seconds=result.seconds + result.build_seconds)
