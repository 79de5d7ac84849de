"""The census of registers: what it reads off Verilog, how it judges, and on one small run."""

from __future__ import annotations

import pytest

from stamp_hw.cli.main import main
from tb.census.reasons import REASONS
from tb.census.registers import COPY, STILL, Bit, census, instrumented, places, registers
from tb.census.report import Reason, judge
from tb.commands import census as command
from tb.run.block import bench_module, fresh_seed

VERILOG = """module top (
  input wire clk,
  output reg o
);
  reg [5:0] job;
  reg [4:0] walk, walk_base;
  wire unit;
  (* ram_style = "block" *) reg [3:0] memory [0:7];
  reg [3:0] other [0:7];
  wire [3:0] job_beats = job[3:0];
  wire [1:0] job_beats_low = job[1:0];
  wire job_two_d = job[4];
  wire [3:0] unit_walk = walk[4:1];
  always @(posedge clk)
    o <= job[0];
endmodule
"""


def data(*reached: str) -> bytes:
    """Toggle points of `top`, those of `reached` with a count of one, as Verilator writes them."""
    return b"".join(f"C '\x01page\x02v_toggle/top\x01o\x02{what.replace('_', '__05F')}' 1\n".encode()
                    for what in reached)


def moved(name: str, *bits: int) -> tuple[str, ...]:
    return tuple(f"census_bits_{name}[{bit}]:{edge}" for bit in bits for edge in ("0->1", "1->0"))


def test_registers_are_flip_flops_and_their_bits_have_the_names_of_fields() -> None:
    assert registers(VERILOG) == {"o": 1, "job": 6, "walk": 5, "walk_base": 5}
    found = places(VERILOG)
    assert found["job"] == [("beats_low", 0), ("beats_low", 1), ("beats", 2), ("beats", 3), ("two_d", 0),
                            ("", 5)]
    assert found["walk"] == [("", bit) for bit in range(5)] and len(found["walk_base"]) == 5


def test_a_copy_watches_every_register_and_nothing_else() -> None:
    text = instrumented({"top.v": VERILOG})["top.v"]
    assert "wire [5:0] census_bits_job = job;" in text and "census_bits_memory" not in text
    assert "wire [4:0] census_steps_job = job[5:1] ^ job[4:0];" in text and "census_steps_o" not in text
    assert text.startswith("/*verilator coverage_off*/\n") and text.count("coverage_on") == 1


def test_a_bit_must_move_both_ways_and_once_differ_from_the_bit_below_in_its_field() -> None:
    reached = [*moved("job", 0, 1, 2, 4, 5), "census_bits_job[3]:0->1", "census_bits_o:0->1", "census_bits_o:1->0",
               *moved("walk", 0, 1, 2, 3, 4), *(f"census_steps_walk[{bit}]:0->1" for bit in (0, 1, 3)),
               *moved("walk_base", 0, 1, 2, 3, 4), *(f"census_steps_walk_base[{bit}]:0->1" for bit in range(4))]
    found = census(data(*reached), {"top.v": VERILOG})
    assert {(bit.name, bit.bit): bit.lacks for bit in found if bit.lacks} == {
        ("top.job_beats_low", 1): COPY, ("top.job_beats", 3): STILL,  # bit 5 of job has no neighbour in its field
        ("top.walk", 3): COPY}
    assert len(found) == 17


BITS = [Bit("top.job", 0, ""), Bit("top.job", 1, STILL), Bit("top.job", 2, STILL), Bit("top.sum", 7, COPY)]
GOOD = (Reason(lacks=STILL, name=r"top\.job", bits={"one": "1-2"}, why="no job is as large"),
        Reason(lacks=COPY, name=r"top\.sum", bits={"one": ""}, why="a spare bit"))


def test_every_bit_that_lacks_something_needs_a_reason() -> None:
    lines, errors = judge("one", BITS, GOOD)
    assert errors == [] and lines == ["one: top.job[1,2] never move: no job is as large",
                                      "one: top.sum[7] never differ from the bit below: a spare bit"]
    assert judge("one", BITS, GOOD[:1])[1] == ["one: top.sum[7] never differ from the bit below, and nobody says why"]
    assert len(judge("another", BITS, GOOD)[1]) == 2


@pytest.mark.parametrize(("reason", "message"), [
    (Reason(lacks=STILL, name=r"top\.job", bits={"one": ""}, why="too wide"), "not so: top.job[0] never move"),
    (Reason(lacks=COPY, name=r"top\.job", bits={"one": "1"}, why="another kind"), "not so: top.job[1] never differ"),
    (Reason(lacks=STILL, name=r"top\.gone", bits={"one": ""}, why="idle"), "without a bit"),
])
def test_a_reason_that_is_wider_than_what_lacks_or_means_nothing_is_an_error(reason: Reason, message: str) -> None:
    assert any(message in error for error in judge("one", BITS, (*GOOD, reason))[1])


def test_reasons_name_sets_that_are_measured() -> None:
    for reason in REASONS:
        assert reason.why and set(reason.bits) <= set(command.SETS) <= set(bench_module("engine").PARAMETER_SETS)


def test_an_unknown_set_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "census", "16x16"]) == 2
    assert capsys.readouterr().err == "stamp-hw: SET: no census of this set; got 16x16; expected 2x2 or 1x3\n"


@pytest.mark.long
@pytest.mark.rtl
def test_a_run_moves_what_its_test_moves_and_no_more() -> None:
    """Column tiles alone fill every bit of their counters; sinks there are none."""
    found = command.measure("2x2", fresh_seed(), words=1, tests=["thousands_of_column_tiles_are_counted"])
    lacks = {(bit.name, bit.bit): bit.lacks for bit in found}
    for stage, counts in (("issue", "issue_order"), ("loader", "loader"), ("back_lift", "back_lift")):
        left = [lacks[f"stamp_engine_{counts}.column_tiles_left", bit] for bit in range(16)]
        assert not any(left)
        assert lacks[f"stamp_engine_{stage}_jobs.job_n_sink", 0] == STILL
