"""A Llama's GGUF file as a folder in Hugging Face layout, its weights dequantized to float32."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

from models.load.gguf_file import GgufFile
from models.load.gguf_llama import GgufLlama, read_llama
from models.load.gguf_tokenizer import tokenizer_of
from models.load.hub import quiet, translated
from models.load.tensors import raw
from stamp_hw.formats.safetensors_file import DTYPES, SafetensorsFile, TensorEntry
from stamp_hw.formats.safetensors_writer import write_file

_WEIGHTS = "model.safetensors"


def convert(path: Path, folder: Path) -> None:
    """Write configuration, weights and tokenizer of a GGUF file into `folder`; one tensor is in memory at a time.

    Raises TraceError as `read_llama`, `GgufFile` and `tokenizer_of` do, OutputError or OSError where the folder cannot
    be written.
    """
    from transformers import GenerationConfig, LlamaConfig

    file = GgufFile.open(path, str(path))
    llama = read_llama(file)
    tokenizer = tokenizer_of(file, path.parent)
    with quiet():
        with translated(str(path), "a GGUF of a Llama"):
            config = LlamaConfig(**llama.config, architectures=["LlamaForCausalLM"], dtype="float32")
            generation = GenerationConfig(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
                                          pad_token_id=tokenizer.pad_token_id)
        for part in (config, generation, tokenizer):
            part.save_pretrained(folder)
    write_file(folder / _WEIGHTS, {"format": "pt"}, _entries(llama), (raw(value) for _, value in llama.weights()))


def _entries(llama: GgufLlama) -> dict[str, TensorEntry]:
    """Where each tensor will lie, back to back."""
    entries: dict[str, TensorEntry] = {}
    begin = 0
    for name, source in llama.sources.items():
        shape = llama.file.shapes[source]
        end = begin + 4 * math.prod(shape)
        entries[name] = TensorEntry(code=DTYPES["float32"], shape=shape, begin=begin, end=end)
        begin = end
    return entries


def weights_digest(folder: Path) -> str:
    """SHA-256 over name, shape and float32 bits of every weight of a converted folder, in the order of names."""
    digest = hashlib.sha256()
    with SafetensorsFile(folder / _WEIGHTS) as file:
        for chunk in _contents(file):
            digest.update(chunk)
    return digest.hexdigest()


def _contents(file: SafetensorsFile) -> Iterator[bytes | bytearray | memoryview]:
    for name, entry in sorted(file.tensors.items()):
        yield f"{name} {entry.dtype} {list(entry.shape)}\n".encode()
        yield from file.chunks(name)
