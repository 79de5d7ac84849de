"""The tokenizer that a GGUF file carries: byte-level BPE, whose splitting of text the file knows by a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.load.gguf_file import GgufFile
from models.load.hub import translated
from stamp_hw.errors import TraceError

_LLAMA_3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
            r"|\s*[\r\n]+|\s+(?!\S)|\s+")
#: Name of a way to split → pattern of the pieces that merges stay within; None for GPT-2's own, and whether each digit
#: is a piece before that. Names and ways are llama.cpp's.
_SPLITS: dict[str, tuple[str | None, bool]] = {
    "gpt-2": (None, False), "smollm": (None, True), "llama-bpe": (_LLAMA_3, False)}
_CONTROL, _USER = 3, 4  # types of tokens that are never the outcome of a merge
_EXPECTED = f"byte-level BPE (gpt2) split as {', '.join(_SPLITS)}, or a tokenizer.json beside the file"


def tokenizer_of(file: GgufFile, folder: Path) -> Any:
    """A `PreTrainedTokenizerFast`: the file's own, or where it has one of another kind, `folder`'s tokenizer.json.

    Raises TraceError where there is neither, and for one that lacks a part.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    told = {key.removeprefix("tokenizer."): value for key, value in file.metadata.items()
            if key.startswith("tokenizer.")}
    kind, split = str(told.get("ggml.model")), str(told.get("ggml.pre"))
    if kind != "gpt2" or split not in _SPLITS:
        if (folder / "tokenizer.json").is_file():
            with translated(f"{file.name}, tokenizer.json", _EXPECTED):
                return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        raise TraceError("tokenizer of another kind", where=file.name, got=f"{kind}, split as {split}",
                         expected=_EXPECTED)
    with translated(f"{file.name}, tokenizer", _EXPECTED):
        tokens = told["ggml.tokens"]
        if len(set(tokens)) != len(tokens) or len(tokens) != file.shapes["token_embd.weight"][0]:
            raise ValueError(f"{len(set(tokens))} different tokens, {file.shapes['token_embd.weight'][0]} embeddings")
        pattern, digits = _SPLITS[split]
        made = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)},
                                    [tuple(merge.split(" ")) for merge in told["ggml.merges"]]))
        steps: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
        if pattern is not None:
            steps.append(pre_tokenizers.Split(Regex(pattern), behavior="isolated"))
        steps.append(pre_tokenizers.ByteLevel(add_prefix_space=bool(told.get("ggml.add_space_prefix", False)),
                                              use_regex=pattern is None))
        made.pre_tokenizer = pre_tokenizers.Sequence(steps)
        made.decoder = decoders.ByteLevel()
        types = told.get("ggml.token_type", [1] * len(tokens))
        made.add_tokens([AddedToken(token, special=number == _CONTROL, normalized=False)
                         for token, number in zip(tokens, types, strict=True) if number in (_CONTROL, _USER)])
        named = {f"{name}_token": tokens[told[key]] for name, key in (
            ("bos", "ggml.bos_token_id"), ("eos", "ggml.eos_token_id"), ("unk", "ggml.unknown_token_id"),
            ("pad", "ggml.padding_token_id")) if key in told}
        if told.get("ggml.add_bos_token"):
            bos = named["bos_token"]
            made.post_processor = processors.TemplateProcessing(
                single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, told["ggml.bos_token_id"])])
        return PreTrainedTokenizerFast(tokenizer_object=made, clean_up_tokenization_spaces=False,
                                       chat_template=told.get("chat_template"), **named)
