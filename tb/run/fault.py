"""A fault: a mistake seeded into the generated RTL, which a regression must catch or a proof must break on.

It either replaces a named function of the generator while the Verilog is emitted, or edits the emitted text.
`tb.run.block.run_block` refuses a fault that leaves the Verilog as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

Files = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One named mistake.

    Parameters
    ----------
    name : unique within the block, such as `drop_floor_shift`
    block : block whose regression must fail
    why : the mistake in one sentence
    patch : dotted name of a function or constant of `rtl_gen`, and what replaces it during emission
    edit : takes file name → Verilog text and returns the edited files
    set_name : the parameter set that must catch it, None for the block's first one
    tests : the bench functions that run, None for all of them
    """

    name: str
    block: str
    why: str
    patch: tuple[str, object] | None = None
    edit: Callable[[Files], Files] | None = None
    set_name: str | None = None
    tests: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if (self.patch is None) == (self.edit is None):
            raise ValueError(f"fault {self.name}: exactly one of patch and edit is needed")

    @contextmanager
    def apply(self) -> Iterator[None]:
        """The patch, in force while the Verilog is emitted."""
        if self.patch is None:
            yield
        else:
            with mock.patch(*self.patch):
                yield

    def edited(self, files: Mapping[str, str]) -> Files:
        """The files after the text edit."""
        return dict(files) if self.edit is None else self.edit(dict(files))


def replace(old: str, new: str, count: int = 1) -> Callable[[Files], Files]:
    """An edit that replaces the first `count` occurrences of `old`; raises ValueError when there are fewer."""
    def edit(files: Files) -> Files:
        left, edited = count, {}
        for name, text in files.items():
            here = min(left, text.count(old))
            edited[name] = text.replace(old, new, here)
            left -= here
        if left:
            raise ValueError(f"the generated Verilog holds {old!r} {count - left} times, the fault needs {count}")
        return edited
    return edit


def inside(module: str, old: str, new: str, count: int = 1) -> Callable[[Files], Files]:
    """`replace` in one module alone."""
    def edit(files: Files) -> Files:
        file = f"{module}.v"
        return files | replace(old, new, count)({file: files[file]})
    return edit


def survives_reset(module: str, register: str) -> Callable[[Files], Files]:
    """An edit: a reset leaves `register` of `module` as it is. Raises ValueError where none changes it."""
    def edit(files: Files) -> Files:
        file = f"{module}.v"
        found = [match for match in re.finditer(r"^ *if \(rst\) (?:begin\n(?:.*\n)*?^ *end$|.*;$)", files[file], re.M)
                 if re.search(rf"(?<![\w.]){re.escape(register)} <= ", match[0])]
        if len(found) != 1:
            raise ValueError(f"register {register} of {module} has {len(found)} resets")
        kept = re.sub(rf"(?<![\w.]){re.escape(register)} <= .*;", ";", found[0][0])
        return files | {file: files[file][:found[0].start()] + kept + files[file][found[0].end():]}
    return edit


def takes(module: str, register: str, value: str) -> Callable[[Files], Files]:
    """An edit: what `register` of `module` takes is `value`, in which `{}` stands for what it took; resets stay.

    `register` is as Verilog assigns it, so a memory has its address. Raises ValueError where nobody assigns it.
    """
    def edit(files: Files) -> Files:
        file = f"{module}.v"
        text, count = re.subn(rf"(?<![\w.]){re.escape(register)} <= (?!\d+'[hd]0+;)([^;]+);",
                              lambda match: f"{register} <= {value.replace('{}', f'({match[1]})')};", files[file])
        if not count:
            raise ValueError(f"register {register} of {module} is not assigned")
        return files | {file: text}
    return edit


def narrow(module: str, register: str, bits: int) -> Callable[[Files], Files]:
    """An edit: the upper `bits` bits of a signed register are copies of the bit below them."""
    return takes(module, register, f"$signed({{}} << {bits}) >>> {bits}")
