"""Makes the traces that ship: ``python -m models.train.make_traces``.

Llama: blocks 1 and 4 of the six of `models/llama_small` and its output layer, on one held-out sequence; the static
scales come from sequences of other text (`calibration.txt`, taken from the training text).

PixArt: blocks 1 and 4 of the six of `models/pixart_small` and everything around them, at one denoising step of one
prompt; the static scales come from both sequences of guidance.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import numpy as np

from models.dump.images import Request, dump_images
from models.dump.language import dump
from models.load.checkpoint import load, run_command
from models.load.hub import require_torch
from models.load.pipeline import load_pipeline
from models.train import evaluate_pixart
from models.train.evaluate_llama import CALIBRATION, FOLDER, HELD_OUT, LENGTH, held_out_windows, load_tokenizer
from models.train.small_pixart import SIDE, caption
from models.train.text import token_stream, windows

log = logging.getLogger(__name__)

TRACES = Path(__file__).parents[1] / "traces"
OUT, OUT_PIXART = TRACES / "llama_small.safetensors", TRACES / "pixart_small.safetensors"
LAYERS = r"^model\.layers\.(1|4)\.|^lm_head$"
#: The held-out window that is captured.
WINDOW = 8
LAYERS_PIXART = r"^transformer_blocks\.(1|4)\.|^(proj_out|caption_projection|adaln_single)\b"
#: Half of the way: what the picture shows is decided, its details are not.
STEP, STEPS = 10, 20


def make(out: Path, folder: Path = FOLDER) -> None:
    """Write the trace of the Llama in `folder` to `out`."""
    tokenizer = load_tokenizer(folder)
    text = (folder / CALIBRATION).read_bytes().decode("utf-8")
    documents = [document for document in text.split("\f") if document.strip()]
    calibration = np.concatenate([windows(token_stream(tokenizer, document), LENGTH)[:1] for document in documents])
    checkpoint = load(str(folder), "bfloat16")
    dump(checkpoint.model, held_out_windows(folder)[WINDOW], calibration, out,
         {"model": "models/llama_small", "text": f"{HELD_OUT}, window {WINDOW} of {LENGTH} tokens",
          "calibration_text": f"{CALIBRATION} (training text)"}, layers=LAYERS, outliers="off",
         fingerprint=checkpoint.fingerprint)  # this Llama has none: its texts begin anywhere


def make_pixart(out: Path, folder: Path = evaluate_pixart.FOLDER) -> None:
    """Write the trace of the PixArt in `folder` to `out`."""
    pipeline = load_pipeline(str(folder))
    request = Request(prompts=(caption("sunflowers"),), steps=(STEP,), inference_steps=STEPS, size=(SIDE, SIDE), seed=0,
                      guidance=3.0)
    dump_images(pipeline, request, out, {"model": "models/pixart_small", "device": "cpu"}, layers=LAYERS_PIXART)


def main(argv: list[str] | None = None) -> int:
    """Make the traces of the small Llama and of the small PixArt."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=TRACES, help="folder (models/traces)")
    folder = parser.parse_args(argv).out
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    require_torch()
    for out, make_trace in ((OUT.name, make), (OUT_PIXART.name, make_pixart)):
        make_trace(folder / out)
        log.info("%s: %d bytes", folder / out, (folder / out).stat().st_size)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
