"""Makes the trace that ships: ``python -m models.make_traces``.

Blocks 1 and 4 of the six of `models/llama_small` and its output layer, on one held-out sequence; the static
scales come from sequences of other text (`calibration.txt`, taken from the training text).
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import numpy as np

from models.checkpoint import load, run_command
from models.dump import dump
from models.evaluate_llama import CALIBRATION, FOLDER, HELD_OUT, LENGTH, held_out_windows, load_tokenizer
from models.text import token_stream, windows

log = logging.getLogger(__name__)

OUT = Path(__file__).parent / "traces" / "llama_small.safetensors"
LAYERS = r"^model\.layers\.(1|4)\.|^lm_head$"
#: The held-out window that is captured.
WINDOW = 8


def make(out: Path, folder: Path = FOLDER) -> None:
    """Write the trace of the checkpoint in `folder` to `out`."""
    tokenizer = load_tokenizer(folder)
    text = (folder / CALIBRATION).read_bytes().decode("utf-8")
    documents = [document for document in text.split("\f") if document.strip()]
    calibration = np.concatenate([windows(token_stream(tokenizer, document), LENGTH)[:1] for document in documents])
    checkpoint = load(str(folder), "bfloat16")
    dump(checkpoint.model, held_out_windows(folder)[WINDOW], calibration, out,
         {"model": "models/llama_small", "text": f"{HELD_OUT}, window {WINDOW} of {LENGTH} tokens",
          "calibration_text": f"{CALIBRATION} (training text)"}, layers=LAYERS, fingerprint=checkpoint.fingerprint)


def main(argv: list[str] | None = None) -> int:
    """Make the trace of the small Llama."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args(argv).out
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    make(out)
    log.info("%s: %d bytes", out, out.stat().st_size)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
