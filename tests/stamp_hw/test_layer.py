"""A layer refuses tensors that do not fit each other; files appear whole or not at all."""

from __future__ import annotations

import os
import resource
import signal
import socket
from pathlib import Path

import numpy as np
import pytest

from stamp_hw.errors import LayerError, OutputError
from stamp_hw.formats.files import atomic_file
from stamp_hw.layer import Layer

X, W = np.ones((6, 4), np.float32), np.ones((3, 4), np.float32)


def broken(value: float) -> np.ndarray:
    x = X.copy()
    x[5, 3] = value
    return x


@pytest.mark.parametrize(("fields", "message"), [
    ({"x": broken(np.nan)}, "NaN or infinite"), ({"x": broken(np.inf)}, "NaN or infinite"),
    ({"weight": broken(-np.inf)}, "NaN or infinite"), ({"x": X[0]}, "rank"), ({"weight": W[None]}, "rank"),
    ({"x": [[1.0]]}, "rank"), ({"x": X[:, :3]}, "differ in K"), ({"x": X[:0]}, "empty"),
    ({"bias": np.ones(4, np.float32)}, "bias does not fit"), ({"grid": (2, 2)}, "grid does not hold"),
    ({"grid": (-2, -3)}, "grid does not hold"), ({"outliers": (6,)}, "outliers"), ({"outliers": (-1,)}, "outliers"),
    ({"outliers": (2, 1)}, "outliers"), ({"outliers": [1]}, "outliers"), ({"outliers": (True,)}, "outliers"),
    ({"grid": (2, 3), "outliers": (1,)}, "no outliers"), ({"s_x": 0.0}, "s_x"), ({"s_y": float("nan")}, "s_y"),
    ({"s_x": 2.0**-101}, "s_x"), ({"s_y": 2.0**101}, "s_y"), ({"s_x": 10**400}, "s_x"),
    ({"x": broken(-1.3e30)}, "x holds values too large"), ({"weight": W * np.float32(3e38)}, "weight holds values"),
    ({"bias": np.full(3, 1.3e30, np.float32)}, "bias holds values too large"),
])
def test_a_layer_that_cannot_be_is_refused_by_name(fields: dict, message: str) -> None:
    with pytest.raises(LayerError, match=message) as caught:
        Layer(**{"name": "block.q_proj", "x": X, "weight": W, **fields})
    assert "block.q_proj" in str(caught.value) and "\n" not in str(caught.value)


def test_a_good_layer_is_accepted() -> None:
    layer = Layer("a", X, W, bias=np.zeros(3, np.float32), grid=(2, 3), s_x=0.1, s_y=0.2)
    assert layer.grid == (2, 3)


def test_a_file_appears_whole(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "deep" / "a.txt") as stream:
        stream.write("whole")
        assert not (tmp_path / "deep" / "a.txt").exists()
    assert (tmp_path / "deep" / "a.txt").read_text() == "whole"
    assert os.listdir(tmp_path / "deep") == ["a.txt"]  # noqa: PTH208


def test_a_failure_leaves_what_was_there_before(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("before")

    def half() -> None:
        with atomic_file(target) as stream:
            stream.write("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert target.read_text() == "before" and os.listdir(tmp_path) == ["a.txt"]  # noqa: PTH208


@pytest.mark.parametrize("place", ["file/below", "folder"])
def test_a_place_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("a regular file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError) as caught, atomic_file(tmp_path / place) as stream:
        stream.write("x")
    assert "\n" not in str(caught.value) and place in str(caught.value)


def test_a_disk_that_takes_no_more_is_one_error_and_leaves_nothing(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # the system refuses every byte beyond
    try:
        with pytest.raises(OutputError, match="cannot write"), atomic_file(tmp_path / "a.bin", "wb") as stream:
            stream.write(bytes(1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def special_file(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / kind
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind == "device":
        path.symlink_to("/dev/null")  # one of its own takes root; a link leads to the system's
    else:
        path.symlink_to(path)
    return path


@pytest.mark.parametrize(("kind", "said"), [("fifo", "a FIFO"), ("socket", "a socket"), ("device", "a device"),
                                            ("loop", "levels of symbolic links")])
def test_what_is_no_regular_file_is_refused_and_stays(tmp_path: Path, kind: str, said: str) -> None:
    path = special_file(tmp_path, kind)
    before = path.lstat()
    with pytest.raises(OutputError, match=said) as caught, atomic_file(path):
        pytest.fail("opened")
    assert "\n" not in str(caught.value)
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert os.listdir(tmp_path) == [kind]  # noqa: PTH208


def test_a_way_back_from_a_folder_that_is_missing_leads_to_what_is_there(tmp_path: Path) -> None:
    special_file(tmp_path, "fifo")
    with pytest.raises(OutputError, match="a FIFO"), atomic_file(tmp_path / "missing" / ".." / "fifo"):
        pytest.fail("opened")
    assert (tmp_path / "fifo").is_fifo() and os.listdir(tmp_path) == ["fifo"]  # noqa: PTH208


def test_a_link_stays_and_the_file_behind_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to("far/new.txt")  # which does not exist yet
    for text in ("first", "second"):
        with atomic_file(tmp_path / "link") as stream:
            stream.write(text)
        assert (tmp_path / "link").is_symlink() and (tmp_path / "far" / "new.txt").read_text() == text
        assert os.listdir(tmp_path / "far") == ["new.txt"]  # noqa: PTH208


@pytest.mark.parametrize("name", ["a" * 256, "b\0c", "x/" * 3000])
def test_a_name_that_no_file_can_have_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError) as caught, atomic_file(tmp_path / name):
        pytest.fail("opened")
    assert "\n" not in str(caught.value)


def test_the_longest_name_that_a_file_can_have_is_written(tmp_path: Path) -> None:
    with atomic_file(tmp_path / ("a" * 255)) as stream:
        stream.write("x")
    assert (tmp_path / ("a" * 255)).read_text() == "x"
