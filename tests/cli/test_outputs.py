"""Outputs that cannot be written, or that would replace an input, are refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.refusals import ROOT, TRACE, files, refused


@pytest.mark.parametrize("arguments", [
    ["simulate", str(TRACE), "--json", "FILE/below.json"], ["simulate", str(TRACE), "--csv", "FILE/below.csv"],
    ["simulate", str(TRACE), "--plots", "FILE/below"], ["generate", "--out", "FILE/below"],
    ["generate", "--out", "FILE"], ["simulate", str(TRACE), "--json", "FOLDER"],
    ["trace", "dump", "--model", "models/llama_small", "--text", "README.md", "--out", "FILE/below.safetensors"],
], ids=lambda arguments: " ".join(arguments[:2] + arguments[-2:]).replace(str(ROOT), ""))
def test_an_output_that_cannot_be_written_is_refused(arguments: list[str], tmp_path: Path,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "FILE").write_text("a regular file")
    (tmp_path / "FOLDER").mkdir()
    if arguments[0] == "trace":
        pytest.importorskip("torch")
    placed = [item.replace("FILE", str(tmp_path / "FILE")).replace("FOLDER", str(tmp_path / "FOLDER"))
              if item.startswith(("FILE", "FOLDER")) else item for item in arguments]
    assert str(tmp_path) in refused(placed, capsys)
    assert files(tmp_path) == {"FILE", "FOLDER"} and (tmp_path / "FILE").read_text() == "a regular file"


OVER = [  # a command, IN and OUT the same file, or OUT in the folder IN
    *(f"simulate {source} --{kind} OUT" for kind in ("json", "csv")
      for source in ("IN", f"{TRACE} --config IN", f"{TRACE} --energy-set IN")),
    *(f"ablate {source} --{kind} OUT" for kind in ("json", "csv")
      for source in ("IN", f"{TRACE} --config IN", f"{TRACE} --fit IN")),
    *(f"widths {source} --{kind} OUT" for kind in ("json", "plot") for source in ("IN", f"{TRACE} --config IN")),
    *(f"sweep {words}" for words in ("IN --out OUT", "IN --out STEM", "IN --out OTHER --csv OUT")),
    *(f"tune {source} --out OUT" for source in ("IN", f"{TRACE} --config IN", f"{TRACE} --fit IN")),
    *(f"program {source}" for source in ("IN --out OUT", f"{TRACE} --config IN --out OUT",
                                         "IN --out OTHER --header OUT", f"{TRACE} --config IN --out OTHER --header OUT",
                                         "IN --out OTHER --data FOLDER")),
    *(f"eval --json OUT --model {rest}" for rest in (
        "x --text IN", "x --prompts IN", "x --text t --config IN", "x --text t --calibration IN",
        "x --text t --weights IN", "FOLDER --text t")),
    *(f"trace dump --out OUT --model {rest}" for rest in ("x --text IN", "x --prompts IN", "FOLDER --text t")),
    *(f"trace dump --out STEM --model {rest}" for rest in ("x --text IN", "x --prompts IN")),
    "synth --config IN --json OUT", "place --config IN --json OUT", "generate --config IN --out OUT",
    "generate --config IN --out FOLDER",
]


@pytest.mark.parametrize("command", OVER, ids=lambda command: command.replace(str(TRACE), "TRACE"))
@pytest.mark.parametrize("link", [False, True], ids=["itself", "link"])
def test_an_output_never_replaces_an_input(command: str, link: bool, tmp_path: Path,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    if command.startswith(("eval", "trace dump")):
        pytest.importorskip("torch")
    source = tmp_path / "folder" / "in.partial"
    source.parent.mkdir()
    content = b"" if "--config IN" in command else b"held by the user"  # an empty configuration is one
    if "--energy-set IN" in command:
        content = (ROOT / "sim" / "cost" / "energy_sets" / "horowitz45.yaml").read_bytes()
    source.write_bytes(content)
    out = source
    if link:
        out = tmp_path / "link.partial"
        out.symlink_to(source)
    places = {"IN": source, "OUT": out, "OTHER": tmp_path / "other", "FOLDER": source.parent,
              "STEM": source.with_suffix(""), "t": __file__}
    line = refused([str(places.get(word, word)) for word in command.split()], capsys)
    assert "in the way" in line or command.startswith("generate")
    assert source.read_bytes() == content
    assert files(tmp_path) == {"folder", "folder/in.partial"} | ({"link.partial"} if link else set())
