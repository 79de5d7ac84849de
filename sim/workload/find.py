"""Which workload a word of the command line names: a workload's YAML, a model's `config.json` or folder, or a model
that ships in `configs/models/`. Reads JSON alone, and no weights."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from sim.workload import file, images, language
from sim.workload.fields import Fields
from sim.workload.ops import Workload
from stamp_hw.errors import ConfigError, StampError
from stamp_hw.formats.json_file import load_json
from stamp_hw.rooms import HOME

SHIPPED = HOME / "configs" / "models"
ALIASES = {"smollm2": "smollm2-135m"}  # the name that commands which run the model know it by
_YAML = (".yaml", ".yml")
_MAX_BYTES = 1 << 20
T = TypeVar("T", language.Ask, images.Ask)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked of a model; None: the model's own or its family's default (`language.Ask`, `images.Ask`)."""

    prefill: int | None = None
    decode: int | None = None
    batch: int | None = None
    kv_bits: int | None = None
    size: int | None = None
    steps: int | None = None
    guidance: bool | None = None
    prompt: int | None = None

    def given(self) -> list[str]:
        """The names of what was asked for."""
        return [item.name for item in fields(Ask) if getattr(self, item.name) is not None]


def option(name: str) -> str:
    """The option of the command line that asks for it."""
    return f"--{name.replace('_', '-')}"


def names() -> list[str]:
    """The models that ship."""
    return sorted(path.stem for path in SHIPPED.glob("*.json"))


def workload(word: str, ask: Ask) -> Workload:
    """The workload of that word. Raises StampError for one that there is none of, an option that it has no use for, and
    a model of another form."""
    path = Path(word)
    if path.suffix in _YAML and (path.exists() or "/" in word):
        if given := ask.given():
            raise StampError("option of models", where=option(given[0]), expected="it in the workload's file")
        return file.read(path)
    found = _configuration(word, path)
    data = Fields(_json(found), str(found))
    folder = (path if path.is_dir() else found.parent).resolve()  # what a file of that common name is called by
    name = folder.name if found.name == "config.json" else found.stem
    if data.data.get("_class_name") in images.CLASSES:
        return images.workload(name, data, _of_family(images.Ask, ask, "image"))
    return language.workload(name, data, _of_family(language.Ask, ask, "language"))


def _of_family(family: type[T], ask: Ask, kind: str) -> T:
    known = {item.name for item in fields(family)}
    for name in ask.given():
        if name not in known:
            raise StampError(f"no option of {kind} models", where=option(name),
                             expected=f"some of {', '.join(map(option, sorted(known)))}")
    return family(**{name: getattr(ask, name) for name in ask.given()})


def _configuration(word: str, path: Path) -> Path:
    """The file that describes a model."""
    if path.is_file():
        return path
    if word and path.is_dir():
        for inner in ("config.json", "transformer/config.json"):
            if (path / inner).is_file():
                return path / inner
        raise ConfigError("no configuration of a model", where=word, expected="config.json or transformer/config.json")
    shipped = SHIPPED / f"{ALIASES.get(word.lower(), word.lower())}.json"
    if word and "/" not in word and shipped.is_file():
        return shipped
    near = difflib.get_close_matches(word.lower(), names(), n=1)
    raise ConfigError("no such model", where=word or "model", got=None if word else "no name",
                      expected=f"{near[0]}?" if near else "a config.json, a folder with one, a workload's YAML, or one "
                      f"of {', '.join(names())}")


def _json(path: Path) -> dict[str, Any]:
    data = load_json(path, "a model's configuration", _MAX_BYTES, "a readable JSON file")
    if not isinstance(data, dict):
        raise ConfigError("not a model's configuration", where=str(path), got=type(data).__name__,
                          expected="a JSON object")
    return data
