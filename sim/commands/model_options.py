"""Options that say what is asked of a model, and the workload that they make: shared by commands on whole models."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from sim.workload import find
from sim.workload.ops import Workload
from stamp_hw.cli.common import count, seed


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions(find.Ask):
    """What the command line asks of a model, and whether jobs are prefetched; None: not given."""

    prefetch: bool | None = None

    def workload_of(self, word: str) -> Workload:
        """The workload of a model, or of a file. Raises StampError."""
        return find.workload(word, self)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The options of `ModelOptions`."""
    text = parser.add_argument_group("of a language model")
    text.add_argument("--prefill", type=seed, metavar="N", help="tokens of the prompt (default 2048; 0: none)")
    text.add_argument("--decode", type=seed, metavar="N", help="tokens that are generated (default 256; 0: none)")
    images = parser.add_argument_group("of an image model")
    images.add_argument("--size", type=count, metavar="PIXELS", help="side of the image (default: the model's own)")
    images.add_argument("--steps", type=count, metavar="N", help="denoising steps (default 20)")
    images.add_argument("--guidance", action=argparse.BooleanOptionalAction, default=None,
                        help="classifier-free guidance, which runs every image twice (default: with it)")
    images.add_argument("--prompt", type=count, metavar="N", help="tokens of the prompt (default 300)")
    both = parser.add_argument_group("of both")
    both.add_argument("--prefetch", action=argparse.BooleanOptionalAction, default=None,
                      help="write the next job's registers, and fetch its first weights, while a job runs (default: "
                           "with it)")
    both.add_argument("--batch", type=count, metavar="N", help="sequences or images side by side (default 1)")
    both.add_argument("--kv-bits", type=int, choices=(4, 8), help="bits of keys and values (default 8)")
