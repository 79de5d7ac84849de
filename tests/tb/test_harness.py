"""The harness itself: what it detects, what it reports, and how builds are cached, on the pilot of
tests/support/pilot.py."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.lib import data

from stamp_hw.cli.main import main
from stamp_hw.errors import ConfigError, ToolError
from stamp_hw.params import MacParams
from tb.bench.layout import from_json, layout_of, ports_of, to_json
from tb.bench.patterns import Pattern, listed, periodic, random_bits
from tb.run import block, simulator
from tb.run.block import catch, elaborate, fresh_seed, run_block
from tb.run.fault import Fault, replace
from tests.support import pilot, pilot_failing, pilot_few

ROOT = Path(__file__).parents[2]
NARROW = pilot.PARAMETER_SETS["narrow"]
SMALL = {"bench": pilot, "words": 2_000}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty build folder but for Verilator's runtime, which takes longest to compile."""
    (tmp_path / "rtl").mkdir()
    for runtime in (simulator.BUILD_ROOT / "rtl").glob("runtime-*"):
        if len(runtime.suffixes) == 0:
            shutil.copytree(runtime, tmp_path / "rtl" / runtime.name)
    return tmp_path


@pytest.mark.rtl
@pytest.mark.parametrize("name", pilot.PARAMETER_SETS)
def test_a_right_block_passes_and_every_misbehaviour_is_seen(name: str) -> None:
    """The bench holds one test for each kind of broken stream; see tests/support/pilot.py."""
    seed = fresh_seed()
    result = run_block("pilot", name, seed, **SMALL)
    assert result.passed and not result.crashed and result.words >= 2_000 and len(result.tests) == 6
    assert result.timed_beats > 800 and result.cycles > 400 and result.events["beats"] > 400
    assert not result.log.exists(), "a passing run leaves nothing"


@pytest.mark.rtl
def test_a_failing_run_names_block_job_beat_lane_values_seed_and_command() -> None:
    seed = fresh_seed()
    fault = Fault(name="plus_two", block="pilot", why="adds 2", patch=(pilot.INCREMENT, lambda value: value + 2))
    message = (r"block pilot, set narrow, random_values_under_stalls: job 0 [\w.]+ [\w.]+, o\.a, beat 0, lane 0: "
               rf"got -?\d+, expected -?\d+ .*seed {seed}; again: stamp-hw verify --block pilot --set narrow "
               rf"--seed {seed} --words 2000 --test random_values_under_stalls; log: ")
    with pytest.raises(AssertionError, match=message) as caught:
        run_block("pilot", "narrow", seed, fault=fault, tests=["random_values_under_stalls"], **SMALL)
    assert Path(str(caught.value).rsplit("log: ", 1)[1]).is_file()


@pytest.mark.rtl
def test_a_warning_in_the_simulator_process_and_an_empty_loop_fail_the_run() -> None:
    result = run_block("pilot", "narrow", fresh_seed(), bench=pilot_failing, words=1, check=False)
    assert not result.passed and result.crashed and len(result.failures) == 2
    assert result.failures[0] == "warns: DeprecationWarning: old call"
    assert "a round of jobs() compared no word" in result.failures[1]


@pytest.mark.rtl
def test_a_run_that_compares_too_few_words_fails() -> None:
    with pytest.raises(AssertionError, match="set narrow: 3 words compared, 10000 wanted"):
        run_block("pilot", "narrow", fresh_seed(), bench=pilot_few, words=10_000)


def test_no_test_of_a_given_name_is_no_success() -> None:
    with pytest.raises(ConfigError, match="pilot: unknown test; got no_such; expected one_beat or no_beat"):
        run_block("pilot", "narrow", 1, tests=["no_such"], check=False, bench=pilot_few)


@pytest.mark.rtl
def test_a_run_that_compares_nothing_fails() -> None:
    with pytest.raises(AssertionError, match="set narrow: nothing compared; seed 3; again: .* --test no_beat$"):
        run_block("pilot", "narrow", 3, bench=pilot_few, tests=["no_beat"], words=1)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """`stamp-hw verify` knows the bench of pilot_few.py and no other."""
    monkeypatch.setattr(block, "blocks", lambda: ("pilot",))
    monkeypatch.setattr(block, "bench_module", lambda _block: pilot_few)


@pytest.mark.rtl
@pytest.mark.parametrize("tests", [["no_beat"], ["one_beat", "no_beat"]])
@pytest.mark.usefixtures("few")
def test_verify_shows_that_a_named_test_compared_nothing(tests: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    named = [word for test in tests for word in ("--test", test)]
    assert main(["verify", "--set", "narrow", "--block", "pilot", "--seed", "3", "--words", "2", *named]) == 1
    text = capsys.readouterr().out
    assert text.splitlines()[3].endswith("  NOTHING")
    assert "pilot narrow: nothing compared by no_beat\n" in text
    assert f"again: stamp-hw verify --block pilot --set narrow --seed 3 --words 2 {' '.join(named)}\n" in text
    assert "log:" not in text, "there is none"


@pytest.mark.rtl
@pytest.mark.usefixtures("few")
def test_verify_takes_words_that_a_test_compared_as_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--block", "pilot", "--set", "narrow", "--test", "one_beat"]) == 0
    assert capsys.readouterr().out.splitlines()[3].split()[-1] == "ok"


@pytest.mark.parametrize(("arguments", "message"), [
    (["--test", "nope"], "--test: unknown test; got 'nope'; expected one_beat or no_beat"),
    (["--set", ""], "--set: a parameter set belongs to a block; got ; expected --block as well"),
    (["--config", "."], ".: cannot read configuration; got Is a directory; expected a readable YAML file"),
])
@pytest.mark.usefixtures("few")
def test_verify_refuses_an_impossible_request_in_one_line(arguments: list[str], message: str,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", *arguments]) == 2
    assert capsys.readouterr() == ("", f"stamp-hw: {message}\n")


def test_verify_does_not_take_an_empty_block_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--block", ""]) == 2
    assert "unknown block" in capsys.readouterr().err


def test_verify_builds_the_hardware_of_its_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    def built(*_: object, params: MacParams, **__: object) -> None:
        raise ConfigError(f"{params.rows} x {params.cols}")

    config = tmp_path / "npu.yaml"
    config.write_text("hw: {rows: 3}")
    monkeypatch.setattr(block, "run_block", built)
    for options, wanted in ((["--hw", "cols=5"], "8 x 5"), (["--config", str(config), "--hw", "cols=5"], "3 x 5")):
        assert main(["verify", "--block", "mac", *options]) == 2
        assert capsys.readouterr().err == f"stamp-hw: {wanted}\n"


def test_the_reproduce_command_keeps_every_option_and_is_quoted() -> None:
    command = block.reproduce("mac", "8x8", 7, tests=["a", "b"], words=5, config="my c.yaml",
                              hw=["rows=4", "cols=2"], trace="t.st")
    assert command == ("stamp-hw verify --block mac --set 8x8 --seed 7 --config 'my c.yaml' --hw rows=4 --hw cols=2"
                       " --trace t.st --words 5 --test a --test b")


@pytest.mark.rtl
def test_the_same_seed_draws_the_same_values_and_another_seed_others() -> None:
    runs = [run_block("pilot", "narrow", seed, tests=["random_values_under_stalls"], **SMALL) for seed in (5, 5, 6)]
    assert runs[0].cycles == runs[1].cycles != runs[2].cycles


@pytest.mark.rtl
def test_waves_show_the_signals_below_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "wave_format", lambda: simulator.VCD)
    result = run_block("pilot", "narrow", 1, waves=True, tests=["directed_values"], **SMALL)
    assert result.wave is not None
    text = result.wave.read_text("utf-8")
    assert "$enddefinitions" in text and " i__payload_last $end" in text


@pytest.mark.rtl
def test_builds_are_cached_by_content_and_a_broken_one_leaves_no_folder(root: Path) -> None:
    files, _ = elaborate(pilot, NARROW, "stamp_pilot")
    first, seconds = simulator.build(files, "stamp_pilot", root=root)
    assert seconds > 0 and simulator.build(files, "stamp_pilot", root=root) == (first, 0.0)
    other = {name: text.replace("// Parameters", "// parameters") for name, text in files.items()}
    second, seconds = simulator.build(other, "stamp_pilot", root=root)
    assert second != first and seconds > 0
    broken = {name: text.replace("endmodule", "assign endmodule") for name, text in files.items()}
    with pytest.raises(ToolError, match=r"\.log: build of stamp_pilot failed; got %Error: .*syntax") as caught:
        simulator.build(broken, "stamp_pilot", root=root)
    assert "\n" not in str(caught.value)
    kept = {path.name for path in (root / "rtl").iterdir() if path.is_dir() and not path.name.startswith("runtime-")}
    assert kept == {first.name, second.name}


@pytest.mark.rtl
def test_two_processes_may_build_the_same_thing_at_once(root: Path) -> None:
    code = ("import sys, pathlib; from tests.support import pilot; from tb.run import simulator;"
            "from tb.run.block import elaborate;"
            "print(*simulator.build(elaborate(pilot, pilot.PARAMETER_SETS['narrow'], 'stamp_pilot')[0], 'stamp_pilot',"
            " root=pathlib.Path(sys.argv[1])))")
    both = [subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True,
                             cwd=ROOT) for _ in range(2)]
    folders, seconds = zip(*(process.communicate()[0].split() for process in both), strict=True)
    assert folders[0] == folders[1] and sorted(value == "0.0" for value in seconds) == [False, True]


def test_a_fault_that_changes_nothing_is_refused() -> None:
    same = Fault(name="same", block="pilot", why="nothing", patch=(pilot.INCREMENT, lambda value: value + 1))
    with pytest.raises(ValueError, match="pilot.same leaves the Verilog as it was"):
        elaborate(pilot, NARROW, "stamp_pilot", same)
    absent = Fault(name="absent", block="pilot", why="nothing", edit=replace("no such text", ""))
    with pytest.raises(ValueError, match="holds 'no such text' 0 times"):
        elaborate(pilot, NARROW, "stamp_pilot", absent)
    with pytest.raises(ValueError, match="exactly one of patch and edit"):
        Fault(name="both", block="pilot", why="neither")


@pytest.mark.rtl
def test_a_fault_counts_as_caught_only_when_a_difference_is_found() -> None:
    tests = ("random_values_under_stalls",)
    seen = Fault(name="plus_two", block="pilot", why="adds 2", tests=tests,
                 patch=(pilot.INCREMENT, lambda value: value + 2))
    assert catch(seen, fresh_seed(), bench=pilot).mismatches > 0
    harmless = Fault(name="comment", block="pilot", why="nothing happens", tests=tests,
                     edit=replace("// Parameters", "// parameters"))
    with pytest.raises(AssertionError, match=r"fault pilot\.comment \(nothing happens\), .*: the regression passed"):
        catch(harmless, fresh_seed(), words=500, bench=pilot)
    crash = Fault(name="crash", block="pilot", why="the bench warns", edit=harmless.edit, tests=("warns",))
    with pytest.raises(AssertionError, match="the testbench crashed: warns: DeprecationWarning"):
        catch(crash, fresh_seed(), bench=pilot_failing)


def test_unknown_blocks_and_sets_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="unknown block; got alu"):
        run_block("alu", "narrow", 1)
    with pytest.raises(ConfigError, match="pilot: unknown parameter set; got huge; expected narrow or bytes"):
        run_block("pilot", "huge", 1, bench=pilot)


LAYOUT = data.StructLayout({
    "last": 1, "code": data.ArrayLayout(signed(5), 3), "wide": signed(63), "whole": data.ArrayLayout(16, 2),
    "pair": data.ArrayLayout(data.StructLayout({"x": signed(1), "y": 7}), 2), "grid": data.ArrayLayout(
        data.ArrayLayout(3, 2), 2)})


def by_hand(fields: dict[str, np.ndarray], beat: int) -> int:
    """The flat integer of one beat, field by field from the low end, as Amaranth lays a struct out."""
    value, place = 0, 0

    def put(number: int, width: int) -> None:
        nonlocal value, place
        value |= (int(number) & ((1 << width) - 1)) << place
        place += width
    put(fields["last"][beat], 1)
    for lane in range(3):
        put(fields["code"][beat, lane], 5)
    put(fields["wide"][beat], 63)
    for lane in range(2):
        put(fields["whole"][beat, lane], 16)
    for lane in range(2):
        put(fields["pair.x"][beat, lane], 1)
        put(fields["pair.y"][beat, lane], 7)
    for row, column in np.ndindex(2, 2):
        put(fields["grid"][beat, row, column], 3)
    return value


def test_packing_follows_the_layout_and_unpacking_undoes_it() -> None:
    rng = np.random.default_rng(fresh_seed())
    layout = layout_of(LAYOUT, "payload")
    assert layout.names == ("last", "code", "wide", "whole", "pair.x", "pair.y", "grid")
    for beats in (0, 1, 5000):
        fields = {leaf.name: rng.integers(leaf.limits()[0], leaf.limits()[1], (beats, *leaf.shape), endpoint=True)
                  for leaf in layout.leaves}
        packed = layout.pack(fields)
        assert packed == [by_hand(fields, beat) for beat in range(beats)]
        back = layout.unpack(packed)
        assert all(np.array_equal(back[name], fields[name]) and back[name].dtype == np.int64 for name in layout.names)


def test_packing_refuses_what_does_not_fit() -> None:
    layout = layout_of(data.StructLayout({"a": data.ArrayLayout(signed(4), 2), "b": 1}), "payload")
    good = {"a": np.zeros((3, 2), int), "b": np.ones(3, int)}
    assert len(layout.pack(good)) == 3
    for change, message in (({"a": np.full((3, 2), 8)}, "field a: 8…8 does not fit -8…7"),
                            ({"b": np.array([0, -1, 0])}, "field b: -1…0 does not fit 0…1"),
                            ({"a": np.zeros((3, 3), int)}, "field a: shape"), ({"b": [0, 1]}, "different numbers of"),
                            ({"b": np.zeros(3)}, "field b: float64 given"), ({"c": [1] * 3}, "fields .* given")):
        with pytest.raises(ValueError, match=message):
            layout.pack(good | change)
    with pytest.raises(ValueError, match="64 bits, at most 63"):
        layout_of(data.StructLayout({"a": 64}), "payload")


def test_ports_survive_their_way_to_the_simulator() -> None:
    component = pilot.Pilot(pilot.PARAMETER_SETS["bytes"])
    component._MustUse__used = True
    ports = ports_of(component)
    assert [(port.name, port.kind) for port in ports] == [("i", "in"), ("o", "out"), ("fault", "input"),
                                                         ("events", "events")]
    assert from_json(to_json(ports)) == ports and ports[0].layout.width == 31 * 8 + 1


def test_patterns_repeat_and_refuse_to_wait_for_ever() -> None:
    assert [periodic(2, 1)(cycle) for cycle in range(7)] == [True, True, False, True, True, False, True]
    assert [periodic(1, 2, first_off=True)(cycle) for cycle in range(4)] == [False, False, True, False]
    assert [listed([0, 1])(cycle) for cycle in range(3)] == [False, True, False]
    bits = random_bits(np.random.default_rng(fresh_seed()), density=0.25).bits
    assert len(bits) == 997 and 150 < sum(bits) < 350
    for wrong in ((0, 0), (), (1, 2)):
        with pytest.raises(ValueError, match="at least one of them 1"):
            Pattern(wrong, "wrong")
