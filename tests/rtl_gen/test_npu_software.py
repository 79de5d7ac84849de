"""`stamp_npu.h`, the driver in C: it compiles as C99 and as C++, builds descriptors, and runs chains on the Verilog."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from rtl_gen.delivery import generate as generator
from rtl_gen.delivery.handover_npu_header import c_header, fields
from rtl_gen.dma.layer import descriptor_words
from rtl_gen.dma.registers import npu_registers
from rtl_gen.toolchain import verilator_env
from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from stamp_hw.dma.descriptor import ADDRESSES, BYTES, Descriptor
from stamp_hw.dma.params import DmaParams
from stamp_hw.formats.trace import Trace, TraceWriter
from tests.support.generate_cases import LINE, STRICT, compiled, generated

ROOT = Path(__file__).resolve().parents[2]
SOFTWARE = ROOT / "tb" / "dma" / "software.cpp"
BUSSED = LINE.with_hw(rows=1, cols=2, rescale_lanes=2, bus_width=64)
PARAMS = DmaParams.of(BUSSED.hw)
BASE = 0x40000
REAL = NpuConfig().with_hw(bus_width=128)  # the default engine of 8 × 8


def descriptor(rng: np.random.Generator) -> Descriptor:
    """Any that the hardware takes."""
    table = descriptor_words(PARAMS)
    values = {}
    for word in table:
        bits = int(rng.integers(1 << 32)) & word.mask
        values[word.name] = bits or (word.mask & -word.mask if word.needed else 0)
    addresses = {name: values[name] | values[f"{name}_high"] << 32 for name in ADDRESSES}
    following = addresses.pop("next") or None
    counts = {name: values[name] for name in ("places", "act_bytes", "act_stride", "wgt_bytes", "par_bytes", "repeats",
                                              "out_stride")}
    registers = {word.name: values[word.name] for word in table[24:] if word.mask}
    return Descriptor(**addresses, **counts, registers=registers, next=following, interrupt=bool(rng.integers(2)))


def member(layer: Descriptor, name: str) -> int:
    """A member of the C struct."""
    return layer.registers[name] if name in layer.registers else int(getattr(layer, name) or 0)


def test_the_header_has_every_offset_mask_and_constant(tmp_path: Path) -> None:
    header = c_header(PARAMS)
    (tmp_path / "stamp_npu.h").write_text(header)
    names = re.findall(r"#define (STAMP_NPU_\w+) 0x", header)
    shown = "".join(f'  printf("{name} %lu\\n", (unsigned long){name});\n' for name in names)
    done = compiled(tmp_path, f'#include "stamp_npu.h"\nint main(void) {{\n{shown}  return 0;\n}}\n')
    assert done.returncode == 0, done.stderr
    found = {key: int(value) for key, value in (line.split() for line in done.stdout.splitlines())}
    wanted = {}
    for register in npu_registers(PARAMS):
        wanted[f"STAMP_NPU_{register.name}"] = register.offset
        for field in register.fields:
            name = f"STAMP_NPU_{register.name}" + ("" if field.name == "value" else f"_{field.name.upper()}")
            constant = field.access == "const"
            wanted[f"{name}_{'VALUE' if constant else 'MASK'}"] = field.reset if constant else field.mask
    assert found == wanted


def test_it_builds_the_descriptors_of_the_golden_model_and_names_a_word_that_does_not_fit(
        rng: np.random.Generator, tmp_path: Path) -> None:
    (tmp_path / "stamp_npu.h").write_text(c_header(PARAMS))
    table = descriptor_words(PARAMS)
    layers = [descriptor(rng) for _ in range(8)]
    names = fields(table)
    rows = ",\n".join("{" + ", ".join(f"{member(layer, name)}u" + "ll" * (name in ADDRESSES) for name in names) + "}"
                      for layer in layers)
    wrong = []  # of each word that has bits to spare, or must not be zero: (member, value, word)
    for number, word in enumerate(table):
        free = ~word.mask & 0xFFFFFFFF
        if word.name in names and word.name != "interrupt" and (free or word.needed):
            wrong.append((word.name, (free & -free) if free else 0, number))
    tries = "\n".join(f"  one = layers[0]; one.{name} = {value}u; printf(\"%d\\n\", stamp_npu_write_descriptor(memory, "
                      "&one));" for name, value, _ in wrong)
    done = compiled(tmp_path, f"""#include "stamp_npu.h"
        static const stamp_npu_layer layers[] = {{{rows}}};
        int main(void) {{
          static unsigned char memory[STAMP_NPU_DESCRIPTOR_BYTES];
          stamp_npu_layer one;
          unsigned layer, byte;
          for (layer = 0; layer < {len(layers)}; layer++) {{
            memset(memory, 0xAA, sizeof memory);
            printf("%d ", stamp_npu_write_descriptor(memory, &layers[layer]));
            for (byte = 0; byte < sizeof memory; byte++) printf("%02x", memory[byte]);
            printf("\\n");
          }}
        {tries}
          return 0;
        }}
        """)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[: len(layers)] == [f"0 {layer.encode(table).hex()}" for layer in layers]
    assert [int(line) for line in lines[len(layers) :]] == [number for _, _, number in wrong] and len(wrong) > 10


def build(folder: Path, config: NpuConfig, level: int) -> Path:
    """The software on the Verilog of a configuration, as a user has it."""
    generator.write(folder / "rtl", generated(config))
    command = ["verilator", "--cc", "--exe", "--build", "-Wno-fatal", "--timescale", "1ns/1ps",
               "--Mdir", str(folder / "obj"), "--top-module", "stamp_npu", "-CFLAGS",
               f"-I{folder / 'rtl'} -std=c++17", "-MAKEFLAGS",
               f"OPT_FAST=-O{level} OPT_SLOW=-O0 OPT_GLOBAL=-O{level}", "-F", "files.f", str(SOFTWARE)]
    done = subprocess.run(command, cwd=folder / "rtl", env=verilator_env(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return folder / "obj" / "Vstamp_npu"


def program(trace: Path, folder: Path, config: NpuConfig, *more: str) -> int:
    """`stamp-hw program --image`; returns how many layers the chain has."""
    values = [word for key, value in config.hw.to_dict().items() if value is not None
              for word in ("--hw", f"{key}={value}")]
    assert main(["program", str(trace), *values, *more, "--out", str(folder / "p.json"), "--image",
                 str(folder / "image"), "--base", hex(BASE)]) == 0
    return len(json.loads((folder / "p.json").read_text(encoding="utf-8"))["memory"]["layers"])


def run(software: Path, folder: Path, layers: int, seed: int) -> subprocess.CompletedProcess[str]:
    image = folder / "image"
    return subprocess.run([software, image / "memory.bin", image / "memory_after.bin", hex(BASE), str(layers),
                           str(seed)], capture_output=True, text=True, check=False)


def seeded(rng: np.random.Generator) -> int:
    """Of the memory's latencies and pauses."""
    return int(rng.integers(1 << 31))


@pytest.mark.rtl
def test_it_runs_a_chain_on_the_verilog_and_notices_a_byte_that_differs(rng: np.random.Generator, tmp_path: Path
                                                                       ) -> None:
    trace = tmp_path / "three.safetensors"
    with TraceWriter(trace, {}) as writer:
        for number, (tokens, k, n) in enumerate(((24, 40, 10), (9, 33, 7), (1, 5, 3))):
            writer.add_input(f"x{number}", rng.normal(0, 1, (tokens, k)).astype(np.float32), "float32")
            writer.add_layer(name=f"layer{number}", kind="q", input_key=f"x{number}",
                             weight=rng.normal(0, 1, (n, k)).astype(np.float32))
    layers = program(trace, tmp_path, BUSSED)
    assert layers == 3
    software, seed = build(tmp_path, BUSSED, 0), seeded(rng)
    done = run(software, tmp_path, layers, seed)
    assert done.returncode == 0 and f"layers {layers}," in done.stdout and "PASS" in done.stdout, (seed, done.stdout)
    after = tmp_path / "image" / "memory_after.bin"
    content = bytearray(after.read_bytes())
    content[BYTES * layers + 1] ^= 1
    after.write_bytes(content)
    done = run(software, tmp_path, layers, seed)
    assert done.returncode == 1 and f"byte {BASE + BYTES * layers + 1:#x}" in done.stdout, (seed, done.stdout)


@pytest.mark.rtl
@pytest.mark.long
def test_fifteen_layers_of_a_model_run_in_one_chain(rng: np.random.Generator, tmp_path: Path) -> None:
    """All of the shipped trace of a small Llama, their first 64 tokens, on the default engine."""
    trace = tmp_path / "tokens64.safetensors"
    with Trace.open(ROOT / "models" / "traces" / "llama_small.safetensors") as whole, TraceWriter(trace, {}) as writer:
        for number, layer in enumerate(whole):
            writer.add_input(f"x{number}", np.ascontiguousarray(layer.x[:64]), "float32")
            writer.add_layer(name=layer.name, kind=layer.name.split(".")[-1], input_key=f"x{number}",
                             weight=layer.weight, bias=layer.bias)
    layers = program(trace, tmp_path, REAL)
    assert layers == 15
    seed = seeded(rng)
    done = run(build(tmp_path, REAL, 2), tmp_path, layers, seed)
    print(done.stdout)  # noqa: T201 the cycles
    assert done.returncode == 0 and "layers 15," in done.stdout and "PASS" in done.stdout, (seed, done.stdout)


def test_the_function_on_the_page_compiles_and_starts_a_chain(tmp_path: Path) -> None:
    (tmp_path / "stamp_npu.h").write_text(c_header(PARAMS))
    page = (ROOT / "docs" / "dma.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```c\n(.*?)```", page, re.DOTALL)
    constants = "".join(f"  map[{register.offset // 4}] = {register.reset}u;\n" for register in npu_registers(PARAMS))
    done = compiled(tmp_path, f"""{text}
        int main(void) {{
          static uint32_t map[1024];
          uint32_t number = 0;
        {constants}
          printf("%u ", run_chain(map, 0x123456700ull, &number));
          printf("%x %x %u\\n", map[STAMP_NPU_CHAIN_LOW / 4u], map[STAMP_NPU_CHAIN_HIGH / 4u],
                 map[STAMP_NPU_START / 4u]);
          map[STAMP_NPU_COLS / 4u]++;
          return run_chain(map, 0, &number) != ~0u;
        }}
        """)
    assert (done.returncode, done.stdout) == (0, "0 23456700 1 1\n"), done.stderr


def test_the_header_is_c99_and_cpp_without_a_warning(tmp_path: Path) -> None:
    (tmp_path / "stamp_npu.h").write_text(c_header(DmaParams.of(REAL.hw)))
    (tmp_path / "one.c").write_text('#include "stamp_npu.h"\nint main(void) { return 0; }\n')
    for language, flags in (("c", STRICT), ("c++", ["-std=c++11", *STRICT[1:]])):
        done = subprocess.run(["g++", "-x", language, *flags, "-Wno-unused-function", "-fsyntax-only", "one.c"],
                              cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
