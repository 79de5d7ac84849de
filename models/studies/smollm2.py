"""SmolLM2-135M under every rotation, scale and scheme: `python -m models.studies.smollm2` (`make smollm2-results`).

Each setting is a run of `stamp-hw eval`, which goes on window by window where it was interrupted; one whose report is
there is not run again. The rows of all of them go into one table, each against `stamp` of the same setting, window by
window.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from models.load.checkpoint import run_command
from models.load.hub import local
from models.studies.reports import check_outputs, report
from models.studies.rows import rows_of, table
from models.studies.settings import LANGUAGE, LENGTH, SETTINGS, chosen
from stamp_hw.cli.common import count
from stamp_hw.errors import StampError
from stamp_hw.formats.files import finite, write_json

MODEL, TEXT, CALIBRATION = "smollm2", Path("models/texts/alice.txt"), Path("models/texts/pride.txt")
_LOG = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Evaluate every setting, print the table, write its rows as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--model", default=MODEL, help="(default smollm2, which `make smollm2` makes)")
    parser.add_argument("--text", type=Path, default=TEXT, metavar="FILE")
    parser.add_argument("--calibration", type=Path, default=CALIBRATION, metavar="FILE")
    parser.add_argument("--sequences", type=count, metavar="N", help="windows of every setting, instead of its own")
    parser.add_argument("--length", type=count, default=LENGTH, metavar="S", help=f"tokens a window (default {LENGTH})")
    parser.add_argument("--json", type=Path, default=Path("build/smollm2.json"), metavar="FILE")
    parser.add_argument("--folder", type=Path, default=Path("build/smollm2-results"), help="of the single reports")
    parser.add_argument("--only", metavar="LIST", help="settings, comma-separated; then no JSON of all is written")
    parser.add_argument("--jobs", type=count, default=1, metavar="N", help="windows at a time (default 1)")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    settings = chosen(options.only)
    if options.sequences == 1:
        raise StampError("one window has no standard error", where="--sequences", got=1, expected="at least 2")
    check_outputs({"--text": options.text, "--calibration": options.calibration, "--model": local(options.model)},
                  options.json, options.folder)
    reports = {}
    for number, setting in enumerate(settings, 1):
        windows = options.sequences or setting.windows
        _LOG.info("setting %d of %d: %s, %d windows", number, len(settings), setting.name, windows)
        words = ["--text", str(options.text), "--calibration", str(options.calibration), *setting.words(LANGUAGE),
                 "--sequences", str(windows), "--length", str(options.length)]
        reports[setting.name] = report(setting.name, options.model, words, options.folder, options.jobs)
    rows = rows_of(reports)
    sys.stdout.write(table(rows) + "\n")
    if len(settings) == len(SETTINGS):
        floats = {name: reports[setting.name]["rows"][0]["perplexity"]
                  for name, setting in (("named", SETTINGS[0]), ("other", SETTINGS[-1]))}
        write_json(options.json, finite({
            "model": options.model, "text": options.text.name, "length": options.length,
            "calibration": options.calibration.name, "float": floats, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
