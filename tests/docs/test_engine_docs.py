"""docs/engine.md: its Verilog lints, its C compiles, its commands print what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rtl_gen.delivery import handover
from rtl_gen.flow import lint
from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from tests.support.generate_cases import compiled, generated

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "engine.md").read_text(encoding="utf-8")
FPGA = NpuConfig.load(ROOT / "configs" / "fpga.yaml")


def block(language: str) -> str:
    """The page's one block of code in a language."""
    found = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def command(start: str) -> list[str]:
    """The words of an indented command, lines that end in a backslash joined."""
    line = next(line for line in TEXT.replace("\\\n", " ").splitlines() if line.startswith(f"    {start}"))
    return shlex.split(line)


@pytest.mark.rtl
def test_the_instance_on_the_page_connects_every_port_with_its_width() -> None:
    written = generated(FPGA, vectors=True)
    files = {name: written[name] for name in written["files.f"].split()}
    found = lint.findings_of(files | {"npu.v": block("verilog")}, "npu")
    assert [finding for finding in found if finding.module == "npu"] == []
    assert "WIDTH" not in " ".join(finding.rule for finding in found if "axi" in finding.module)
    wrong = block("verilog").replace("[63:0] wgt_tdata", "[62:0] wgt_tdata").replace(".irq(irq)", ".irq()")
    rules = {finding.rule for finding in lint.findings_of(files | {"npu.v": wrong}, "npu") if finding.module == "npu"}
    assert {"WIDTHEXPAND", "UNDRIVEN"} <= rules


def test_the_program_on_the_page_prints_its_table_and_the_c_compiles_with_it(tmp_path: Path,
                                                                            monkeypatch: pytest.MonkeyPatch,
                                                                            capsys: pytest.CaptureFixture[str]) -> None:
    words = command("stamp-hw program")[1:]
    monkeypatch.chdir(tmp_path)
    for name in ("models", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    assert main(words) == 0
    for line in filter(None, capsys.readouterr().out.splitlines()):
        assert f"    {line}\n" in TEXT, line
    rtl = tmp_path / "build" / "fpga"
    (rtl / "stamp_engine.h").write_text(handover.files(FPGA.hw, ["a.v"], "waivers.vlt")["stamp_engine.h"])
    done = compiled(rtl, block("c") + """
        static uint32_t map[1024];
        static uint64_t seen;
        void dma_send(int stream, const void *bytes, uint64_t beats) {
          seen += beats;
          if (bytes && stream == PAR) map[STAMP_ENGINE_DONE / 4u]++; /* the job ends when all is sent */
        }
        void dma_receive(void *bytes, uint64_t beats) { if (bytes) seen += beats; }
        void dma_wait_sent(void) { map[STAMP_ENGINE_STATUS / 4u] = STAMP_ENGINE_STATUS_IDLE_MASK; }
        void dma_stop_receive(void) { map[STAMP_ENGINE_STATUS / 4u] = 0; }
        int main(void) {
          uint32_t error;
          map[STAMP_ENGINE_ID / 4u] = STAMP_ENGINE_ID_VALUE;
          map[STAMP_ENGINE_COLS / 4u] = STAMP_ENGINE_COLS_VALUE;
          map[STAMP_ENGINE_ERROR / 4u] = STAMP_ENGINE_ERROR_FRAMING_MASK;
          error = run_layer(map, &stamp_layers[2], map, map, map, map);
          printf("%u %u %u %lu\\n", error, map[STAMP_ENGINE_JOB_BEATS / 4u], map[STAMP_ENGINE_START / 4u],
                 (unsigned long)seen);
          map[STAMP_ENGINE_ERROR / 4u] = STAMP_ENGINE_ERROR_STARVED_MASK;
          error = run_layer(map, &stamp_layers[2], map, map, map, map);
          printf("%u %u\\n", error == STAMP_ENGINE_ERROR_STARVED_MASK, map[STAMP_ENGINE_STATUS / 4u]);
          map[STAMP_ENGINE_STATUS / 4u] = STAMP_ENGINE_STATUS_BUSY_MASK | STAMP_ENGINE_STATUS_HALTED_MASK;
          map[STAMP_ENGINE_START / 4u] = 0;
          error = run_layer(map, &stamp_layers[2], map, map, map, map); /* takes no job, and returns */
          printf("%u %u\\n", error == STAMP_ENGINE_ERROR_STARVED_MASK, map[STAMP_ENGINE_START / 4u]);
          return 0;
        }
    """)
    assert done.returncode == 0, done.stderr
    row = [cell for line in TEXT.splitlines() if "mlp.down_proj" in line for cell in line.split()]
    row = [cell for cell in row if "mlp" not in cell]  # of both tables
    assert done.stdout.split() == ["4", str(int(row[1]) // FPGA.hw.lanes), "1", str(sum(map(int, row[-4:]))), *"1010"]


def test_the_files_that_the_page_names_are_written() -> None:
    files = generated(FPGA, vectors=True)
    for name in ("stamp_engine_axi.v", "files.f", "registers.md", "stamp_engine.h", "stamp_engine_axi.core",
                 "vivado.tcl", "stamp_engine_axi.xdc", "vectors/tb_stamp_engine.v"):
        assert name in files and name in TEXT
    targets = re.findall(r"^  (\w+):$", files["stamp_engine_axi.core"].split("targets:\n")[1], re.MULTILINE)
    assert set(targets) == {"default", "plain", "lint", "lint_plain", "sim", "sim_icarus", "vivado"}
    assert all(f"`{name}`" in TEXT for name in targets)
