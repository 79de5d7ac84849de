"""`stamp-hw verify bench` as others run it: reports for a CI, several sets at a time, waveforms of what fails."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from stamp_hw.cli.main import main
from stamp_hw.errors import BuildError
from tb.commands import verify
from tb.run import block, regression, simulator
from tests.support import pilot_moods
from tests.support.commands import told

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--words", "2000", "--seed", "3"]


@pytest.fixture
def moods(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """`verify` knows the bench of pilot_moods.py and no other, its waveforms are VCD; a folder for what it writes."""
    monkeypatch.setattr(block, "blocks", lambda: ("pilot",))
    monkeypatch.setattr(block, "bench_module", lambda _block: pilot_moods)
    monkeypatch.setattr(simulator, "wave_format", lambda: simulator.VCD)
    monkeypatch.setenv(pilot_moods.MARKS, str(tmp_path / "marks"))
    (tmp_path / "marks").mkdir()
    return tmp_path


def pilot(*words: object, tests: str = "passes", sets: str = "narrow") -> list[str]:
    """The command line of these tests of the pilot, on one of its sets or, if `sets` is empty, on both."""
    named = [word for test in tests.split() for word in ("--test", test)]
    return ["verify", "--block", "pilot", *(("--set", sets) if sets else ()), *SMALL, *named, *map(str, words)]


def cases(path: Path) -> dict[str, ElementTree.Element]:
    """`suite/case` → its element."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == "testsuites"
    for element in (root, *root):
        for name, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert element.get(name) == str(len(list(element.iter(tag))))
    return {f"{suite.get('name')}/{case.get('name')}": case for suite in root for case in suite.iter("testcase")}


def waveforms(text: str) -> list[str]:
    return re.findall(r"^    waveform: (.*)$", text, re.M)


@pytest.mark.rtl
def test_the_smallest_real_set_passes_and_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    xml, document = tmp_path / "v.xml", tmp_path / "v.json"
    assert main(["verify", "bench", "--block", "rescale", "--set", "one", "--words", "1000", "--junit", str(xml),
                 "--json", str(document)]) == 0
    out = capsys.readouterr().out.splitlines()
    found, (row,) = json.loads(document.read_text()), json.loads(document.read_text())["rows"]
    assert out[0] == f"seed {found['seed']}" and len(out) == 4
    names = ("block", "set", "words", "cycles", "timed_beats", "mismatches", "cycle_differences", "event_differences")
    assert out[3].split()[:8] == [str(row[name]) for name in names] and out[3].split()[9] == row["verdict"] == "ok"
    assert found["exit_code"] == 0 and found["config"] is None and found["unfinished"] is None
    assert set(found["tools"]) >= {"python", "verilator", "cocotb", "amaranth", "g++"} and all(found["tools"].values())
    assert row["params"]["lanes"] == 1 and row["again"].startswith("stamp-hw verify --block rescale --set one --seed ")
    bench = block.bench_module("rescale")
    assert set(cases(xml)) == {f"rescale.one/{test}" for test in block.tests_of(bench)} == {
        f"rescale.one/{test}" for test in row["tests"]}
    assert not any(len(case) for case in cases(xml).values())


@pytest.mark.rtl
def test_a_configuration_of_ones_own_is_in_the_report(tmp_path: Path) -> None:
    config, document = tmp_path / "mine.yaml", tmp_path / "v.json"
    config.write_text("hw: {rows: 2, cols: 2, lanes: 2, max_k: 16, max_tokens: 16, act_slots: 4}\n")
    assert main(["verify", "--config", str(config), "--block", "rescale", "--words", "500", "--json", str(document)]
                ) == 0
    found = json.loads(document.read_text())
    assert found["config"]["hw"]["cols"] == 2 and found["rows"][0]["params"]["max_k"] == 16
    assert f"--config {config}" in found["again"] and f"--config {config}" in found["rows"][0]["again"]


@pytest.mark.rtl
def test_every_test_is_a_case_with_its_one_line_reason_and_command(moods: Path, capsys: pytest.CaptureFixture[str]
                                                                   ) -> None:
    xml, document = moods / "v.xml", moods / "v.json"
    names = "passes differs_late differs_once has_nothing_to_do breaks"
    assert main(pilot("--junit", xml, "--json", document, tests=names)) == 3
    found, kept = cases(xml), waveforms(capsys.readouterr().out)
    assert list(found) == [f"pilot.narrow/{name}" for name in names.split()] and not len(found["pilot.narrow/passes"])
    for name, tag, message in (
            ("differs_late", "failure", r"run 1, o\.a, beat 0, lane 0: got -?\d+, expected -?\d+ \(9 of 9 beats .*"),
            ("differs_once", "failure", re.escape(r'beat 3: got\x1b 4, expected <5> & "6"')),
            ("breaks", "error", "KeyError: 'nobody'")):
        (element,) = found[f"pilot.narrow/{name}"]
        assert element.tag == tag and re.fullmatch(message, element.get("message", "")), element.get("message")
        again = f"again: stamp-hw verify --block pilot --set narrow --seed 3 --words 2000 --test {name}"
        assert element.text and again in element.text.splitlines()
        assert re.findall("^waveform: (.*)$", element.text, re.M) == [wave for wave in kept if name in wave]
    (skip,) = found["pilot.narrow/has_nothing_to_do"]
    assert (skip.tag, skip.get("message")) == ("skipped", "no layer <fits>")
    (row,) = json.loads(document.read_text())["rows"]
    assert json.loads(document.read_text())["exit_code"] == 3 and row["verdict"] == "BROKEN"
    assert [wrong["test"] for wrong in row["wrong"]] == ["differs_late", "differs_once", "breaks"]
    assert row["tests"]["has_nothing_to_do"]["nothing_to_do"] == "no layer <fits>" and Path(row["log"]).is_file()


@pytest.mark.rtl
def test_what_was_asked_for_by_name_and_compared_nothing_is_a_failure(moods: Path) -> None:
    xml = moods / "v.xml"
    assert main(pilot("--junit", xml, tests="has_nothing_to_do")) == 1
    (element,) = cases(xml)["pilot.narrow/has_nothing_to_do"]
    assert element.get("message") == "nothing compared by has_nothing_to_do: no layer <fits>"


@pytest.mark.rtl
@pytest.mark.parametrize("name", ["finish_0", "inverse_1d"])
def test_what_a_bench_skips_on_some_hardware_has_its_reason(name: str, tmp_path: Path) -> None:
    xml = tmp_path / "v.xml"
    assert main(["verify", "--block", "haar", "--set", name, "--words", "500", "--junit", str(xml)]) == 0
    reasons = {str(case[0].get("message")) for case in cases(xml).values() if len(case)}
    assert reasons and "nothing to compare" not in reasons


@pytest.mark.rtl
def test_a_simulator_that_dies_is_a_case_of_its_own_and_what_did_not_run_is_skipped(moods: Path) -> None:
    xml = moods / "v.xml"
    assert main(pilot("--junit", xml, tests="passes dies sleeps")) == 3
    found = cases(xml)
    assert list(found) == [f"pilot.narrow/{name}" for name in ("passes", "dies", "sleeps", "simulation")]
    assert [[child.tag for child in case] for case in found.values()] == [[], ["skipped"], ["skipped"], ["error"]]
    assert "did not run" in str(found["pilot.narrow/sleeps"][0].get("message"))


@pytest.mark.rtl
def test_a_failing_test_leaves_the_waveform_of_its_last_cycles(moods: Path, monkeypatch: pytest.MonkeyPatch,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(regression, "WAVE_CYCLES", 100)
    assert main(pilot(tests="passes differs_late")) == 1
    (path,) = waveforms(capsys.readouterr().out)
    assert path.endswith("/waves/pilot-narrow-3-differs_late.vcd"), "and its message is that of the first run"
    text = Path(path).read_text("utf-8")
    times = [int(line[1:]) for line in text.splitlines() if line.startswith("#")]
    cycles = (times[-1] - times[0]) / 10_000
    assert times[0] > 4_000_000 and 90 <= cycles <= 130, "the 500 right cycles before are left out"
    assert " i__payload_last $end" in text, "signals below the top as well"


@pytest.mark.rtl
def test_what_a_second_run_does_not_reproduce_is_said(moods: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(pilot(tests="differs_once")) == 1
    (line,) = waveforms(capsys.readouterr().out)
    path, _, said = line.partition(" (")
    assert Path(path).is_file() and said == "not reproduced: alone, with the same seed, it does not fail)"


@pytest.mark.rtl
def test_a_waveform_that_cannot_be_made_hides_no_failure(moods: Path, monkeypatch: pytest.MonkeyPatch,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    real = block.run_block

    def without_waves(*args: object, waves: bool = False, **options: object) -> simulator.Result:
        if waves:
            raise BuildError("build of stamp_pilot failed", where="x.log")
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(block, "run_block", without_waves)
    assert main(pilot(tests="differs_late")) == 1
    out = capsys.readouterr().out
    assert waveforms(out) == ["none (x.log: build of stamp_pilot failed)"] and "FAILED" in out


@pytest.mark.rtl
def test_waves_of_every_run_are_kept_when_asked_for(moods: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(pilot("--waves", tests="passes differs_late")) == 1
    (path,) = waveforms(capsys.readouterr().out)
    assert path.endswith("/waves/pilot-narrow-3.vcd") and Path(path).is_file()


STUBS = {"lz4.h": 'extern "C" int LZ4_versionNumber();', "zlib.h": 'extern "C" const char* zlibVersion();',
         "lz4.cpp": '#include "lz4.h"\nint LZ4_versionNumber() { return 1; }',
         "z.cpp": '#include "zlib.h"\nconst char* zlibVersion() { return ""; }'}


@pytest.mark.rtl
def test_a_waveform_is_fst_where_headers_and_libraries_of_it_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                                 ) -> None:
    for name, text in STUBS.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("CPATH", str(tmp_path))
    monkeypatch.setenv("LIBRARY_PATH", str(tmp_path))
    for name in ("lz4", "z"):
        subprocess.run(["g++", "-shared", "-fPIC", "-o", f"lib{name}.so", f"{name}.cpp"], cwd=tmp_path, check=True)
    assert simulator.wave_format() == simulator.FST
    (tmp_path / "lz4.h").write_text("#error none")
    assert simulator.wave_format() == simulator.VCD


@pytest.mark.rtl
def test_fst_is_written_and_smaller_than_vcd(moods: Path, monkeypatch: pytest.MonkeyPatch,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.undo()
    if simulator.wave_format() != simulator.FST:
        pytest.skip("FST needs liblz4-dev and zlib1g-dev")
    sizes = {}
    for kind in (simulator.FST, simulator.VCD):
        monkeypatch.setattr(simulator, "wave_format", lambda kind=kind: kind)
        result = block.run_block("pilot", "narrow", 3, bench=pilot_moods, tests=["passes"], words=2_000, waves=True)
        assert result.wave is not None and result.wave.suffix == f".{kind}"
        sizes[kind] = result.wave.stat().st_size
        assert result.wave.read_bytes()[:1] == (b"\0" if kind == simulator.FST else b"$")
    assert 0 < sizes[simulator.FST] < sizes[simulator.VCD]


def rows(text: str) -> list[list[str]]:
    """The cells of the rows without their seconds, and all lines behind them."""
    table = [re.sub(r" \d+\.\d  ", "  ", line).split() for line in text.splitlines()]
    return [line for line in table if line[:1] != ["log:"]]


@pytest.mark.long
@pytest.mark.rtl
def test_several_sets_at_a_time_print_the_rows_of_one_at_a_time(moods: Path, capsys: pytest.CaptureFixture[str]
                                                                ) -> None:
    said = []
    for jobs in (1, 2):
        assert main(pilot("--jobs", jobs, tests="passes differs_late", sets="")) == 1
        said.append(rows(capsys.readouterr().out))
    assert said[0] == said[1]
    assert [line[1] for line in said[0] if line[-1:] == ["FAILED"]] == ["narrow", "bytes"]
    assert sum(line[:1] == ["again:"] for line in said[0]) == 2 == sum(line[:1] == ["waveform:"] for line in said[0])


def listen() -> None:
    """A shell starts what runs in its background deaf to interrupts, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.rtl
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM], ids=["interrupt", "end"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_ends_every_process_and_the_reports_are_written(kind: signal.Signals, jobs: int, moods: Path
                                                                     ) -> None:
    """The signal goes to the main process alone, as `kill` sends it."""
    marks, document, xml = moods / "marks", moods / "v.json", moods / "v.xml"
    command = [sys.executable, "-m", "tests.support.verify_moods", *SMALL, "--test", "sleeps", "--jobs", str(jobs),
               "--json", str(document), "--junit", str(xml)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          preexec_fn=listen) as process:
        until = time.monotonic() + 240  # the simulators may have to be built
        while len(list(marks.iterdir())) < jobs and time.monotonic() < until and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(kind)
        try:
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130 and told(err) == "stamp-hw: interrupted\n"
    simulators = [int(mark.name) for mark in marks.iterdir()]
    assert len(simulators) == jobs and not [pid for pid in simulators if Path(f"/proc/{pid}").exists()]
    assert json.loads(document.read_text())["unfinished"] == "interrupted"
    (element,) = cases(xml)["run/run"]
    assert element.get("message") == "ended after 0 of 2 parameter sets: interrupted"


def test_a_run_that_an_error_ends_is_reported_with_what_there_is(moods: Path, monkeypatch: pytest.MonkeyPatch,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_block: str, set_name: str, *_: object, **__: object) -> simulator.Result:
        raise BuildError(f"build of {set_name} failed")

    monkeypatch.setattr(block, "run_block", broken)
    document, xml = moods / "v.json", moods / "v.xml"
    assert main(pilot("--json", document, "--junit", xml, sets="")) == 3
    assert capsys.readouterr().err == "stamp-hw: build of narrow failed\n"
    found = json.loads(document.read_text())
    assert (found["unfinished"], found["exit_code"], found["planned"]) == ("build of narrow failed", None, 2)
    assert list(cases(xml)) == ["run/run"]


@pytest.mark.rtl
def test_a_build_folder_of_ones_own_wins_over_the_environment(moods: Path) -> None:
    folder = moods / "build"
    (folder / "rtl").mkdir(parents=True)
    for runtime in (simulator.BUILD_ROOT / "rtl").glob("runtime-*"):  # what takes longest to compile
        if len(runtime.suffixes) == 0:
            shutil.copytree(runtime, folder / "rtl" / runtime.name)
    (moods / "file").touch()
    done = subprocess.run([sys.executable, "-m", "tests.support.verify_moods", *SMALL, "--set", "narrow", "--test",
                           "passes", "--build-dir", str(folder)], cwd=ROOT, capture_output=True, text=True, check=False,
                          env={**os.environ, "STAMP_BUILD": str(moods / "file")})
    assert (done.returncode, told(done.stderr)) == (0, "") and list((folder / "rtl").glob("*/stamp_pilot"))


@pytest.mark.parametrize(("words", "said"), [
    ("--jobs 0", "argument --jobs: a whole number from 1 on is expected, not '0'"),
    ("--jobs two", "argument --jobs: a whole number from 1 on is expected, not 'two'"),
    ("--junit HERE/a --json HERE/a", "--json HERE/a: output in the way of another file; got --junit HERE/a"),
    ("--junit HERE", "HERE: cannot write file; got a directory; expected a regular file"),
    ("--json HERE/file/a", "HERE/file/a: cannot write; got HERE/file is no folder; expected a writable folder"),
    ("--json HERE/c.yaml --config HERE/c.yaml", "--json HERE/c.yaml: output in the way of another file"),
    ("--json HERE/b --build-dir HERE/b", "--json HERE/b: output in the way of the build folder; got HERE/b"),
    ("--build-dir HERE/file", "HERE/file: cannot write; got File exists; expected STAMP_BUILD=DIR in the environment "
                              "or `verify --build-dir DIR`"),
    ("--json HERE/a --json HERE/b", "argument --json: given twice"),
])
def test_reports_and_folders_that_cannot_be_are_refused_in_one_line(
        words: str, said: str, moods: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(simulator, "build", lambda *_args, **_options: pytest.fail("built"))
    (moods / "file").touch()
    (moods / "c.yaml").touch()
    before = sorted(moods.rglob("*"))
    try:
        code: object = main(pilot(*words.replace("HERE", str(moods)).split()))
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert code == 2 and out == "" and len(err.splitlines()) == 1 and said.replace("HERE", str(moods)) in err
    assert sorted(moods.rglob("*")) == before


def test_the_help_of_verify_lists_its_words_and_loads_none_of_them() -> None:
    code = ("import sys; from stamp_hw.cli.main import main\n"
            "try: main(['verify', '--help'])\n"
            "finally: print([name for name in sys.modules if name.startswith(('tb.', 'cocotb', 'amaranth', 'numpy'))])")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for word in verify.WORDS:
        assert re.search(rf"^  {word} +\w", said, re.M), word
    loaded = set(said.splitlines()[-1].strip("[]").replace("'", "").split(", "))
    assert loaded == {"tb.commands", "tb.commands.verify", "tb.commands.bench", "tb.run",
                      "tb.run.blocks"}
