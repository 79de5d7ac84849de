"""Pictures, in files and in zip files, that tests share."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def files(rng: np.random.Generator, count: int = 12) -> dict[str, bytes]:
    """Name → content of PNG pictures of two kinds, and files that are none."""
    pictures = {f"{kind}/{number}.png": encoded(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
                for kind in ("red_tulip", "daisy") for number in range(count // 2)}
    return {**pictures, "ATTRIBUTION.txt": b"by nobody", "daisy/notes.txt": b"none", "lost.jpg": b"none"}


def zipped(path: Path, contents: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path
