"""`stamp-hw simulate`: bad input is one line, and nothing is written (docs/simulate.md)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stamp_hw.errors import OutputError, StampError
from stamp_hw.formats.trace import Trace
from tests.support.simulate_cases import ar1, run, write_one

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "models" / "traces" / "llama_small.safetensors"
HOROWITZ = ROOT / "sim" / "cost" / "energy_sets" / "horowitz45.yaml"


@pytest.mark.parametrize("value", [0, -1, 1.0, "7", True, 1 << 40])
def test_a_number_of_layers_that_is_none_is_refused(value: object, tmp_path: Path) -> None:
    trace = write_one(tmp_path / "t", ar1(np.random.default_rng(2), 16, 8), origin={"linear_layers": value})
    with pytest.raises(StampError, match="linear_layers is malformed.*at least"):
        run(trace)


def test_bad_input_is_refused_in_one_line_and_nothing_is_written(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a regular file")
    (tmp_path / "short.safetensors").write_bytes(toy.read_bytes()[:-1000])
    (tmp_path / "bad.yaml").write_text("hw: {rowz: 4}")
    (tmp_path / "tiny.yaml").write_text("hw: {act_slots: 4}")
    (tmp_path / "unset.yaml").write_text("hw: {technology: unobtainium}")
    (tmp_path / "good.yaml").write_text("{}")
    (tmp_path / "link.yaml").symlink_to(tmp_path / "good.yaml")
    own = tmp_path / "own_set.yaml"
    own.write_bytes(HOROWITZ.read_bytes())
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "out.json"
    for argv, said in (
        ((tmp_path / "missing.safetensors", "--json", out), "missing.safetensors"),
        ((tmp_path / "short.safetensors", "--json", out), "short.safetensors"),
        ((tmp_path / "file", "--json", out), "file"),
        ((tmp_path, "--json", out), str(tmp_path)),
        ((toy, "--json", tmp_path / "file" / "below.json"), "no folder"),
        ((toy, "--csv", tmp_path / "file" / "deep" / "below.csv"), "no folder"),
        ((toy, "--plots", tmp_path / "file"), "no folder"),
        ((toy, "--json", tmp_path), "a directory"),
        ((toy, "--json", tmp_path / ("a" * 300)), "long"),
        ((toy, "--json", tmp_path / ("a" * 250)), "long"),
        ((toy, "--json", toy), "the trace"),
        ((toy, "--csv", tmp_path / "link.yaml", "--config", tmp_path / "good.yaml"), "--config"),
        ((toy, "--csv", own, "--energy-set", own), "--energy-set"),
        ((toy, "--json", out, "--csv", tmp_path / "." / "out.json"), "--json"),
        ((toy, "--plots", tmp_path, "--csv", tmp_path / "token_energy.png"), "--csv"),
        ((toy, "--plots", out, "--json", out), "--json"),
        ((toy, "--json", out, "--schemes", "stamp,a5"), "a5"),
        ((toy, "--json", out, "--schemes", ","), "none"),
        ((toy, "--json", out, "--schemes", "a4,a4"), "once"),
        ((toy, "--json", out, "--layers", "nothing_like_it"), "no layer matches"),
        ((toy, "--json", out, "--layers", "("), "regular expression"),
        ((toy, "--json", out, "--layers", "a{99999999999}"), "regular expression"),
        ((toy, "--json", out, "--layers", "(" * 5000 + ")" * 5000), "regular expression"),
        ((toy, "--json", out, "--config", tmp_path / "bad.yaml"), "hw.rowz"),
        ((toy, "--json", out, "--config", tmp_path / "tiny.yaml"), f"{toy}, layer model.layers.0.q, "),
        ((toy, "--json", out, "--config", tmp_path / "tiny.yaml"), "act_slots"),
        ((toy, "--json", out, "--config", tmp_path / "unset.yaml"), "unobtainium"),
        ((toy, "--json", out, "--energy-set", tmp_path / "none.yaml"), "none.yaml"),
    ):
        with pytest.raises(StampError) as caught:
            run(*argv)
        assert said in str(caught.value) and "\n" not in str(caught.value), argv
        assert sorted(tmp_path.rglob("*")) == before, argv


def test_a_layer_that_fails_midway_leaves_no_file(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Trace.layer

    def broken(self: Trace, name: str) -> object:
        found = layer(self, name)
        return replace(found, x=np.where(found.x > 2, np.nan, found.x)) if name.startswith("model.layers.1") else found

    monkeypatch.setattr(Trace, "layer", broken)
    with pytest.raises(StampError, match=r"layer model\.layers\.1\.q.*NaN"):
        run(toy, "--json", tmp_path / "a.json", "--csv", tmp_path / "a.csv", "--plots", tmp_path / "plots")
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_output_is_refused_before_the_first_layer_runs(toy: Path, tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(Trace, "open", lambda path: pytest.fail("the trace was opened first"))
    with pytest.raises(OutputError):
        run(toy, "--plots", tmp_path / "file" / "plots")
