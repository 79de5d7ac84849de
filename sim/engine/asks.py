"""Stages that ask: a generator yields what it wants of a stream next and is told when it was taken. Who answers decides
how time goes on: with a stream that knows its beats (`drive`), or a cycle at a time (`sim.engine.live`)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")
Result = TypeVar("Result")


def drive(asks: Generator[Ask, Answer, Result], answer: Callable[[Ask], Answer]) -> Result:
    """Answer all that is asked, at once; what the generator returns."""
    try:
        ask = next(asks)
        while True:
            ask = asks.send(answer(ask))
    except StopIteration as stop:
        result: Result = stop.value
        return result
