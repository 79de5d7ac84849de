"""Standard output and error: gone, full, closed or narrow; interrupts; the progress line."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from stamp_hw.cli.common import progress_line
from stamp_hw.cli.main import main
from tests.support.refusals import TRACE


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    done = subprocess.run(f"{sys.executable} -m stamp_hw trace info {TRACE} | head -1", shell=True, text=True,
                          capture_output=True, check=False)
    assert "Traceback" not in done.stderr and "Error" not in done.stderr


PROGRAM = f"{sys.executable} -m stamp_hw"


@pytest.mark.parametrize("arguments", ["--help", "simulate --help", f"trace info {TRACE}"])
def test_a_stream_that_cannot_show_a_character_shows_another(arguments: str) -> None:
    done = subprocess.run(f"PYTHONIOENCODING=ascii {PROGRAM} {arguments}", shell=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"") and len(done.stdout) > 100


@pytest.mark.parametrize(("stream", "arguments", "unbuffered"), [
    (">&-", "--help", ""), (">&-", f"trace info {TRACE}", ""), ("> /dev/full", "--help", ""),
    ("> /dev/full", f"trace info {TRACE}", ""), ("> /dev/full", f"trace info {TRACE}", "1")])
def test_output_that_cannot_be_written_is_one_line_and_exit_code_two(stream: str, arguments: str,
                                                                     unbuffered: str) -> None:
    done = subprocess.run(f"PYTHONUNBUFFERED={unbuffered} {PROGRAM} {arguments} {stream}", shell=True,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "standard output" in done.stderr


@pytest.mark.parametrize("where", ["/dev/stdout", "/dev/stderr", "out", "err", "link"])
def test_a_stream_that_is_a_file_is_not_replaced(where: str, tmp_path: Path, toy: Path) -> None:
    (tmp_path / "link").symlink_to("out")
    done = subprocess.run(f"{PROGRAM} simulate {toy} --schemes a4 --json {where} >> out 2>> err", shell=True,
                          check=False, cwd=tmp_path)
    said = (tmp_path / "err").read_text()
    assert done.returncode == 2 and (tmp_path / "out").read_text() == ""
    assert len(said.splitlines()) == 1 and f"{where}: cannot write file; got the open standard " in said


def test_a_closed_standard_error_changes_nothing() -> None:
    done = subprocess.run(f"{PROGRAM} trace info {TRACE} 2>&-", shell=True, capture_output=True, check=False)
    assert done.returncode == 0 and len(done.stdout) > 100


def test_an_interrupt_while_modules_load_is_one_line(monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    class Interrupted:
        def find_spec(self, name: str, *_: object) -> None:
            if name.startswith("stamp_hw.cli."):
                raise KeyboardInterrupt

    for name in [name for name in sys.modules if name.startswith("stamp_hw.cli.") and not name.endswith(".main")]:
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(f"stamp_hw.cli.{name.rpartition('.')[2]}", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err == "stamp-hw: interrupted\n"


def test_the_program_loads_nothing_heavy_before_it_can_be_interrupted() -> None:
    code = "import sys, stamp_hw.cli.main; print(*{'numpy', 'yaml', 'argparse', 'logging'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(("columns", "shown"), [(20, 19), (0, 79)])
def test_the_progress_line_fits_the_terminal(columns: int, shown: int, monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    with os.fdopen(slave, "w") as terminal, os.fdopen(master, "rb", buffering=0) as screen:
        monkeypatch.setattr(sys, "stderr", terminal)
        progress_line()("layer\n" + "x" * 300)
        assert screen.read(1000) == b"\r\x1b[Klayer\\n" + b"x" * (shown - 7)
