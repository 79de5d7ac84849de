"""What a file that is no safetensors looks like, for the message that refuses it."""

from __future__ import annotations

_MAGIC = (
    (b"GGUF", "a GGUF file"), (b"PK\x03\x04", "a zip archive, which torch.save and numpy.savez write"),
    (b"\x93NUMPY", "a NumPy array"), (b"\x89HDF\r\n", "an HDF5 file"), (b"\x1f\x8b", "a gzip archive"),
    (b"\x89PNG", "a picture"), (b"version https://git-lfs", "a Git LFS pointer, not yet the file (git lfs pull)"),
)


def looks_like(head: bytes) -> str | None:
    """The kind of file that begins so, or None for one that is not known."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a pickle"
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # no character that the end of what is looked at cuts
            return None
        text = head[: error.start].decode("utf-8")
    if not text or any(ord(char) < 32 and char not in "\t\n\f\r" for char in text):
        return None
    return "JSON" if text.lstrip()[:1] in ("{", "[") else "text"
