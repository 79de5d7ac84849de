"""Line and branch points that no stimulus can reach, each for a reason that was reviewed.

A waiver names the builds and the module it is for and the source line it means. It may cover nothing that was reached,
so that it cannot be wider than its reason, and must cover something that was not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tb.coverage.points import Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """`sets` are parameter sets of `block`; `what` is the point's; `source` is a regular expression for a part of the
    point's source line, `rest` one for the start of what stands there from the point on, where a line has several."""

    block: str
    sets: tuple[str, ...]
    module: str
    what: str
    source: str
    reason: str
    rest: str = ""

    def covers(self, block: str, set_name: str, point: Point) -> bool:
        """Whether this waiver means that point."""
        return (point.kind in ("line", "branch") and block == self.block and set_name in self.sets
                and point.module == self.module and point.what == self.what
                and bool(re.search(self.source, point.source)) and bool(re.match(self.rest, point.rest)))


def _waiver(block: str, sets: str, module: str, what: str, source: str, reason: str, rest: str = ""
            ) -> Waiver:
    return Waiver(block=block, sets=tuple(sets.split(", ")), module=module, what=what, source=source, reason=reason,
                  rest=rest)


_SCALE = "lanes16, lanes4, lanes3, lane, lane_deep"
_BLOCKS = "blocks16, blocks4, blocks3, blocks"
_LANE_0 = "lane 0 is never padding: the last beat of a token has at least one channel"
_THIRD = "one 2-D level takes two bits of a slot's number and the next one two more, of which there is one"
_SINKS = ("the queue has room for a sink in the lifting unit beside as many as the Hadamard unit holds; it holds as "
          "many only without a gap between their beats, and then its next one waits until the lifting unit is empty")
_DMA = "grid64, line128, wide512"
_CONSTANT = "a beat of whole blocks has a constant sign in each lane; that of this one is written as 1 ^ 1"
_LAST_TURN = "the branches before it are all other turns"
_ONE_BURST = "a descriptor is one burst, which is asked for while no other stream asks, and at once"
_ONE_BEAT = "as many rescale lanes as columns: a token's results of a column tile are one beat"
_ONE_WORD = "a token's results of a column tile are 16 bytes at a multiple of 16, which lie in one word of 64"
WAIVERS: tuple[Waiver, ...] = (
    _waiver("hadamard", "one_beat, two_blocks", "stamp_hadamard", "cond_else", r"^signed0 <= ~\(last & ", _LANE_0,
            rest=r"i__payload_x_0[^:]* : \d+'d0;"),
    _waiver("hadamard", "one_beat, two_blocks", "stamp_hadamard", "cond_then",
            r"^signed(15|31) <= .*\(1'b1 \^ 1'b1\) \? ", _CONSTANT, rest=r"-\{"),
    _waiver("scale", _SCALE, "stamp_scale", "cond_then", r"product\d_padded(\[0\])? \? 8'd0", _LANE_0),
    _waiver("scale", _BLOCKS, "stamp_scale", "cond_then", r"round_padded(\[0\])? \? ", _LANE_0,
            rest=r"(\? )?steps\d+ : mid\)"),
    _waiver("scale", _BLOCKS, "stamp_scale", "cond_else", r"round_padded(\[0\])? \? ", _LANE_0,
            rest=r"teps\d+ : mid\)"),
    _waiver("mac", "flat, split_flat", "stamp_mac", "else", r"^if \(tile_ends\) row <= ",
            "one row: a row that ends ends its tile"),
    _waiver("mac", "flat, blocks_flat, split_flat", "stamp_pe", "cond_else", r"^hold\d <= ",
            "one row: there are no sums below it to take"),
    _waiver("haar", "forward_tiny, forward_tiny_deep", "stamp_haar", "cond_then", r"^assign shift = ", _THIRD,
            rest=r"2'd2 : 2'd3\)"),
    _waiver("engine", "1x3", "stamp_engine_front_haar", "cond_then", r"^assign shift = ", _THIRD,
            rest=r"2'd2 : 2'd3\)"),
    _waiver("engine", "rotated, 4x4 blocks", "stamp_engine_front_sinks", "cond_else",
            r"<= \|fill\[4:0\] \? value : entry4;$", _SINKS),
    _waiver("engine", "two_blocks", "stamp_engine_front_sinks", "cond_else",
            r"<= \|fill\[8:0\] \? value : entry8;$", _SINKS),
    _waiver("engine", "2x3 blocks", "stamp_engine_drain_blocks", "cond_else",
            r"<= \|fill\[2:0\] \? value : entry2;$",
            "three blocks at once end within 9 cycles; of blocks of 6 steps only a token's last may be 4 long, and a "
            "whole one follows it"),
    _waiver("engine", "2x2 split blocks", "stamp_engine_drain_blocks", "cond_else",
            r"<= \|fill\[2:0\] \? value : entry2;$",
            "a drain has ended 12 cycles behind its block's last step; of the two blocks behind it only a token's last "
            "may be 4 steps long, and the other one is whole, 8 of them: the third is pushed when the first is popped"),
    _waiver("axi", "grid, line", "stamp_axi_counters", "else", r"^else if \(late_turn == \d+'h1f\) ",
            _LAST_TURN),
    _waiver("dma", _DMA, "stamp_dma_counters", "else", r"^else if \(late_turn == \d+'h1f\) ", _LAST_TURN),
    _waiver("dma", _DMA, "stamp_dma_read_port", "cond_then", r"^assign chosen = ",
            "behind a descriptor's burst the order table is the first to be read: it asks together with weights and "
            "parameters, and activations wait for it",
            rest=r"(3'd2 : wgt__valid \? )?(3'd3 : par__valid \? )?3'd4 : 3'd0\) : \(turn == 3'd1\)"),
    _waiver("dma", _DMA, "stamp_dma_read_port", "cond_else", r"^assign chosen = ", "there are turns 0 to 4",
            rest=r" 3'd0 : order__valid [^()]*\) : 3'd0;"),
    _waiver("dma", _DMA, "stamp_dma_chain_reader", "cond_then", r"^assign first = ",
            "a descriptor is as long as a burst, or several"),
    _waiver("dma", "line128", "stamp_dma_chain_reader", "cond_else", r"^assign further = ", _ONE_BURST),
    _waiver("dma", "line128", "stamp_dma_chain_reader", "cond_else", r"^request__valid <= ", _ONE_BURST,
            rest=r" \((\$signed\()?_\d+_\)? >= "),
    _waiver("dma", _DMA, "stamp_dma_sequencer", "else", r"^else if \(state == STATE_RUN\) begin",
            "the branches before it are all other states"),
    _waiver("dma", "line128", "stamp_dma_packer", "else", r"^if \(fresh\) ", _ONE_BEAT),
    _waiver("dma", "line128", "stamp_dma_packer_gear", "cond_then", r"^assign base = opened \? ", _ONE_BEAT),
    _waiver("dma", "wide512", "stamp_dma_packer_gear", "cond_then",
            r"^assign (after|kept) = final_ .*\(o__valid & o__ready\)", _ONE_WORD,
            rest=r"(- 4'd8\)|544'd0) : (fill|pieces);"),
    _waiver("dma", "wide512", "stamp_dma_write_port", "cond_else", r"^if \(taken\) count <= i__payload_ends \? ",
            _ONE_WORD),
)
