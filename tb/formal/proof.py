"""One property from its Verilog to its verdict: proved or bounded, cover reached, seeded bug caught."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rtl_gen.verilog import emit
from stamp_hw.errors import MemoryShortage, OutputError, StampError, clip, printable
from tb.formal import PROVE, Property, solver
from tb.run.processes import processor_seconds
from tb.run.simulator import BUILD_ROOT

ROOT = BUILD_ROOT / "formal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`proved` by induction over `depth` cycles, else it holds for the first `depth` cycles after reset.

    `cover` and `bug` are the cycles in which the last cover is reached and the bug is seen, `seconds` processor time.
    `wrong` says what failed, empty when all is well; `broken`: a checker or a tool did. What was not found out is -1.
    """

    name: str
    block: str
    says: str
    params: str
    small: str
    free: tuple[str, ...]
    proved: bool
    depth: int
    cover: int
    bug_name: str
    bug: int
    seconds: float
    wrong: str
    broken: bool = False

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


def text_of(prop: Property, params: Any, *, bug: bool) -> dict[str, str]:
    """The checker's Verilog, with or without the seeded bug. Raises ValueError for a bug that changes nothing."""
    def emitted() -> dict[str, str]:
        return emit.verilog(prop.build(params), solver.TOP, {"property": prop.name})

    plain = emitted()
    if not bug:
        return plain
    with prop.bug.apply():
        files = emitted()
    files = prop.bug.edited(files)
    if files == plain:
        raise ValueError(f"{prop.name}: bug {prop.bug.name} leaves the Verilog as it was")
    return files


def settle(prop: Property, root: Path = ROOT) -> Verdict:
    """Prove, cover and break one property; logs, waveforms and Verilog stay in `root`/name.

    Whatever goes wrong is the verdict on this property, that its checker cannot be built as well: others are not held
    up by it. Only what the machine lacks is raised: MemoryShortage, OutputError.
    """
    start, limit = processor_seconds(), 120 + 20 * prop.seconds
    small = prop.params if prop.small is None else prop.small
    folder = root / prop.name
    shutil.rmtree(folder, ignore_errors=True)
    wrong, is_broken, proved, depth, reached, caught = "", False, False, -1, -1, -1

    def model(name: str, files: dict[str, str]) -> Path:
        return solver.translate(files, folder / name, prop.free)

    try:
        faulty = text_of(prop, small, bug=True)
        whole = model("proof", text_of(prop, prop.params, bug=False))
        proved, depth = _holds(prop, whole, limit)
        short = whole if prop.small is None else model("cover", text_of(prop, small, bug=False))
        seen = solver.cover(short, prop.cover, limit)
        if not seen.holds:
            raise AssertionError(f"a cover is not reached within {prop.cover} cycles")
        reached = seen.step
        broken = solver.base(model(prop.bug.name, faulty), prop.bug_depth, limit)
        if broken.holds:
            raise AssertionError(f"bug {prop.bug.name} is not seen within {prop.bug_depth} cycles")
        caught = broken.step
        clean = prop.small is None or solver.base(short, caught, limit).holds
        if not clean:
            raise AssertionError(f"fails on the small hardware without bug {prop.bug.name} as well")
    except AssertionError as error:
        wrong = str(error)
    except (MemoryShortage, OutputError):
        raise
    except StampError as error:
        wrong, is_broken = str(error), True
    except Exception as error:  # the checker or the generator is broken
        is_broken = True
        message = " ".join(str(error.args[0] if error.args else "").split())
        wrong = printable(clip(f"{type(error).__name__}: {message}", 400))
    return Verdict(name=prop.name, block=prop.block, says=prop.says, params=str(prop.params), small=str(small),
                   free=prop.free, proved=proved, depth=depth, cover=reached, bug_name=prop.bug.name, bug=caught,
                   seconds=round(processor_seconds() - start, 1), wrong=wrong, broken=is_broken)


def _holds(prop: Property, model: Path, limit: float) -> tuple[bool, int]:
    """(proved by induction, depth of it or cycles for which it holds); AssertionError when it does not."""
    depth, proved = prop.depth, prop.mode == PROVE
    if proved:
        inductive = solver.induction(model, prop.depth, limit)
        if not inductive.holds:
            raise AssertionError(f"no proof by induction up to depth {prop.depth}: {inductive.line}")
        depth = inductive.step
    base = solver.base(model, depth, limit)
    if not base.holds:
        raise AssertionError(f"fails in cycle {base.step}: {base.line}")
    return proved, depth
