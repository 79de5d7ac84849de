"""Reading a model's `config.json`: fields of the kind that they have to be, or one error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stamp_hw.errors import ConfigError, brief


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a configuration, and where they are from."""

    data: Mapping[str, Any]
    where: str

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number from 1 on; `default` where there is none. Raises ConfigError."""
        value = self.data.get(name)
        value = default if value is None else value
        if type(value) is not int or not 1 <= value <= 10**9:
            raise ConfigError("field of a model's configuration", where=f"{self.where}: {name}",
                              got="nothing" if value is None else brief(value), expected="a whole number from 1 on")
        return value

    def number(self, name: str, default: float) -> float:
        """A number above 0."""
        value = self.data.get(name, default)
        if type(value) not in (int, float) or not 0 < value < 1e9:
            raise ConfigError("field of a model's configuration", where=f"{self.where}: {name}", got=brief(value),
                              expected="a number above 0")
        return float(value)

    def given(self, name: str) -> bool:
        """Whether the field is there and neither null, false nor 0."""
        return bool(self.data.get(name))

    def refuse(self, what: str, name: str, expected: str) -> ConfigError:
        """The error of a model that a workload does not cover."""
        return ConfigError(what, where=f"{self.where}: {name}", got=brief(self.data.get(name)), expected=expected)
