"""tb/README.md is what people copy from: its example runs, and every name that it gives exists."""

from __future__ import annotations

import importlib
import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from tb.batch.bench import BatchBench
from tb.bench import harness, layout
from tb.run import block, fault, simulator
from tb.run.block import fresh_seed, run_block

TEXT = (Path(__file__).resolve().parents[2] / "tb" / "README.md").read_text(encoding="utf-8")

#: A block as the page describes it, in modules of their own; what the page's imports become.
MODULES = {
    "foo_params": """
from dataclasses import dataclass

@dataclass(frozen=True, slots=True, kw_only=True)
class FooParams:
    lanes: int
""",
    "foo_rtl": """
from amaranth.hdl import Module, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

class Foo(wiring.Component):
    def __init__(self, params):
        self.params = params
        layout = data.StructLayout({"a": data.ArrayLayout(signed(8), params.lanes)})
        super().__init__({"i": In(stream.Signature(layout)), "o": Out(stream.Signature(layout)),
                          "events": Out(data.StructLayout({"beats": 1}))})

    def elaborate(self, _platform):
        m = Module()
        m.d.comb += [self.i.ready.eq(~self.o.valid | self.o.ready), self.events.beats.eq(self.i.valid & self.i.ready)]
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid)
            for lane in range(self.params.lanes):
                m.d.sync += self.o.p.a[lane].eq(self.i.p.a[lane] + 1)
        return m
""",
    "foo_sim": """
from sim import pipeline

def timing(params, beats, valid, ready):
    return pipeline.run([True] * beats, [True] * beats, 1, valid, ready)

def events(params, beats):
    return {"beats": beats}
""",
}
IMPORTS = {"from rtl_gen.foo import": "from foo_rtl import", "from sim import foo as foo_sim": "import foo_sim",
           "from stamp_hw.params import FooParams": "from foo_params import FooParams"}


def example() -> str:
    """The page's testbench, with the imports of its block changed to the modules above."""
    (text,) = re.findall(r"```python\n(# tb/tb_foo\.py.*?)```", TEXT, re.DOTALL)
    for old, new in IMPORTS.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    return str(text)


@pytest.mark.rtl
def test_the_example_runs_and_so_does_its_fast_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = "from tb.bench.harness import Bench,"
    fast = example().replace(imported, f"from tb.batch.bench import BatchBench, batch_test\n{imported}")
    fast = fast.replace("bench: Bench)", "bench: BatchBench)")
    assert "`@batch_test(quota=…)` in place of `@bench_test`" in TEXT
    benches = {"tb_foo": example(), "tb_foo_fast": fast.replace("@bench_test(", "@batch_test(")}
    for name, text in {**MODULES, **benches}.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in benches:
        bench = importlib.import_module(name)
        assert ("batch_test" in vars(bench)) == (name == "tb_foo_fast")
        result = run_block("foo", "small", fresh_seed(), bench=bench, words=2_000)
        assert result.passed and result.words >= 2_000 and result.timed_beats > 600 and result.events["beats"] > 300


def members(*classes: type) -> set[str]:
    """What an instance has: methods, properties, fields, and what `__init__` sets."""
    found = {name for one in classes for name in (*dir(one), *getattr(one, "__dataclass_fields__", ()))}
    for one in classes:
        if "__init__" in vars(one) and "__dataclass_fields__" not in vars(one):
            found |= set(re.findall(r"self\.(\w+)", inspect.getsource(vars(one)["__init__"])))
    return found


def test_every_member_that_is_named_exists() -> None:
    named, known = set(re.findall(r"(?<!tb\.)\bbench\.(?!py)(\w+)", TEXT)), members(harness.Bench, BatchBench)
    assert {"run", "ports", "rng", "jobs", "words", "reset", "dut", "params"} <= named <= known, named - known
    assert "`run`, `rest` and `reset`" in TEXT and hasattr(BatchBench, "rest")
    (chain,) = re.findall(r'bench\.ports\["i"\]\.(\w+)\.(\w+)', TEXT)
    assert chain[0] in members(layout.Port) and chain[1] in members(layout.Layout)
    (run,) = re.findall(r"a `Run` \((.*?)\)", TEXT)
    assert set(re.findall(r"`(\w+)`", run)) == {field.name for field in fields(harness.Run)} | {"cycles"}
    assert "`Run.fields[" in TEXT and "`DRAIN_CYCLES`" in TEXT and hasattr(importlib.import_module("tb.bench.streams"),
                                                                           "DRAIN_CYCLES")


@pytest.mark.parametrize(("start", "function"), [
    ("run_block(", block.run_block), ("catch(", block.catch), ("Fault(", fault.Fault),
    ("bench.run(", harness.Bench.run), ("@bench_test(", harness.bench_test)])
def test_every_argument_that_is_named_exists(start: str, function: object) -> None:
    calls = re.findall(rf"{re.escape(start)}([^`]*?)\)[`,\n ]", TEXT)
    known = set(inspect.signature(function).parameters)  # type: ignore[arg-type]
    named = {word for call in calls for word in re.findall(r"(?<![\w\"])(\w+)=", re.sub(r"\([^()]*\)", "", call))}
    assert calls and named <= known, named - known


def test_every_module_and_function_that_is_named_exists() -> None:
    for path in re.findall(r"`(tb/[\w/]+\.py)`", TEXT):
        assert "foo" in path or (Path(__file__).resolve().parents[2] / path).is_file(), path
    dotted = [name for name in re.findall(r"`((?:tb|rtl_gen|sim)\.[\w.]+)", TEXT) if "foo" not in name]
    assert {"tb.bench.harness.TRACE", "tb.run.block.run_block", "tb.run.block.catch",
            "tb.run.simulator.Result"} <= set(dotted)
    for name in dotted:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
    assert issubclass(block.BrokenBenchError, AssertionError) and "`BrokenBenchError`" in TEXT
    assert simulator.Result.__doc__ and "PARAMETER_SETS" in TEXT and "FAULTS" in TEXT
