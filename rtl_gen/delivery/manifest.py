"""The manifest of a generated folder: what was generated, from what, and the hash of every file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from rtl_gen.delivery import handover
from rtl_gen.delivery.prefix import PREFIX, is_prefix, renamed
from rtl_gen.mac import ecp5
from stamp_hw.config import NpuConfig

MANIFEST = "manifest.json"
FILE_LIST = "files.f"
WAIVER_FILE = "waivers.vlt"
VECTORS = "vectors"  # folder of stimulus, expected beats and testbenches
_OWN = (rf"files\.f|waivers\.vlt|stamp_\w+\.v|{'|'.join(map(re.escape, handover.NAMES))}|"
        rf"{ecp5.DSP}/(stamp_\w+|{ecp5.PRIMITIVE})\.v|"
        rf"{VECTORS}/(tb_stamp_\w+\.v|stamp_\w+\.\w+\.hex|stamp_bench\.v|main\.cpp)")  # names a run may write
TOOLS = ("stamp-hw", "amaranth")  # distributions whose versions shape the text


def manifest(config: NpuConfig, blocks: Mapping[str, object], files: Mapping[str, str], prefix: str = PREFIX) -> str:
    """What was generated, from what, by which versions; `sha256` covers the lines `hash  name` of all files, sorted."""
    return sealed({"prefix": prefix, "hw": config.hw.to_dict(), "blocks": blocks}, files)


def sealed(said: Mapping[str, object], files: Mapping[str, str | bytes]) -> str:
    """A manifest that says this of these files."""
    hashes = {name: hashlib.sha256(content if isinstance(content, bytes) else content.encode()).hexdigest()
              for name, content in files.items()}
    content = {
        "schema_version": 1,
        "generator": {name: version(name) for name in TOOLS},
        "licence": "The generated Verilog belongs to its user.",
        **said,
        "files": dict(sorted(hashes.items())),
        "sha256": _whole(hashes),
    }
    return json.dumps(content, indent=2) + "\n"


def _whole(hashes: Mapping[str, str]) -> str:
    return hashlib.sha256("".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes)).encode()).hexdigest()


def listed(out: Path, names: str = _OWN) -> dict[str, str]:
    """Name → sha256 of what the manifest in a folder lists, itself included; nothing if it is none of ours. `names` is
    a regular expression of those that a run may write.

    A name that no run writes is left out: whoever wrote it there, that file is not ours to delete.
    """
    try:
        text = (out / MANIFEST).read_text(encoding="utf-8")
        content = json.loads(text)
        hashes, prefix = dict(content["files"]), content.get("prefix", PREFIX)  # older ones have none
        if TOOLS[0] in content["generator"] and content["sha256"] == _whole(hashes) and is_prefix(prefix):
            pattern = re.compile(renamed(names, prefix))
            own = {name: digest for name, digest in hashes.items() if pattern.fullmatch(name)}
            return own | {MANIFEST: hashlib.sha256(text.encode()).hexdigest()}
    except (OSError, ValueError, TypeError, KeyError):
        pass
    return {}
