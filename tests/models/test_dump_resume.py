"""Dumps that are interrupted go on and end in the same bytes, or are refused; memory holds one layer at a time."""

from __future__ import annotations

import json
import os
import resource
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.dump import capture, images
from models.dump.parts import Parts
from stamp_hw.errors import TraceError
from stamp_hw.formats.trace import Trace
from tests.support.image_models import dump, interrupt, refused, words

pytestmark = [pytest.mark.trace, pytest.mark.usefixtures("one_thread")]

LAYERS = ("--layers", r"blocks\.1|proj_out")


@pytest.fixture(scope="module")
def pixart(pipelines: dict[str, Path]) -> Path:
    return pipelines["pixart"]


@pytest.fixture(scope="module")
def whole(pixart: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a dump that nobody interrupted."""
    return dump(pixart, tmp_path_factory.mktemp("whole") / "t", *LAYERS).read_bytes()


# --- going on --------------------------------------------------------------------------------------------------------

def test_an_interrupted_dump_goes_on_and_ends_in_the_same_bytes(tmp_path: Path, pixart: Path, whole: bytes,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    out, each = tmp_path / "t", 11  # layers a run
    for after, finished in ((each + 3, 1), (2 * each + 1, 3)):
        with monkeypatch.context() as patch:
            interrupt(patch, after)
            with pytest.raises(KeyboardInterrupt):
                dump(pixart, out, *LAYERS)
        assert not out.exists()
        assert len(list((tmp_path / "t.partial").glob("*.part"))) == finished
    seen = interrupt(monkeypatch, 10**6)
    dump(pixart, out, *LAYERS)
    assert set(seen) == {"@prompt2.step3"} and out.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["t"]  # the parts are gone


def test_a_dump_that_ended_before_its_file_was_there_only_writes(tmp_path: Path, pixart: Path, whole: bytes,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(images, "assemble", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            dump(pixart, tmp_path / "t", *LAYERS)
    seen = interrupt(monkeypatch, 0)
    assert dump(pixart, tmp_path / "t", *LAYERS).read_bytes() == whole and not seen


def test_a_full_disk_is_one_error_and_keeps_the_finished_parts(tmp_path: Path, pixart: Path, whole: bytes,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    """A file size limit stands for the disk: it lets the parts pass and stops the trace."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) - 100, hard))
    try:
        assert "cannot write file; got File too large" in refused(capsys, *words(pixart, tmp_path / "t", *LAYERS))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "t").exists() and len(list((tmp_path / "t.partial").glob("*.part"))) == 4
    assert dump(pixart, tmp_path / "t", *LAYERS).read_bytes() == whole


# --- what does not go on ---------------------------------------------------------------------------------------------

@pytest.fixture
def partial(tmp_path: Path, pixart: Path) -> Path:
    """A dump interrupted in its second part, and its output's name."""
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, 12)
        with pytest.raises(KeyboardInterrupt):
            dump(pixart, tmp_path / "t", *LAYERS)
    return tmp_path / "t"


@pytest.mark.parametrize(("change", "key"), [
    (("--steps", "1,2"), "steps differs are here; got [1, 2]; expected [1, 3]"),
    (("--seed", "1"), "seed differs are here; got 1; expected 0"),
    (("--size", "32"), "size"), (("--layers", "proj_out"), "layers"), (("--dtype", "bfloat16"), "dtype"),
    (("--guidance", "2"), "guidance"), (("--inference-steps", "5"), "inference_steps")])
def test_other_settings_are_refused(partial: Path, pixart: Path, change: tuple[str, ...], key: str,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, *words(pixart, partial, *(LAYERS if "--layers" not in change else ()), *change))
    assert f"t.partial: parts of an unfinished dump whose {key}" in line and "or the folder removed" in line


def test_another_state_of_the_model_or_other_prompts_are_refused(tmp_path: Path, partial: Path, pixart: Path,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.txt").write_text("a town\n")
    assert "whose calibration" in refused(
        capsys, *words(pixart, partial, *LAYERS, "--prompts", str(tmp_path / "other.txt")))
    config = pixart / "transformer" / "config.json"
    before = config.stat()
    os.utime(config, (before.st_atime, before.st_mtime + 1))
    try:
        assert "whose fingerprint" in refused(capsys, *words(pixart, partial, *LAYERS))
    finally:
        os.utime(config, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(("harm", "message"), [
    (lambda raw: raw[:-1], "data_offsets out of range"), (lambda raw: raw[:5], "truncated"),
    (lambda raw: b"", "truncated"),
    (lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), "part is damaged"),
    (lambda raw: raw.replace(b'\\"layers\\"', b'\\"lavers\\"'), "part is damaged"),
    (lambda raw: raw.replace(b'\\"transform\\"', b'\\"transfarm\\"', 1), "part is damaged")])
def test_a_damaged_part_is_refused(partial: Path, pixart: Path, harm: Callable[[bytes], bytes], message: str,
                                   capsys: pytest.CaptureFixture[str]) -> None:
    part = partial.with_name("t.partial") / "prompt1.step1.part"
    harmed = harm(part.read_bytes())
    assert harmed != part.read_bytes()
    part.write_bytes(harmed)
    line = refused(capsys, *words(pixart, partial, *LAYERS))
    assert "prompt1.step1.part" in line and message in line and not partial.exists()


def test_a_flipped_bit_of_a_parts_header_is_refused_or_harmless(partial: Path, rng: np.random.Generator) -> None:
    part = partial.with_name("t.partial") / "prompt1.step1.part"
    raw = part.read_bytes()
    refused = 0
    with Parts(partial, json.loads((part.parent / "settings.json").read_text())) as parts:
        for at in rng.integers(8, 8 + int.from_bytes(raw[:8], "little"), size=300):
            part.write_bytes(raw[:at] + bytes([raw[at] ^ (1 << int(rng.integers(8)))]) + raw[at + 1:])
            try:
                with parts.reader("prompt1.step1") as (file, summary):
                    assert all(seen.input in file.tensors for seen in summary.layers.values())
            except TraceError:
                refused += 1
    assert refused > 150


def test_a_folder_that_is_no_dumps_is_left_alone(tmp_path: Path, pixart: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.partial").mkdir()
    (tmp_path / "t.partial" / "mine.txt").touch()
    assert "not the folder of a dump" in refused(capsys, *words(pixart, tmp_path / "t", *LAYERS))
    assert (tmp_path / "t.partial" / "mine.txt").exists()


def test_two_dumps_to_one_file_do_not_mix(tmp_path: Path) -> None:
    with Parts(tmp_path / "t", {"a": 1}), pytest.raises(TraceError, match="another dump is at work here"), Parts(
            tmp_path / "t", {"a": 1}):
        raise AssertionError("entered")
    assert list(tmp_path.iterdir()) == []


def test_the_settings_are_there_to_be_read(partial: Path) -> None:
    said = json.loads((partial.with_name("t.partial") / "settings.json").read_text())
    assert said["steps"] == [1, 3] and said["size"] == [32, 48] and "fingerprint" in said


# --- memory ----------------------------------------------------------------------------------------------------------

def test_no_more_than_one_layers_activation_is_held(tmp_path: Path, pixart: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts the bytes of captured arrays that are alive, and the views that hooks made and should have let go."""
    live = {"now": 0, "most": 0, "largest": 0, "captured": 0}
    real, rows = capture.coded, capture.rows

    def counted(value: Any, size: int) -> None:
        live["now"] += size
        live["most"], live["largest"] = max(live["most"], live["now"]), max(live["largest"], size)
        weakref.finalize(value, lambda: live.update(now=live["now"] - size))

    def coded(tensor: Any, where: str) -> np.ndarray:
        value = real(tensor, where)
        counted(value, value.nbytes)
        live["captured"] += value.nbytes
        return value

    monkeypatch.setattr(capture, "coded", coded)
    dump(pixart, tmp_path / "t")
    with Trace.open(tmp_path / "t") as trace:
        sizes = {name: tensor.end - tensor.begin for name in trace.layer_names
                 for tensor in (trace.tensor(trace.entry(name).input),)}
    assert live["now"] == 0 and live["most"] == live["largest"] == max(sizes.values())
    assert live["captured"] > 20 * live["most"]
    # The views that hooks work on are gone as soon as the next layer is seen.
    monkeypatch.undo()
    views: list[Any] = []

    def watched(value: Any, *args: Any) -> Any:
        assert not any(view() is not None for view in views[:-2])
        result = rows(value, *args)
        views.append(weakref.ref(result))
        return result

    monkeypatch.setattr(capture, "rows", watched)
    dump(pixart, tmp_path / "u", *LAYERS)
    assert len(views) == 2 * 11 * 4
