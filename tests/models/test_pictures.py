"""Photographs are read as they are, within limits; whatever a stranger's file holds, an error is one line."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.picture_cases import encoded, files, zipped

pytestmark = pytest.mark.trace
Image = pytest.importorskip("PIL.Image")


def unpacked(folder: Path, contents: dict[str, bytes]) -> Path:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("source", ["zip", "folder"])
def test_pictures_of_a_folder_and_of_a_zip_are_the_same(tmp_path: Path, rng: np.random.Generator, source: str) -> None:
    from models.train.pictures import read_pictures

    contents = files(rng)
    path = zipped(tmp_path / "p.zip", contents) if source == "zip" else unpacked(tmp_path / "p", contents)
    read = read_pictures(path, 8)
    assert read.kinds == ("daisy", "red tulip") and read.attribution == "by nobody"
    assert read.names == tuple(sorted(name for name in contents if name.endswith(".png")))
    for name, pixels, label in zip(read.names, read.pixels, read.labels, strict=True):
        expected = np.asarray(Image.open(io.BytesIO(contents[name])))
        assert (pixels.transpose(1, 2, 0) == expected).all(), name  # of its own size: nothing is scaled
        assert read.kinds[label].replace(" ", "_") == name.partition("/")[0]
    other = zipped(tmp_path / "q.zip", contents) if source == "folder" else unpacked(tmp_path / "q", contents)
    assert read_pictures(other, 8).sha256 == read.sha256


def test_the_central_square_is_scaled(tmp_path: Path) -> None:
    from models.train.pictures import read_pictures

    wide = np.zeros((20, 60, 3), dtype=np.uint8)
    wide[:, 20:40] = (250, 120, 10)
    tall = np.ascontiguousarray(wide.transpose(1, 0, 2))
    read = read_pictures(zipped(tmp_path / "p.zip", {"a/1.png": encoded(wide), "a/2.png": encoded(tall)}), 4)
    assert (read.pixels == np.array([250, 120, 10], dtype=np.uint8)[:, None, None]).all()


def test_a_picture_is_held_out_by_its_name_alone(tmp_path: Path, rng: np.random.Generator) -> None:
    from models.train.pictures import read_pictures

    contents = files(rng, 80)
    read = read_pictures(zipped(tmp_path / "p.zip", contents), 8)
    training, held_out = read.split(4)
    assert sorted([*training, *held_out]) == list(range(80)) and 5 <= len(held_out) <= 40
    kept = {name: content for name, content in contents.items() if name != read.names[training[0]]}
    fewer = read_pictures(zipped(tmp_path / "q.zip", kept), 8)
    assert [fewer.names[i] for i in fewer.split(4)[1]] == [read.names[i] for i in held_out]


def test_near_copies_of_a_held_out_picture_are_not_trained_on(rng: np.random.Generator) -> None:
    from models.train.pictures import without_copies

    pixels = rng.integers(0, 256, (8, 3, 16, 16), dtype=np.uint8)
    pixels[5] = pixels[0]
    pixels[6] = np.clip(pixels[1][:, :, ::-1].astype(int) + 3, 0, 255)
    assert without_copies(pixels, np.arange(2, 8), np.array([0, 1])).tolist() == [2, 3, 4, 7]


def damaged(contents: dict[str, bytes], content: bytes) -> dict[str, bytes]:
    return {**contents, "daisy/bad.jpg": content}


def large(contents: dict[str, bytes]) -> dict[str, bytes]:
    """A PNG that says it is 40,000 × 40,000, in few bytes."""
    png = bytearray(encoded(np.zeros((1, 1, 3), dtype=np.uint8)))
    png[16:24] = (40_000).to_bytes(4) * 2
    import zlib
    png[29:33] = zlib.crc32(bytes(png[12:29])).to_bytes(4)
    return damaged(contents, bytes(png))


CASES: dict[str, tuple[Callable[[dict[str, bytes]], dict[str, bytes]], str]] = {
    "empty": (lambda good: damaged(good, b""), "damaged picture"),
    "rubbish": (lambda good: damaged(good, b"\xff\xd8\xff" + b"rubbish" * 50), "damaged picture"),
    "cut": (lambda good: damaged(good, encoded(np.zeros((64, 64, 3), dtype=np.uint8), "JPEG")[:-200]),
            "damaged picture"),
    "GIF": (lambda good: damaged(good, encoded(np.zeros((8, 8), dtype=np.uint8), "GIF")), "damaged picture"),
    "many pixels": (large, "picture is too large|damaged picture"),
    "many bytes": (lambda good: damaged(good, bytes(9 << 20)), "file is too large"),
}


@pytest.mark.parametrize("source", ["zip", "folder"])
@pytest.mark.parametrize("case", CASES)
def test_a_bad_picture_is_named_in_one_line(tmp_path: Path, rng: np.random.Generator, case: str, source: str) -> None:
    from models.train.pictures import read_pictures
    from stamp_hw.errors import TraceError

    change, message = CASES[case]
    contents = change(files(rng))
    path = zipped(tmp_path / "p.zip", contents) if source == "zip" else unpacked(tmp_path / "p", contents)
    with pytest.raises(TraceError, match=message) as caught:
        read_pictures(path, 8)
    assert "daisy/bad.jpg" in str(caught.value) and str(caught.value).isprintable()


def corrupt(path: Path) -> None:
    """Turn the bytes of the first picture in a zip, not the zip's directory."""
    content = bytearray(path.read_bytes())
    content[60:100] = bytes(255 - value for value in content[60:100])
    path.write_bytes(content)


@pytest.mark.parametrize(("case", "message"), [
    ("missing", "cannot read pictures"), ("no zip", "cannot read pictures"), ("cut zip", "cannot read pictures"),
    ("corrupt zip", "cannot read file|damaged picture"), ("empty zip", "no pictures"), ("empty folder", "no pictures"),
    ("pictures of no kind", "no pictures"), ("hostile kind", "no pictures")])
def test_what_holds_no_pictures_is_refused(tmp_path: Path, rng: np.random.Generator, case: str, message: str) -> None:
    from models.train.pictures import read_pictures
    from stamp_hw.errors import TraceError

    path, good = tmp_path / "p.zip", encoded(np.zeros((8, 8, 3), dtype=np.uint8))
    if case == "no zip":
        path.write_bytes(b"PK\x03\x04 or not")
    elif case == "cut zip":
        zipped(path, files(rng))
        path.write_bytes(path.read_bytes()[:-30])
    elif case == "corrupt zip":
        corrupt(zipped(path, files(rng)))
    elif case == "empty folder":
        path.mkdir()
    elif case != "missing":
        zipped(path, {"empty zip": {}, "pictures of no kind": {"a.png": good, "a/b/c.png": good},
                      "hostile kind": {"../a.png": good, "\x1b[31m/a.png": good}}[case])
    with pytest.raises(TraceError, match=message) as caught:
        read_pictures(path, 8)
    assert str(caught.value).isprintable()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_picture_that_may_not_be_read_is_named(tmp_path: Path, rng: np.random.Generator) -> None:
    from models.train.pictures import read_pictures
    from stamp_hw.errors import TraceError

    folder = unpacked(tmp_path / "p", files(rng))
    (folder / "daisy" / "1.png").chmod(0)
    with pytest.raises(TraceError, match="cannot read file") as caught:
        read_pictures(folder, 8)
    assert "daisy/1.png" in str(caught.value)
