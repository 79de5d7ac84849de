"""Reports looked at in a real browser: `python -m docs.tools.report_shots` (`make report-shots`) writes the pages of
five reports and pictures of them, 390 and 1280 pixels wide, light and dark, into build/report-shots.

A message on the console or a page wider than its window is an error. Without a browser there is nothing to see, and it
says so.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from docs.tools.browser import Page, browser, found
from docs.tools.write import ROOT
from sim.report import page, read
from stamp_hw.cli.main import main
from stamp_hw.formats.files import atomic_file

OUT = ROOT / "build" / "report-shots"
WIDTHS = (390, 1280)
#: Name → what `stamp-hw` is asked.
REPORTS = {
    "trace": ("simulate", "models/traces/llama_small.safetensors", "--config", "configs/default.yaml"),
    "shapes": ("simulate", "--shape", "2048x4096x4096", "--shape", "1x4096x4096", "--config", "configs/npu32.yaml",
               "--hw", "dram_bytes_per_s=12.8e9"),
    "model": ("simulate", "--model", "llama-3-8b", "--vector-lanes", "32", "--config", "configs/npu32.yaml"),
    "comparison": ("compare", "smollm2-135m", "--prefill", "512", "--decode", "32", "--config", "configs/language.yaml",
                   "--hw", "packed_weights=true"),
    "sweep": ("sweep", "configs/sweeps/array.yaml"),
}
_LOG = logging.getLogger(__name__)


def pages(out: Path) -> dict[str, Path]:
    """The page of each report, written."""
    files = {}
    for name, words in REPORTS.items():
        report = out / f"{name}.json"
        report.unlink(missing_ok=True)  # points of other code
        if main([*words, "--out" if words[0] == "sweep" else "--json", str(report)]):
            raise SystemExit(f"stamp-hw {' '.join(words)}: failed")
        files[name] = out / f"{name}.html"
        with atomic_file(files[name]) as stream:
            stream.write(page.render(read.read(report)))
    return files


def wrong(shown: Page, width: int) -> list[str]:
    """What is wrong with the page that is shown."""
    wide = shown.value("document.documentElement.scrollWidth")
    return [*shown.messages, *([f"{wide} pixels wide"] if wide > width else [])]


def shots(files: dict[str, Path], out: Path) -> list[str]:
    """Pictures of every page; what was wrong, a line each."""
    bad = []
    with browser() as shown:
        for name, file in files.items():
            for width in WIDTHS:
                for dark in (False, True):
                    shown.open(file, width, 900, dark=dark)
                    picture = out / f"{name}-{width}-{'dark' if dark else 'light'}.png"
                    with atomic_file(picture, "wb") as stream:
                        stream.write(shown.picture())
                    _LOG.info("%s", picture.relative_to(ROOT))
                    bad += [f"{picture.name}: {words}" for words in wrong(shown, width)]
            with atomic_file(out / f"{name}.pdf", "wb") as stream:
                stream.write(shown.paper())
    return bad


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    if found() is None:
        _LOG.warning("skipped: no chromium on the PATH (Debian's package chromium)")
        sys.exit(0)
    faults = shots(pages(OUT), OUT)
    for fault in faults:
        _LOG.error("%s", fault)
    sys.exit(1 if faults else 0)
