"""`python -m tb.formal [NAME …]` proves the named properties, all if none is named; fails unless all of them hold."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from stamp_hw.cli.arguments import Parser
from stamp_hw.errors import ConfigError
from stamp_hw.exits import BROKEN, FOUND, HELP, OK
from stamp_hw.formats.files import write_json
from tb.formal import PROVE, Property, solver
from tb.formal.proof import ROOT, Verdict, settle
from tb.formal.table import PROPERTIES
from tb.run.exits import ended
from tb.run.simulator import check_folder

PROCESSES = 2
REPORT = ROOT.parent / "formal.json"
_LOG = logging.getLogger("tb.formal")


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = Parser(prog="python -m tb.formal", description=__doc__, epilog=HELP)
    parser.add_argument("names", metavar="NAME", nargs="*", help="a property; all if none is named")
    parser.add_argument("--list", action="store_true", help="prove nothing: say what the properties are")
    return parser.parse_args(argv)


def chosen(names: Sequence[str]) -> list[Property]:
    """The properties of these names, all if there are none; ConfigError for an unknown one."""
    known = {prop.name: prop for prop in PROPERTIES}
    for name in names:
        if name not in known:
            raise ConfigError("unknown property", where="formal", got=name, expected=" or ".join(known))
    return [known[name] for name in names or known]


def table(verdicts: Sequence[Verdict]) -> str:
    """One line a property, columns aligned."""
    rows: list[tuple[str, ...]] = [("property", "block", "holds", "cover", "bug", "seeded bug", "seconds")]
    for verdict in verdicts:
        how = f"proved, k = {verdict.depth}" if verdict.proved else f"for {verdict.depth} cycles"
        rows.append((verdict.name, verdict.block, "NO" if verdict.depth < 0 else how, _cycle(verdict.cover),
                     _cycle(verdict.bug), verdict.bug_name, f"{verdict.seconds:.1f}"))
    return _aligned(rows)


def listing(properties: Sequence[Property]) -> str:
    """One line a property: how it is shown, and what it says."""
    return _aligned([(prop.name, "by induction" if prop.mode == PROVE else f"for {prop.depth} cycles", prop.says)
                     for prop in properties])


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                     for row in rows)


def _cycle(step: int) -> str:
    return "NO" if step < 0 else f"{step}"


def settled(name: str) -> Verdict:
    """The verdict on the property of that name: a checker is made where it is proved, for it cannot be sent."""
    return settle(chosen([name])[0])


def prove(properties: Sequence[Property]) -> list[Verdict]:
    """Verdicts in the order of `properties`; what takes longest begins first. Raises ToolError."""
    solver.require()
    found: dict[str, Verdict] = {}
    with ProcessPoolExecutor(min(PROCESSES, os.cpu_count() or 1), initializer=_begin) as pool:
        order = sorted(properties, key=lambda prop: -prop.seconds)
        running = [pool.submit(settled, prop.name) for prop in order]
        try:
            for done, future in enumerate(as_completed(running), 1):
                verdict = future.result()
                found[verdict.name] = verdict
                how = f"WRONG: {verdict.wrong}" if verdict.wrong else "as it should"
                _LOG.info("%d of %d, %.0f s: %s, %s", done, len(running), verdict.seconds, verdict.name, how)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise
    return [found[prop.name] for prop in properties]


def _begin() -> None:
    """A worker leaves an interrupt to the main process, which then ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)


def _stop(*_: object) -> None:
    """SIGTERM ends a process through the handlers that end its tools."""
    sys.exit(130)


def main(argv: Sequence[str]) -> int:
    """`run`, with a user's errors as one line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    _LOG.setLevel(logging.INFO)
    return ended(_LOG, lambda: run(argv))


def run(argv: Sequence[str]) -> int:
    """Prove, say and write what holds; 1 if a property does not, a cover is not reached or a bug not caught, 3 if a
    checker or a solver broke."""
    args = arguments(argv)
    wanted = chosen(args.names)
    if args.list:
        _LOG.info("%s", listing(wanted))
        return 0
    check_folder()
    verdicts = prove(wanted)
    write_json(REPORT, [verdict.to_dict() for verdict in verdicts])
    _LOG.info("%s", table(verdicts))
    wrong = [verdict for verdict in verdicts if verdict.wrong]
    for verdict in wrong:
        _LOG.info("wrong: %s: %s", verdict.name, verdict.wrong)
    _LOG.info("%d of %d properties as they should be", len(verdicts) - len(wrong), len(verdicts))
    if any(not verdict.broken for verdict in wrong):
        return FOUND
    return BROKEN if wrong else OK


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(main(sys.argv[1:]))
