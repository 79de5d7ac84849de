"""The small PixArt under every rotation, scale and scheme: `python -m models.studies.pixart`.

Each setting is a run of `stamp-hw eval` on the same prompts and noise; one whose report is there is not run again.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.commands.eval_table import number
from models.load.checkpoint import run_command
from models.load.hub import local, locate
from models.studies.reports import check_outputs, report
from models.studies.rows import FLOAT
from models.studies.settings import IMAGE, PICTURES
from stamp_hw.cli.common import count
from stamp_hw.errors import StampError
from stamp_hw.formats.files import atomic_file, write_json
from stamp_hw.text import align

PROMPTS = "a photo of roses\na photo of sunflowers\n"
_LOG = logging.getLogger(__name__)


def rows_of(reports: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a scheme of every setting: SQNR of the picture and of the latents in dB, mean of the layers' outputs."""
    return [{"setting": setting.name, "rotation": setting.rotation, "scale": setting.scale, "scheme": row["scheme"],
             **{key: row.get(key) for key in ("average_bits", "average_bits_with_scales", "picture_sqnr_db",
                                              "latent_sqnr_db", "layer_sqnr_db")}}
            for setting in PICTURES for row in reports[setting.name]["rows"] if row["scheme"] != FLOAT]


def table(rows: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """The rows as text, folded at `width` columns, or those of the terminal."""
    lines = [(row["rotation"], row["scale"], row["scheme"], number(row["average_bits"], 2),
              number(row["average_bits_with_scales"], 2), number(row["picture_sqnr_db"], 0),
              number(row["latent_sqnr_db"], 0), number(row["layer_sqnr_db"], 1)) for row in rows]
    return align(("rotation", "a scale a", "scheme", "bits", "with scales", "picture dB", "latent dB", "layers dB"),
                 lines, left=3, width=width)


def main(argv: list[str] | None = None) -> int:
    """Evaluate every setting, print the table, write its rows as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--model", default="models/pixart_small", help="(default %(default)s)")
    parser.add_argument("--inference-steps", type=count, default=20, metavar="N", help="(default 20)")
    parser.add_argument("--json", type=Path, default=Path("build/pixart.json"), metavar="FILE")
    parser.add_argument("--folder", type=Path, default=Path("build/pixart-results"), help="of the single reports")
    parser.add_argument("--jobs", type=count, default=1, metavar="N", help="prompts at a time (default 1)")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    check_outputs({"--model": local(options.model)}, options.json, options.folder)
    locate(options.model)
    prompts = options.folder / "prompts.txt"
    if prompts.exists() and prompts.read_bytes() != PROMPTS.encode():
        raise StampError("another file in the way", where=str(prompts), expected="the study's own prompts, or no file")
    with atomic_file(prompts, "w") as stream:
        stream.write(PROMPTS)
    reports = {}
    for place, setting in enumerate(PICTURES, 1):
        _LOG.info("setting %d of %d: %s", place, len(PICTURES), setting.name)
        words = ["--prompts", str(prompts), "--size", "32", "--guidance", "3", "--inference-steps",
                 str(options.inference_steps), *setting.words(IMAGE)]
        reports[setting.name] = report(setting.name, options.model, words, options.folder, options.jobs)
    rows = rows_of(reports)
    sys.stdout.write(table(rows) + "\n")
    write_json(options.json, {"model": options.model, "prompts": PROMPTS.splitlines(),
                              "inference_steps": options.inference_steps, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
