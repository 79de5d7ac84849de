"""A bench for a top with AXI ports, driven by cocotbext-axi's own masters, sources and sinks.

What AXI asks of a DUT's outputs is watched in every cycle: a VALID that has risen stays, with its payload, until READY.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import cocotb
import numpy as np
from amaranth.lib.data import StructLayout
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, SimTimeoutError, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

from rtl_gen.axi import stream_bytes as axi_bytes
from rtl_gen.axi.registers import WORD_BYTES, Register, job_register, registers
from rtl_gen.axi.stream import activation_data, weight_data
from stamp_hw.engine.streams import Beats
from stamp_hw.engine.wire import OUT_BYTES, result_beat_bytes
from tb.axi.cases import Drawn
from tb.bench.harness import TOTALS, Bench, bench_test
from tb.bench.patterns import Pattern, throttles

PERIOD_NS = 10
HANG_CYCLES = 20_000  # of a wait
BEAT_CYCLES = 200  # and so many more for each beat of a packet of results: those of a single PE take long
POLLS = 2_000  # of a bit that must change
OKAY, SLVERR = 0, 2
_WATCHED = {"m_axis_out_t": ("data", "keep", "last", "user"), "s_axil_b": ("resp",), "s_axil_r": ("data", "resp")}


class AxiBench(Bench):
    """The engine's AXI top between a register master, three sources and a sink.

    Attributes
    ----------
    lite : AxiLiteMaster
    act, wgt, par : AxiStreamSource; out : AxiStreamSink
    table : name → `rtl_gen.axi.registers.Register`
    """

    async def start(self) -> None:
        """Clock, drivers, watchers; then reset."""
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"cocotbext\.")
        dut = self.dut
        self.table: dict[str, Register] = {register.name: register for register in registers(self.params)}
        dut.aresetn.value = 1
        Clock(dut.aclk, PERIOD_NS, unit="ns").start()
        reset = {"reset": dut.aresetn, "reset_active_level": False}
        self.lite = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.aclk, **reset)
        self.per_token = False  # a packet of results is a token of a column tile
        self.act, self.wgt, self.par = (
            AxiStreamSource(AxiStreamBus.from_prefix(dut, f"s_axis_{name}"), dut.aclk, **reset)
            for name in ("act", "wgt", "par"))
        self.out = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis_out"), dut.aclk, **reset)
        await RisingEdge(dut.aclk)
        await self.reset()
        self.broken: list[str] = []  # rules of AXI that the DUT broke
        for prefix, parts in _WATCHED.items():
            cocotb.start_soon(self._watch(prefix, parts))
        cocotb.start_soon(self._count_cycles())

    async def reset(self, cycles: int = 3) -> None:
        """`aresetn` low for some cycles, by the end of which no VALID is high; what is queued is forgotten."""
        self.dut.aresetn.value = 0
        await self.cycles(1 + cycles)
        for prefix in _WATCHED:
            assert not getattr(self.dut, f"{prefix}valid").value, f"{prefix}valid is high in reset"
        for stream in (self.act, self.wgt, self.par, self.out):
            stream.clear()
        self.per_token = False
        self.dut.aresetn.value = 1
        await RisingEdge(self.dut.aclk)

    @property
    def channels(self) -> tuple[Any, ...]:
        """Everything that has a pause generator."""
        write, read = self.lite.write_if, self.lite.read_if
        return (self.act, self.wgt, self.par, self.out, write.aw_channel, write.w_channel, write.b_channel,
                read.ar_channel, read.r_channel)

    def pause(self, rng: np.random.Generator | None) -> None:
        """Stall every channel under a pattern of its own; None ends that."""
        for channel in self.channels:
            channel.clear_pause_generator()
            channel.pause = False
            if rng is not None:
                channel.set_pause_generator(_stalls(throttles(rng)[0]))

    # --- registers ---

    async def write(self, name: str, value: int) -> int:
        """Write a register; returns the response."""
        return await self.write_bytes(self.table[name].offset, value.to_bytes(WORD_BYTES, "little"))

    async def write_bytes(self, address: int, values: bytes) -> int:
        """Write bytes within a word, strobes elsewhere 0; returns the response."""
        return int((await self.within(self.lite.write(address, values))).resp)

    async def read(self, name: str) -> int:
        """Value of a register; the response must be OKAY."""
        value, response = await self.read_word(self.table[name].offset)
        assert response == OKAY, f"{name}: response {response} to a read, expected OKAY"
        return value

    async def read_word(self, address: int) -> tuple[int, int]:
        """(value, response) of one access at any address."""
        found = await self.within(self.lite.read(address, WORD_BYTES if address % WORD_BYTES == 0 else 1))
        return int.from_bytes(found.data, "little"), int(found.resp)

    async def expect(self, name: str, wanted: int, when: str = "") -> None:
        """Read a register and compare it."""
        self.check(f"{name}{f' {when}' if when else ''}", await self.read(name), wanted)

    def check(self, what: str, got: int, wanted: int) -> None:
        """Compare a word."""
        self.words += 1
        TOTALS.words += 1
        if got != wanted:
            TOTALS.mismatches += 1
            raise AssertionError(f"{what}: got {got:#x}, expected {wanted:#x}")

    def field(self, register: str, name: str) -> int:
        """Mask of a field."""
        return next(field.mask for field in self.table[register].fields if field.name == name)

    def at_rest(self, halted: bool = False) -> int:
        """STATUS without a job."""
        return sum(self.field("STATUS", name) for name in ("idle", "busy", "halted")[: 3 if halted else 1])

    # --- jobs ---

    def feed(self, beats: Mapping[str, Beats], one_packet: bool = False) -> None:
        """Queue one layer's tokens, weights and parameters (`stamp_hw.engine.streams`), the tokens a packet each or
        all in `one_packet`; a stream that is missing gets nothing."""
        if "i" in beats and len(beats["i"]["last"]):
            tokens = beats["i"]
            data = self._noisy(axi_bytes.activations(self.params, tokens), activation_data(self.params))
            size = len(data) // len(tokens["last"])
            shifts = np.repeat(tokens["sink_shift"], size).tolist()  # a byte's
            packets = [(0, len(tokens["last"]))] if one_packet else _frames(tokens["last"])
            for first, end in packets:
                part = slice(first * size, end * size)
                self.act.send_nowait(AxiStreamFrame(data[part], tuser=shifts[part]))
        if "w" in beats and len(beats["w"]["wgt"]):
            data = self._noisy(axi_bytes.weights(self.params, beats["w"]), weight_data(self.params))
            self.wgt.send_nowait(AxiStreamFrame(data))
        if "p" in beats and len(beats["p"]["bias"]):
            self.par.send_nowait(AxiStreamFrame(axi_bytes.parameters(beats["p"])))

    def _noisy(self, data: bytes, beat: StructLayout) -> bytes:
        """The bytes of a stream, with anything in those of each beat that are `reserved`."""
        if "reserved" not in beat.members:
            return data
        rows = np.frombuffer(data, np.uint8).reshape(-1, beat.size // 8).copy()
        first = beat["reserved"].offset // 8
        rows[:, first:] = self.rng.integers(0, 256, (len(rows), rows.shape[1] - first))
        return rows.tobytes()

    async def program(self, job: Mapping[str, Any]) -> None:
        """Write the job registers."""
        for name, value in job.items():
            assert await self.write(job_register(name), int(np.asarray(value).item())) == OKAY

    async def launch(self, job: Mapping[str, Any]) -> None:
        """Write the job registers, wait until START is free, start."""
        await self.program(job)
        await self.until("STATUS", "busy", 0)
        assert await self.write("START", 1) == OKAY

    async def until(self, register: str, name: str, value: int) -> None:
        """Poll a bit."""
        mask = self.field(register, name)
        for _ in range(POLLS):
            if bool(await self.read(register) & mask) == bool(value):
                return
        raise AssertionError(f"hang: {register}.{name} never became {value}")

    async def collect(self, where: str, wanted: Beats) -> None:
        """Take one job's results and compare values, TKEEP, TLAST and TUSER."""
        lanes, size = self.params.rescale_lanes, result_beat_bytes(self.params)
        for first, end in _frames(wanted["last" if self.per_token else "end"]):
            frame = await self.within(self.out.recv(compact=False), HANG_CYCLES + BEAT_CYCLES * (end - first))
            keep = np.array(frame.tkeep, np.int64).reshape(-1, size)
            y = np.frombuffer(bytes(frame.tdata), "<i2").reshape(-1, size // OUT_BYTES)[:, :lanes]
            kept = wanted["keep"][first:end].astype(bool)
            ends = np.array(frame.tuser, np.int64).reshape(-1, size)[:, 0]
            bytes_kept = np.pad(np.repeat(kept, OUT_BYTES, axis=1), ((0, 0), (0, size - lanes * OUT_BYTES)))
            self.equal(where, "TLAST", first, np.array([len(y)]), np.array([end - first]))
            self.equal(where, "TKEEP", first, keep, bytes_kept.astype(np.int64))
            self.equal(where, "TUSER", first, ends, wanted["end"][first:end])
            self.equal(where, "TDATA", first, np.where(kept, y, 0), np.where(kept, wanted["y"][first:end], 0))
            self.words += int(kept.sum())
            TOTALS.words += int(kept.sum())

    async def play(self, layers: Sequence[Drawn], where: str, feed: bool = True) -> None:
        """Layers back to back: all beats wait at the ports, each job is started as soon as START is free. Without
        `feed` the beats are there already."""
        before = await self.read("DONE")

        async def launch() -> AssertionError | None:
            try:
                for layer in layers:
                    await self.launch(layer.beats["job"])
            except AssertionError as error:  # a task that fails would end the test as if the bench had crashed
                return error
            return None

        starting = cocotb.start_soon(launch())
        for layer in layers if feed else ():
            self.feed(layer.beats)
        for index, layer in enumerate(layers):
            await self.collect(f"{where}, layer {index} ({layer.name})", layer.beats["o"])
        failed = await self.within(starting)
        if failed is not None:
            raise failed
        await self.expect("ERROR", 0, where)
        await self.expect("DONE", before + len(layers), where)
        await self.until("STATUS", "idle", 1)

    def beginning(self, where: str, wanted: Sequence[Beats]) -> None:
        """Compare what came out before the engine was halted with the beginning of `wanted`, jobs in a row; a packet
        that was cut off must end in one more beat, with TLAST and without TUSER."""
        lanes, size = self.params.rescale_lanes, result_beat_bytes(self.params)
        beats = [(tuple(frame.tdata[size * beat : size * beat + OUT_BYTES * lanes]), frame.tuser[size * beat])
                 for frame in self.frames() for beat in range(len(frame.tdata) // size)]
        whole = np.concatenate([np.zeros(0, np.int64), *(each["end"] for each in wanted)]).tolist()
        ended = [index for index, (_, end) in enumerate(beats) if end]
        if beats and not beats[-1][1]:
            beats.pop()  # the beat that closes the packet
            assert beats and not whole[len(beats) - 1] and len(beats) < len(whole), f"{where}: a packet without need"
        assert ended == [index for index in np.flatnonzero(whole).tolist() if index < len(beats)], f"{where}: TUSER"
        if beats:
            y, keep = (np.concatenate([each[name] for each in wanted])[: len(beats)] for name in ("y", "keep"))
            came = np.array([np.frombuffer(bytes(data), "<i2") for data, _ in beats])
            self.equal(where, "TDATA", 0, np.where(keep, came, 0), np.where(keep, y, 0))

    def frames(self) -> list[Any]:
        """All packets of results that have come."""
        found = []
        while not self.out.empty():
            found.append(self.out.recv_nowait(compact=False))
        return found

    def equal(self, where: str, what: str, first: int, got: np.ndarray, wanted: np.ndarray) -> None:
        """Raise AssertionError with the first place where two arrays (beats, …) differ."""
        places = np.argwhere(got != wanted)
        if len(places):
            TOTALS.mismatches += len(places)
            beat, *lane = places[0].tolist()
            raise AssertionError(f"{where}, m_axis_out {what}, beat {first + beat}, lane {lane}: got "
                                 f"{got[tuple(places[0])]}, expected {wanted[tuple(places[0])]} "
                                 f"({len(places)} of {got.size} differ)")

    async def settle(self, cycles: int = 60) -> None:
        """End of a test: nothing more may come, and no rule of AXI was broken."""
        self.pause(None)
        await self.cycles(cycles)
        assert self.out.empty() and not self.dut.m_axis_out_tvalid.value, "m_axis_out: a beat after the last one"
        assert not self.broken, "; ".join(self.broken[:3])

    # --- time ---

    async def within(self, what: Awaitable[Any], cycles: int = HANG_CYCLES) -> Any:
        """Wait; an AssertionError where it takes too long."""
        try:
            return await with_timeout(what, cycles * PERIOD_NS, "ns")
        except SimTimeoutError:
            raise AssertionError(f"hang: nothing in {cycles} cycles") from None

    async def cycles(self, count: int) -> None:
        """Wait."""
        for _ in range(count):
            await RisingEdge(self.dut.aclk)

    async def _count_cycles(self) -> None:
        while True:
            await RisingEdge(self.dut.aclk)
            TOTALS.cycles += 1

    async def _watch(self, prefix: str, parts: tuple[str, ...]) -> None:
        """Hold a channel to the rule: VALID and payload stay until READY. Values are those just before an edge."""
        signals = [getattr(self.dut, f"{prefix}{part}") for part in ("valid", "ready", *parts)]
        held = None
        while True:
            await RisingEdge(self.dut.aclk)
            valid, ready, *payload = (int(signal.value) for signal in signals)
            if not self.dut.aresetn.value:
                held = None
                continue
            if held is not None and not (valid and payload == held):
                self.broken.append(f"{prefix}valid: fell, or its payload changed, before {prefix}ready")
            held = payload if valid and not ready else None


def axi_test(function: Callable[[Any], Awaitable[None]] | None = None, *, quota: float = 0.0,
             kind: type[AxiBench] = AxiBench) -> Any:
    """`bench_test` of a function of an AxiBench, or a `kind` of it, with its `settle` behind it."""
    if function is None:
        return functools.partial(axi_test, quota=quota, kind=kind)

    @functools.wraps(function)
    async def run(bench: AxiBench) -> None:
        await function(bench)
        await bench.settle()

    return bench_test(run, quota=quota, kind=kind)


def _stalls(pattern: Pattern) -> Iterator[bool]:
    return itertools.cycle([not bit for bit in pattern.bits])


def _frames(last: np.ndarray) -> list[tuple[int, int]]:
    """(first beat, beat behind the last one) of each packet; beats behind the last end are one that was cut off."""
    ends = (np.flatnonzero(last) + 1).tolist()
    if not ends or ends[-1] < len(last):
        ends.append(len(last))
    return list(zip([0, *ends[:-1]], ends, strict=True))
