"""Arguments that are wrong end in one line that names them and where to read more, exit code 2."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from stamp_hw.cli.main import main, parser
from tests.support.refusals import TRACE, refused

ONCE = {  # options that may be repeated; a repeat of any other is refused
    "--hw", "--job", "--shape", "--fit", "--test", "--seed", "--waves", "--vectors", "--blocks", "--help", "--verbose",
    "--center", "--predict", "--simulate-only"}


@pytest.mark.parametrize("command", [word for word in (
    "simulate", "compare", "sweep", "report", "ablate", "widths", "tune", "trace dump", "eval", "generate", "program",
    "synth", "place", "board", "verify")])
def test_no_option_silently_forgets_an_earlier_one(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args([*command.split(), "--help"])
    options = set(re.findall(r"^  (--[a-z-]+) ", capsys.readouterr().out, re.M))
    repeatable = ONCE - ({"--seed"} if command != "place" else set()) - ({"--fit"} if command == "tune" else set())
    repeatable |= {"--energy-set", "--accuracy"} if command == "compare" else set()
    values = {"--dtype": "float32", "--device": "cpu", "--rotate": "hadamard", "--levels": "1", "--transforms": "haar",
              "--features": "none", "--mode": "scalesim", "--dataflow": "os", "--kv-bits": "4",
              "--mapping": "searched", "--objective": "edp", "--block": "engine"}
    checked = 0
    for option in options - repeatable:
        with pytest.raises(SystemExit) as stop:
            parser().parse_args([*command.split(), *[option, values.get(option, "1")] * 2])
        said = capsys.readouterr().err
        assert stop.value.code == 2 and f"argument {option}: given twice" in said and len(said.splitlines()) == 1
        checked += 1
    assert checked >= 2


@pytest.mark.parametrize(("arguments", "option"), [
    ("simulate ''", "TRACE"), (f"simulate {TRACE} --json ''", "--json"), ("generate --out ''", "--out"),
    (f"simulate {TRACE} --config ''", "--config"), ("eval --model '' --text t", "--model"),
    ("trace dump --model '' --text t --out o", "--model"), ("trace info ''", "FILE")])
def test_an_empty_name_is_not_the_current_folder(arguments: str, option: str, capsys: pytest.CaptureFixture[str]
                                                 ) -> None:
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(shlex.split(arguments))
    said = capsys.readouterr().err
    assert stop.value.code == 2 and len(said.splitlines()) == 1
    assert option in said and "is expected, not an empty text" in said


@pytest.mark.parametrize("arguments", [["simulate", str(TRACE), "--layers", "nothing_like_it"],
                                       ["simulate", str(TRACE), "--layers", "("],
                                       ["simulate", str(TRACE), "--schemes", "a5"],
                                       ["verify", "--block", "alu"], ["synth", "--block", "alu"]],
                         ids=lambda arguments: " ".join(arguments[-2:]))
def test_a_name_that_does_not_exist_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert arguments[-1] in refused(arguments, capsys)


def test_the_program_itself_prints_one_line_and_exits_with_two(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "stamp_hw", "simulate", str(tmp_path / "missing")],
                          capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "missing" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["simulat"], ["simulate"], ["simulate", "x", "--seed", "a"], ["trace"]],
                         ids=lambda arguments: " ".join(["stamp-hw", *arguments]))
def test_wrong_arguments_are_one_line_as_well(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(arguments)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and len(said.splitlines()) == 1
    assert "--help" in said and all(word in said for word in arguments[:1])


@pytest.mark.parametrize(("arguments", "command"), [
    (["simulate", "T", "a\nb\x1b[2J\u2028"], "stamp-hw simulate"), (["a\nb"], "stamp-hw"),
    (["simulate", "T", "--colour"], "stamp-hw simulate"), (["trace", "info", "T", "--colour"], "stamp-hw trace info"),
    (["simulate", "T", "--seed", "\n"], "stamp-hw simulate"), (["simulate", "T", "x" * 100_000], "stamp-hw simulate"),
    (["trace", "\x1b[2J"], "stamp-hw trace")], ids=lambda value: ascii(value)[:40])
def test_a_wrong_argument_is_shown_printable_and_with_its_commands_help(
        arguments: list[str], command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(arguments)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.endswith(f"see {command} --help\n") and said.startswith(f"{command}: ")
    assert said[:-1].isprintable() and len(said) < 600


@pytest.mark.parametrize(("words", "near"), [
    (["simulat", "T"], "simulate"), (["verfy"], "verify"), (["trace", "inof"], "info"),
    (["simulate", "T", "--jsn", "F"], "--json"), (["eval", "--model", "m", "--text", "t", "--device", "gpu"], "cpu"),
    (["eval", "--model", "m", "--text", "t", "--sequenzes=3"], "--sequences"), (["xyz"], None),
    (["verify", "fromal"], "formal")])
def test_a_word_that_is_nearly_right_is_asked_about(words: list[str], near: str | None,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.count("\n") == 1
    assert (f"; did you mean {near}?; see stamp-hw " in said) if near else ("did you mean" not in said)


def said_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that the parser ends with; nothing runs, even where it takes the words."""
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(words)
    said = capsys.readouterr()
    assert stop.value.code == 2 and said.err.count("\n") == 1 and not said.out
    return said.err


@pytest.mark.parametrize(("words", "named"), [
    (["--shape", "32x192x192", "--foo", "5"], "--foo"), (["--foo", "5", "--shape", "32x192x192"], "--foo"),
    (["T", "--foo", "5"], "--foo"), (["--shape", "32x192x192", "--foo=5", "--bar", "x"], "--foo --bar"),
    (["--shape", "32x192x192", "-f", "5"], "-f"), (["--shape", "32x192x192", "--jsonn", "5"], "--jsonn")])
def test_an_unknown_option_is_named_and_the_word_behind_it_is_no_trace(words: list[str], named: str,
                                                                      capsys: pytest.CaptureFixture[str]) -> None:
    said = said_of(["simulate", *words], capsys)
    assert f"unrecognized arguments: {named};" in said and "TRACE" not in said


def test_an_option_may_be_shortened_and_a_word_behind_two_dashes_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    found = parser().parse_args(["simulate", "--sch", "a4", "--energy=x", "--", "--foo"])
    assert (found.schemes, str(found.energy_set), str(found.trace)) == ("a4", "x", "--foo")
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(["simulate", "--foo", "--help"])
    assert stop.value.code == 0 and capsys.readouterr().out.startswith("usage: stamp-hw simulate")


@pytest.mark.parametrize("text", ["1_0", " 1", "\u0663", "1e3", "0x10", ""])
@pytest.mark.parametrize("words", [
    ["verify", "--seed"], ["verify", "--words"], ["verify", "--jobs"], ["verify", "deep", "--seed"],
    ["simulate", "T", "--seed"], ["place", "--config", "C", "--seed"], ["eval", "--sequences"], ["eval", "--sinks"],
    ["trace", "dump", "--length"]], ids=" ".join)
def test_a_whole_number_is_decimal_digits(words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = said_of([*words, text], capsys)
    assert f"argument {words[-1]}: a whole number " in said and f"expected, not {text!r}" in said


@pytest.mark.parametrize(("words", "most"), [
    (["verify", "--jobs"], 19), (["simulate", "--prefill"], 19), (["place", "--config", "C", "--seed"], 19),
    (["simulate", "--kv-bits"], 99)])
def test_a_number_of_too_many_digits_is_called_that(words: list[str], most: int, capsys: pytest.CaptureFixture[str]
                                                    ) -> None:
    assert (f"argument {words[-1]}: a whole number of at most {most} digits is expected, not one of {most + 1}; see "
            in said_of([*words, "9" * (most + 1)], capsys))


@pytest.mark.parametrize(("words", "least"), [(["--seed", "-1"], 0), (["--words", "0"], 1), (["--words", "-1"], 1)])
def test_verify_takes_no_seed_below_zero_and_no_words_below_one(words: list[str], least: int,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    assert said_of(["verify", *words], capsys) == (
        f"stamp-hw verify: argument {words[0]}: a whole number from {least} on is expected, not '{words[1]}'; see "
        "stamp-hw verify --help\n")


@pytest.mark.parametrize("words", [["prefill", "--model", "m"], ["--model", "m"], ["--jobs", "3", "--model=m"]])
def test_verify_with_a_model_is_its_prefill(words: list[str]) -> None:
    options = parser().parse_args(["verify", *words])
    assert (options.model, options.tokens, options.jobs) == ("m", 512, 3 if "3" in words else 2)
    assert options.run.__module__ == parser().parse_args(["verify", "prefill", "--model", "m"]).run.__module__


@pytest.mark.parametrize(("words", "message"), [
    (["--shape", "999999999x4x4"], "--shape: number too large; got 999999999; expected at most 8 digits"),
    (["--shape", "16x16,4,123456789"], "--shape: number too large; got 123456789; expected at most 8 digits"),
    (["--shape", "4x4x4", "--hw", "rows="], "--hw rows: no value; got rows=; expected KEY=VALUE, such as rows=16"),
    (["--shape", "4x4x4", "--job", "n_hi= "], "--job n_hi: no value; got n_hi=; expected KEY=VALUE, such as n_hi=32"),
    (["--shape", "4x4x4", "--seed", "0"], "--seed: option of traces; expected TRACE with it, not --shape"),
    (["--shape", "4x4x4", "--layers", ""], "--layers: option of traces; expected TRACE with it, not --shape")])
def test_the_line_says_what_is_wrong_with_a_value(words: list[str], message: str,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(["simulate", *words], capsys) == f"stamp-hw: {message}"
