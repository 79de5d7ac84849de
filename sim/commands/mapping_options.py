"""Options that say how a layer is cut into super-tiles: shared by commands that cost layers."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from sim.mapping.objective import OBJECTIVES, Objective
from stamp_hw.errors import StampError


@dataclass(frozen=True, kw_only=True)
class MappingOptions:
    """What the command line asks for; None: not given."""

    mapping: str | None
    objective: Objective | None

    def searched(self) -> Objective | None:
        """What super-tiles are searched for, None: they are the largest. Raises StampError for an objective of none."""
        if self.mapping == "searched":
            return self.objective or "edp"
        if self.objective is not None:
            raise StampError("nothing is searched", where=f"--objective {self.objective}",
                             expected="--mapping searched with it")
        return None


def add_mapping_options(parser: argparse.ArgumentParser) -> None:
    """The options of `MappingOptions`."""
    group = parser.add_argument_group("super-tiles")
    group.add_argument("--mapping", choices=("largest", "searched"),
                       help="the largest that fit, of as many tokens for every scheme (default), or searched among all "
                            "that fit, for each layer and scheme")
    group.add_argument("--objective", choices=OBJECTIVES,
                       help="what is searched for: fewest cycles, least energy, or their product (default edp)")
