"""The option --model, which `trace dump` and `eval` share."""

from __future__ import annotations

import argparse

from models.load.hub import KNOWN
from stamp_hw.cli.common import named


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add --model: a name, of which `models.load.hub.locate` makes a folder or a file."""
    known = ", ".join(f"{name} (made by `{command}`)" for name, command in KNOWN.items())
    parser.add_argument("--model", required=True, type=named, metavar="MODEL",
                        help="folder in Hugging Face layout, hub id, GGUF file of a Llama or a folder with one, or a "
                             f"known name: {known}")
