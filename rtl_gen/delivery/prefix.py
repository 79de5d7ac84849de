"""Another word in place of `stamp` in the names of what is delivered, so that two configurations live in one design.

Modules and files are called `stamp_…`, testbenches `tb_stamp_…`, what Verilator makes of those `Vtb_stamp_…`, macros of
C `STAMP_…`; no other name begins so.
"""

from __future__ import annotations

import re
from typing import Any

from rtl_gen.verilog.text import KEYWORDS
from stamp_hw.errors import ConfigError

PREFIX = "stamp"  # what the names begin with where nothing else is asked for
_LENGTH = 64  # characters; the longest file name that it makes then fits every file system
_IDENTIFIER = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{_LENGTH - 1}}}")
_NAME = re.compile(r"\b(V?tb_)?stamp_(?!hw\b)")  # `stamp_hw` is this program's own
_MACRO = re.compile(r"\bSTAMP_")


def is_prefix(word: Any) -> bool:
    """Whether names of Verilog, C and files may begin with it: an identifier of at most 64 characters, no keyword."""
    return isinstance(word, str) and _IDENTIFIER.fullmatch(word) is not None and word not in KEYWORDS


def check_prefix(word: str) -> None:
    """Raise ConfigError for what is no prefix."""
    if not is_prefix(word):
        raise ConfigError("a keyword of Verilog" if word in KEYWORDS else "no identifier of Verilog", where="--prefix",
                          got=word, expected=f"letters, digits and _, no digit first, at most {_LENGTH}")


def renamed(text: str, prefix: str) -> str:
    """A name or a whole text with `prefix` where `stamp` begins a name; macros take it in capitals."""
    return _MACRO.sub(f"{prefix.upper()}_", _NAME.sub(rf"\g<1>{prefix}_", text))
