"""`python -m tb.peers.run`: SCALE-Sim and ZigZag beside this simulator; `make peers` makes their environment first."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from stamp_hw import exits
from stamp_hw.cli.common import check_writable
from stamp_hw.errors import StampError
from stamp_hw.formats.files import write_json
from tb.peers.measure import measure, record


def main(argv: list[str] | None = None) -> int:
    """Ask both, compare, write the report as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--python", type=Path, default=Path(".venv/.peers/bin/python"), metavar="FILE",
                        help="Python of the peers' environment (default %(default)s)")
    parser.add_argument("--json", type=Path, default=Path("build/peers.json"), metavar="FILE",
                        help="(default %(default)s)")
    parser.add_argument("--runs", type=Path, metavar="FILE", help="keep SCALE-Sim's cycles, as the tests have them")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        files = [options.json, *([options.runs] if options.runs else [])]
        for file in files:
            check_writable(file, folder=False)
        report = measure(options.python.absolute())
        for file, content in zip(files, (report, record(report)), strict=False):
            write_json(file, content)
    except StampError as error:
        logging.getLogger(__name__).error("%s", error)
        return exits.REFUSED
    for name in ("sim_vs_scalesim", "sim_vs_zigzag", "cold_vs_scalesim", "cold_vs_zigzag"):
        logging.getLogger(__name__).info("%s %.0f", name, report[name])
    return exits.OK


if __name__ == "__main__":
    sys.exit(main())
