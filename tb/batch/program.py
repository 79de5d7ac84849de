"""The simulator's main program: the C++ of this folder, and the table of ports that is generated for each top."""

from __future__ import annotations

from pathlib import Path

from rtl_gen.verilog.declared import ports as ports_of

SOURCES = tuple(Path(__file__).with_name(name) for name in ("main.cpp", "player.h"))
HEADER = "stamp_ports.h"


def header(verilog: str, top: str) -> str:
    """Text of `stamp_ports.h` for the Verilog of the top: what main.cpp and player.h take as PORTS and EVENTS.

    A stream is three ports `name__valid`, `name__ready`, `name__payload`; the DUT takes its beats if `valid` is an
    input. Any other port is the testbench's own business.
    """
    flows = {port.name: port.direction for port in ports_of(verilog)}
    streams = [name.removesuffix("__valid") for name in flows if name.endswith("__valid")]
    streams = [name for name in streams if {f"{name}__ready", f"{name}__payload"} <= set(flows)]
    ports = []
    for name in streams:
        valid, ready, payload = (_member(f"{name}__{part}") for part in ("valid", "ready", "payload"))
        takes = int(flows[f"{name}__valid"] == "input")
        ports.append(f'{{"{name}", {takes}, &{valid}, &{ready}, &{payload}, sizeof({payload})}}')
    events = "events" in flows
    return (f"// The ports of {top}, for player.h.\n#pragma once\n"
            f"#define STAMP_PORTS {', '.join(ports)}\n"
            f"#define STAMP_EVENTS {'&top->events' if events else 'nullptr'}\n"
            f"#define STAMP_EVENT_BYTES {'sizeof(top->events)' if events else '0'}\n"
            f"#define STAMP_CLOCK(level) {'top->clk = (level)' if 'clk' in flows else '(void)(level)'}\n")


def _member(name: str) -> str:
    """A port as a member of Verilator's class, which writes the second of two underscores by its code."""
    return "top->" + name.replace("__", "___05F")
