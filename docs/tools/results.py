"""Every figure of README.md and of the pages of docs named in `PAGES`, from docs/results/*.json: `python -m
docs.tools.results`.

A page is a template, docs/tools/pages/*.in, in which a figure is a place with its format, as in
`{llama_small[stamp][sqnr_db]:.2f}`: the first word names a record, the keys lead into its `figures`. A record is a
small JSON file with the figures that are shown, the command that makes them, its date, its provenance, and its seed
where it has one; `docs.tools.record` takes fresh ones. The constants of an energy set and of the external memories,
and what the training of the shipped models recorded are places as well. Beyond Python's
own formats there are `.1f %` (a part of one as per cent), `.1f M` (millions), and a range, which is a list.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docs.tools import memories
from docs.tools.write import write
from sim.cost.energy import load

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "docs" / "results"
PAGES = {page: ROOT / "docs" / "tools" / "pages" / f"{page.name}.in"
         for page in (ROOT / "README.md",
                      *(ROOT / "docs" / f"{name}.md" for name in
                        ("results", "eval", "widths", "ablate", "simulate", "traces", "tune", "smollm2", "workloads",
                         "asic", "silicon", "board")))}
PROVENANCE = ("measured", "RTL-simulated", "gate-level", "modelled", "assumed")


class _Formatter(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, list):
            return "…".join(self.format_field(end, format_spec) for end in value)
        number, _, unit = format_spec.partition(" ")
        if unit == "%":
            return f"{format(100 * value, number)} %"
        if unit == "M":
            return f"{format(value / 1e6, number)} million"
        # A minus that a table aligns with the digits.
        return re.sub(r"^-(?=[\d.])", "−", format(value, format_spec))


def records() -> dict[str, dict[str, Any]]:
    """Name → record, of every file in docs/results."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RECORDS.glob("*.json"))}


def source(record: Mapping[str, Any]) -> str:
    """The line below a table: command, date, seed, and what each figure is."""
    seed = f", seed {record['seed']}" if "seed" in record else ""
    kinds = "; ".join(f"*{kind}*: {what}" for kind, what in record["provenance"].items())
    return f"`{record['command']}` ({record['date']}{seed}). {kinds}."


def energy(technology: str) -> dict[str, str]:
    """Constant → its picojoules as a table has them, of an energy set that ships."""
    units = {"bits": "bits", "product": "bits²", "bytes": "bytes"}
    found = {}
    for name, one in load(technology).constants.items():
        found[name] = ", ".join(f"{place:,.0f} {units[one.axis]}: {pj:g}" if one.axis else f"{pj:g}"
                                for place, pj in one.points)
        found[name] += f", per {one.per_bits} bits" if one.per_bits else ""
    return found


def render(template: str, known: Mapping[str, Mapping[str, Any]]) -> str:
    """A page: the template with its figures. Raises KeyError for a figure that no record has."""
    places: dict[str, Any] = {name: record["figures"] for name, record in known.items()}
    places["horowitz45"] = energy("horowitz45")
    places["memories"] = {"table": memories.table()}
    for model in ("llama_small", "pixart_small"):
        training = (ROOT / "models" / model / "training.json").read_text(encoding="utf-8")
        places[f"training_{model.partition('_')[0]}"] = json.loads(training)
    places["source"] = {name: source(record) for name, record in known.items()}
    return _Formatter().vformat(template, (), places)


def pages() -> dict[Path, str]:
    """File → what it has to hold."""
    known = records()
    return {page: render(template.read_text(encoding="utf-8"), known) for page, template in PAGES.items()}


if __name__ == "__main__":
    write(pages())
