"""The trace format: what is written is what is read, bytes are deterministic, hostile files are refused in one line."""

from __future__ import annotations

import hashlib
import json
import os
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stamp_hw.errors import OutputError, TraceError
from stamp_hw.formats.safetensors_file import DTYPES, MAX_HEADER, TensorEntry, decode, encode
from stamp_hw.formats.trace import FULL_SCALE, MAX_LAYER_NAME, Trace, TraceWriter, static_scale, write_whole
from stamp_hw.formats.trace_entry import LayerEntry
from tests.support.trace_attacks import ATTACKS, assemble, data_start, parts, read_header, write_trace

SHIPPED = Path(__file__).parents[2] / "models" / "traces" / "llama_small.safetensors"


def bfloat16_reference(value: float) -> float:
    """Round to nearest even to 8 significant bits, in exact rational steps of Python floats."""
    if value == 0:
        return value
    exponent = max(np.frexp(value)[1] - 8, -133)
    return float(round(value / 2.0**exponent) * 2.0**exponent)


# --- what is written is what is read ---------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("calibration", ["self", "static: 3 sequences"])
def test_what_is_written_is_read_back(tmp_path: Path, rng: np.random.Generator, dtype: str, calibration: str) -> None:
    arrays = write_trace(tmp_path / "t", rng, dtype, calibration=calibration, seed=3)
    with Trace.open(tmp_path / "t") as trace:
        assert trace.layer_names == ("a.q", "a.k", "b") and len(trace) == 3
        assert trace.metadata == {"model": "made up", "calibration": calibration, "seed": 3}
        assert trace.calibration == calibration
        assert trace.tensor(trace.entry("a.q").input).dtype == dtype
        q, k, b = trace
        assert (q.x == arrays["x"]).all() and (q.weight == arrays["wq"]).all() and (q.bias == arrays["bq"]).all()
        assert (k.x == arrays["x"]).all() and (k.weight == arrays["wk"]).all() and k.bias is None
        assert (b.x == arrays["g"]).all() and (b.weight == arrays["wg"]).all()
        assert (q.kind, q.outliers, q.grid, k.outliers, b.grid) == ("q", (0, 5), None, (), (2, 3))
        assert q.x.dtype == q.weight.dtype == q.bias.dtype == np.float32
        assert (q.s_x, q.s_y) == ((None, None) if calibration == "self" else (0.1, 1e-30))


def test_bfloat16_rounds_to_nearest_even(rng: np.random.Generator) -> None:
    corners = [0.0, -0.0, 1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -(1 + 2**-8), 3.3e38, 1e-40, -1e-45]
    values = np.array([*corners, *(rng.normal(size=2000) * 10.0 ** rng.integers(-44, 37, size=2000))], np.float32)
    found = decode(encode(values, "bfloat16", "test").tobytes(), "BF16", values.shape)
    assert found.tolist() == [bfloat16_reference(float(value)) for value in values]


def test_a_shared_input_is_stored_once(tmp_path: Path, rng: np.random.Generator) -> None:
    write_trace(tmp_path / "t", rng)
    with Trace.open(tmp_path / "t") as trace:
        assert trace.entry("a.q").input == trace.entry("a.k").input
    data = sum(4 * n for n in (7 * 5, 6 * 3, 4 * 5, 1 * 5, 2 * 3, 4))
    header = int.from_bytes((tmp_path / "t").read_bytes()[:8], "little")
    assert (tmp_path / "t").stat().st_size == 8 + header + data


def test_same_calls_give_the_same_bytes_and_one_metadata_key(tmp_path: Path) -> None:
    for name in ("t", "u"):
        write_trace(tmp_path / name, np.random.default_rng(5), "bfloat16", b=1, a={"z": 1, "y": [2.5]})
    assert (tmp_path / "t").read_bytes() == (tmp_path / "u").read_bytes()
    header = read_header(tmp_path / "t")
    assert list(header["__metadata__"]) == ["stamp"]
    stamp = header["__metadata__"]["stamp"]
    assert stamp == json.dumps(json.loads(stamp), sort_keys=True, separators=(",", ":"))
    with Trace.open(tmp_path / "t") as trace:
        assert trace.sha256() == hashlib.sha256((tmp_path / "t").read_bytes()).hexdigest()


def test_a_trace_passes_its_metadata_on(tmp_path: Path, rng: np.random.Generator) -> None:
    write_trace(tmp_path / "t", rng, calibration="static: 2 sequences")
    with Trace.open(tmp_path / "t") as trace, TraceWriter(tmp_path / "u", trace.metadata) as writer:
        for layer in trace:
            writer.add_input(layer.name, 2 * layer.x, "float32")
            writer.add_layer(name=layer.name, kind=layer.kind, input_key=layer.name, weight=layer.weight,
                             bias=layer.bias, grid=layer.grid, outliers=layer.outliers, s_x=layer.s_x, s_y=layer.s_y)
    with Trace.open(tmp_path / "t") as old, Trace.open(tmp_path / "u") as new:
        assert new.metadata == old.metadata and new.layer_names == old.layer_names
        assert all((b.x == 2 * a.x).all() and (b.weight == a.weight).all() for a, b in zip(old, new, strict=True))


def test_a_layer_that_is_not_to_be_transformed_is_marked_and_no_other(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t", {}) as writer:
        writer.add_input("x", np.ones((4, 3)), "float32")
        for name, transform in (("a", True), ("b", False)):
            writer.add_layer(name=name, kind="q", input_key="x", weight=np.ones((2, 3)), transform=transform)
    stored = json.loads(read_header(tmp_path / "t")["__metadata__"]["stamp"])["layers"]
    assert [layer.get("transform", "absent") for layer in stored] == ["absent", False]
    with Trace.open(tmp_path / "t") as trace:
        assert [layer.transform for layer in trace] == [trace.entry(name).transform for name in "ab"] == [True, False]


def test_layers_may_share_a_weight_and_are_written_with_known_sizes(tmp_path: Path) -> None:
    """`write_whole` takes what `TraceWriter` cannot: tensors that are elsewhere, each named by several layers."""
    x, w = np.arange(6, dtype="<f4").reshape(2, 3), np.arange(9, dtype="<f4").reshape(3, 3)
    tensors = {"input.x": TensorEntry(code="F32", shape=(2, 3), begin=0, end=24),
               "weight.w": TensorEntry(code="F32", shape=(3, 3), begin=24, end=60)}
    entries = [LayerEntry(name=name, kind="q", input="input.x", weight="weight.w", bias=None, grid=None, outliers=(),
                          s_x=None, s_y=None) for name in ("a@1", "a@2")]
    write_whole(tmp_path / "t", {"calibration": "self"}, entries, tensors, [x.tobytes(), w.tobytes()])
    with Trace.open(tmp_path / "t") as trace:
        assert trace.layer_names == ("a@1", "a@2")
        assert all((layer.x == x).all() and (layer.weight == w).all() for layer in trace)
    for bad, message in (([], "trace has no layers"), ([replace(entries[0], grid=(3, 1))], "grid does not fit")):
        with pytest.raises(TraceError, match=message):
            write_whole(tmp_path / "u", {"calibration": "self"}, bad, tensors, [])
    assert not (tmp_path / "u").exists()


def test_static_scale_is_absmax_over_full_scale() -> None:
    assert static_scale(FULL_SCALE) == 1.0 and static_scale(0.0) > 0


# --- the safetensors library agrees ----------------------------------------------------------------------------------

def test_the_safetensors_library_reads_our_files(tmp_path: Path, rng: np.random.Generator) -> None:
    numpy_side = pytest.importorskip("safetensors.numpy")
    arrays = write_trace(tmp_path / "t", rng, "float16")
    loaded = numpy_side.load_file(tmp_path / "t")
    assert sorted(loaded) == ["bias.a.q", "input.g", "input.x", "weight.a.k", "weight.a.q", "weight.b"]
    assert loaded["input.x"].dtype == np.float16 and (loaded["input.x"] == arrays["x"]).all()


def test_we_read_files_that_the_safetensors_library_wrote(tmp_path: Path, rng: np.random.Generator) -> None:
    numpy_side = pytest.importorskip("safetensors.numpy")
    arrays = write_trace(tmp_path / "t", rng)
    tensors = numpy_side.load_file(tmp_path / "t")
    numpy_side.save_file(tensors, tmp_path / "u", metadata=read_header(tmp_path / "t")["__metadata__"])
    with Trace.open(tmp_path / "u") as trace:
        assert (trace.layer("a.q").x == arrays["x"]).all() and (trace.layer("b").weight == arrays["wg"]).all()


# --- lazy ------------------------------------------------------------------------------------------------------------

def test_reading_a_layer_reads_no_other(tmp_path: Path, rng: np.random.Generator,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    write_trace(tmp_path / "t", rng)
    reads: list[tuple[int, int]] = []
    real = os.preadv

    def spy(descriptor: int, views: list[memoryview], at: int) -> int:
        reads.append((at, sum(map(len, views))))
        return real(descriptor, views, at)

    monkeypatch.setattr(os, "preadv", spy)
    with Trace.open(tmp_path / "t") as trace:
        data = data_start(tmp_path / "t")
        assert reads and all(at + size <= data for at, size in reads)  # opening reads the header alone
        reads.clear()
        trace.layer("b")
        entry = trace.entry("b")
        wanted = [trace.tensor(name) for name in (entry.input, entry.weight)]
        assert sorted(reads) == sorted((tensor.begin, tensor.end - tensor.begin) for tensor in wanted)


def test_a_trace_larger_than_memory_opens_and_gives_its_small_layer(tmp_path: Path, rng: np.random.Generator) -> None:
    """1 TiB of holes behind a small layer: nothing but that layer is touched."""
    header, data = parts(tmp_path, rng)
    rows = 1 << 20
    header["huge"] = {"dtype": "F32", "shape": [rows, 1 << 18], "data_offsets": [len(data), len(data) + (rows << 20)]}
    path = assemble(tmp_path / "u", header, data)
    os.truncate(path, path.stat().st_size + (rows << 20))
    with Trace.open(path) as trace:
        assert trace.layer("b").x.shape == (6, 3) and trace.size_bytes > 1 << 40


def test_a_file_cut_while_open_is_refused_not_fatal(tmp_path: Path, rng: np.random.Generator) -> None:
    write_trace(tmp_path / "t", rng)
    with Trace.open(tmp_path / "t") as trace:
        os.truncate(tmp_path / "t", 600)
        with pytest.raises(TraceError, match="truncated"):
            list(trace)


# --- hostile files ---------------------------------------------------------------------------------------------------

def refused_in_one_line(path: Path, message: str) -> None:
    with pytest.raises(TraceError) as caught, Trace.open(path) as trace:
        list(trace)
    text = str(caught.value)
    assert message in text and text.isprintable() and len(text) < 1500 and str(path) in text


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_trace_is_refused(tmp_path: Path, rng: np.random.Generator, name: str) -> None:
    attack, message = ATTACKS[name]
    refused_in_one_line(assemble(tmp_path / "u", *attack(*parts(tmp_path, rng))), message)


@pytest.mark.parametrize("length", [0, 1, 1 << 62, (1 << 64) - 1, MAX_HEADER + 1])
def test_a_bad_header_length_is_refused(tmp_path: Path, rng: np.random.Generator, length: int) -> None:
    write_trace(tmp_path / "t", rng)
    (tmp_path / "u").write_bytes(length.to_bytes(8, "little") + (tmp_path / "t").read_bytes()[8:])
    refused_in_one_line(tmp_path / "u", "bad header length")


def test_a_trace_cut_anywhere_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    write_trace(tmp_path / "t", rng)
    raw = (tmp_path / "t").read_bytes()
    for size in {0, 7, 8, 9, len(raw) - 1, *rng.integers(0, len(raw), size=100).tolist()}:
        (tmp_path / "u").write_bytes(raw[:size])
        refused_in_one_line(tmp_path / "u", "")


def test_a_flipped_byte_is_refused_or_gives_finite_layers(tmp_path: Path, rng: np.random.Generator) -> None:
    """Never another exception than TraceError, whatever byte of the header a stranger changes."""
    write_trace(tmp_path / "t", rng)
    raw = (tmp_path / "t").read_bytes()
    refused = 0
    for _ in range(1500):
        changed = bytearray(raw)
        for at in rng.integers(0, data_start(tmp_path / "t"), size=rng.integers(1, 4)):
            changed[at] = rng.integers(256)
        (tmp_path / "u").write_bytes(changed)
        try:
            with Trace.open(tmp_path / "u") as trace:
                assert all(np.isfinite(layer.x).all() for layer in trace)
        except TraceError:
            refused += 1
    assert refused > 500


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "empty", "below a file", "NUL in the name"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "u"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind in ("empty", "below a file"):
        path.touch()
    if kind == "below a file":
        path = path / "t"
    with pytest.raises(TraceError):
        Trace.open(path if kind != "NUL in the name" else f"{path}\0")


def test_an_unknown_layer_and_a_closed_trace_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    write_trace(tmp_path / "t", rng)
    with Trace.open(tmp_path / "t") as trace, pytest.raises(TraceError, match="no such layer"):
        trace.layer("a.z")
    with pytest.raises(TraceError, match="closed"):
        trace.layer("b")


# --- writing ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39, 3.4e38])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_writer_refuses_what_its_dtype_cannot_hold(tmp_path: Path, value: float, dtype: str) -> None:
    x = np.full((2, 2), value)
    if dtype == "float32" and value == 3.4e38:
        assert np.isfinite(encode(x, dtype, "test")).all()
        return
    with pytest.raises(TraceError, match="input.x: holds NaN"), TraceWriter(tmp_path / "t", {}) as writer:
        writer.add_input("x", x, dtype)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [
    {"weight": np.ones((2, 4))}, {"weight": np.ones(3)}, {"weight": np.ones((0, 3))}, {"bias": np.ones(3)},
    {"input_key": "y"}, {"grid": (2, 3)}, {"outliers": (4,)}, {"s_x": 1.0}, {"name": "a\nb"}, {"dtype": "float64"},
    {"weight": np.ones((2, 3), int)}])
def test_the_writer_refuses_a_layer_that_the_reader_would(tmp_path: Path, change: dict) -> None:
    layer = {"name": "a", "kind": "q", "input_key": "x", "weight": np.ones((2, 3)), **change}
    with pytest.raises(TraceError), TraceWriter(tmp_path / "t", {}) as writer:
        writer.add_input("x", np.ones((4, 3)), "float32")
        writer.add_layer(**layer)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("metadata", [{"layers": []}, {"schema_version": 1}, {"a": float("nan")}, {"a": {1, 2}}])
def test_the_writer_refuses_metadata_that_is_not_its_users(tmp_path: Path, metadata: dict) -> None:
    with pytest.raises(TraceError):
        TraceWriter(tmp_path / "t", metadata)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, rng: np.random.Generator) -> None:
    write_trace(tmp_path / "t", rng)
    before = (tmp_path / "t").read_bytes()
    with pytest.raises(ZeroDivisionError), TraceWriter(tmp_path / "t", {}) as writer:
        writer.add_input("x", np.ones((4, 3)), "float32")
        1 / 0  # noqa: B018
    assert (tmp_path / "t").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("place", ["below a regular file", "a directory", "no such root"])
def test_an_output_that_cannot_be_written_is_refused_at_once(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    path = {"below a regular file": tmp_path / "file" / "t", "a directory": tmp_path / "folder",
            "no such root": Path("/proc/nothing/t")}[place]
    with pytest.raises(OutputError, match="cannot write"), TraceWriter(path, {}):
        raise AssertionError("entered")


@pytest.mark.parametrize("limit", [1000, 5000])
def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path, rng: np.random.Generator, limit: int) -> None:
    """A file size limit stands for the disk: 1000 bytes stop a tensor, 5000 the file that gets the header in front."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(OutputError, match="cannot write"), TraceWriter(tmp_path / "t", {}) as writer:
            writer.add_input("x", np.ones((30, 40)), "float32")
            writer.add_layer(name="a", kind="q", input_key="x", weight=np.ones((1, 40)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_trace_is_written_through_a_link_and_never_over_a_device(tmp_path: Path, rng: np.random.Generator) -> None:
    (tmp_path / "link").symlink_to("t")
    write_trace(tmp_path / "link", rng)
    with Trace.open(tmp_path / "t") as trace:
        assert (tmp_path / "link").is_symlink() and len(trace) == 3
    with pytest.raises(OutputError, match="a device"), TraceWriter("/dev/null", {}):
        raise AssertionError("entered")


def test_a_layer_name_is_as_long_as_its_tensors_allow(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t", {}) as writer:
        writer.add_input("x", np.ones((2, 3)), "float32")
        with pytest.raises(TraceError, match="layer name is too long; got 506 characters; expected at most 505"):
            writer.add_layer(name="n" * (MAX_LAYER_NAME + 1), kind="q", input_key="x", weight=np.ones((1, 3)))
        writer.add_layer(name="n" * MAX_LAYER_NAME, kind="q", input_key="x", weight=np.ones((1, 3)), bias=np.ones(1))
    with Trace.open(tmp_path / "t") as trace:
        assert trace.layer_names == ("n" * MAX_LAYER_NAME,)


# --- the trace that ships --------------------------------------------------------------------------------------------

def test_the_shipped_trace_holds_every_kind_of_layer_of_two_blocks() -> None:
    kinds = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert SHIPPED.stat().st_size <= 6_000_000
    with Trace.open(SHIPPED) as trace:
        blocks = {name.split(".")[2] for name in trace.layer_names if name.startswith("model.layers.")}
        assert len(blocks) >= 2 and len(trace) >= 14
        for block in blocks:
            assert {trace.entry(n).kind for n in trace.layer_names if n.startswith(f"model.layers.{block}.")} == kinds
        assert trace.calibration.startswith("static: ")
        for layer in trace:
            assert layer.x.shape[0] == 512 and np.abs(layer.x).max() / layer.s_x > 1000


@pytest.mark.parametrize(("content", "kind"), [
    (b"GGUF" + bytes(range(200)), "a GGUF file"), (b"PK\x03\x04" + bytes(200), "a zip archive, which torch.save"),
    (b"\x80\x04\x95" + bytes(range(200)), "a pickle"), (b'{"a": 1, "b": [1, 2, 3]}', "JSON"), (b"[]", "JSON"),
    ("hw: {rows: 8}  # größer\n".encode() * 500, "text"), (b"short", "text"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
    (b"\x93NUMPY\x01\x00" + bytes(90), "a NumPy"), (b"\x1f\x8b" + bytes(90), "a gzip")],
    ids=lambda value: ascii(value)[:20])
def test_a_file_of_another_kind_is_named(content: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(TraceError) as caught:
        Trace.open(tmp_path / "t")
    assert str(caught.value).startswith(f"{tmp_path}/t: not a safetensors file; got {kind}")
    assert "expected a trace that `stamp-hw trace dump` wrote" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x00" * 4, b"\xff" * 500, bytes(range(256)) * 4])
def test_a_file_of_no_known_kind_is_still_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(TraceError, match="truncated|bad header length"):
        Trace.open(tmp_path / "t")
