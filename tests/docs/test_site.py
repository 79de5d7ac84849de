"""The documents as a whole: links lead somewhere, code runs, what is generated is current, the site builds."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from docs.tools import blocks, drawings, reference
from docs.tools.results import ROOT
from stamp_hw.cli.commands import COMMANDS

DOCS = ROOT / "docs"
FILES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
         for path in [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "tb/README.md"]}
SITE = [name for name in FILES if name.startswith("docs/")]
ELSEWHERE = {"docs/contributing.md", "tb/README.md"}  # their Python has tests of its own
#: What a page's Python takes for granted: a reader's own model, a reader's own tensors.
GIVEN = {"docs/eval.md": "import torch\nblock = torch.nn.Module()\nblock.fc = torch.nn.Linear(16, 8)\n",
         "docs/traces.md": "import numpy as np\nx, w = np.ones((8, 4), np.float32), np.ones((2, 4), np.float32)\n"}
WITH_PYTHON = sorted(name for name, text in FILES.items() if "```python\n" in text and name not in ELSEWHERE)


def slug(heading: str) -> str:
    """The anchor that GitHub and the site give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("name", FILES)
def test_every_link_leads_to_a_file_and_its_heading(name: str) -> None:
    plain = re.sub(r"```.*?```", "", FILES[name], flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", plain):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        page = (ROOT / name).parent / path if path else ROOT / name
        assert page.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, target


@pytest.mark.parametrize("name", WITH_PYTHON)
def test_the_python_of_a_page_runs_in_its_order(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").symlink_to(ROOT / "models")
    (tmp_path / "t.safetensors").symlink_to(ROOT / "models/traces/llama_small.safetensors")
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {}
    if "torch" in (given := GIVEN.get(name, "")):
        pytest.importorskip("torch")
    exec(given, space)
    for code in re.findall(r"```python\n(.*?)```", FILES[name], re.DOTALL):
        exec(compile(code, name, "exec"), space)


def test_the_readme_and_five_pages_have_python_that_runs() -> None:
    assert len(WITH_PYTHON) >= 6 and "README.md" in WITH_PYTHON
    (code,) = re.findall(r"```python\n(.*?)```", FILES["README.md"], re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 8


@pytest.mark.parametrize("name", FILES)
def test_every_command_line_on_a_page_is_one_that_the_program_takes(name: str) -> None:
    known = dict(reference.parsers())
    text = re.sub(r"^```text\n.*?^```$", "", FILES[name], flags=re.DOTALL | re.MULTILINE).replace("\\\n", " ")
    for line in re.findall(r"^(?:    )?(stamp-hw [a-z].*?)(?:\s+#.*)?$", text, re.MULTILINE):
        words = [word for word in line.split() if word not in ("…", "...")]
        command = " ".join(words[1:3]) if " ".join(words[1:3]) in known else words[1]
        assert words[1] in COMMANDS, line
        options = {option for action in known[command]._actions for option in action.option_strings}
        assert {word.strip("[]") for word in words if word.strip("[").startswith("--")} <= options, line


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_reference_is_what_the_program_says(name: str) -> None:
    pytest.importorskip("torch")  # stamp_hw.torch is a part of it
    assert (reference.REFERENCE / name).read_text(encoding="utf-8") == reference.PAGES[name](), "run make docs"


def test_a_blocks_page_is_what_its_component_its_bench_and_its_faults_say() -> None:
    for path, text in blocks.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.relative_to(ROOT)}: run make docs"
        assert path in (blocks.REGISTERS, blocks.NPU) or text.count("\n| `") >= 3


@pytest.mark.parametrize("name", drawings.DRAWINGS)
def test_a_drawing_is_what_the_program_draws_and_a_page_shows_it(name: str) -> None:
    assert (drawings.IMAGES / f"{name}.svg").read_text(encoding="utf-8") == drawings.DRAWINGS[name](), "run make docs"
    assert any(f"images/{name}.svg)" in text for text in FILES.values())


@pytest.mark.long
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    pytest.importorskip("myst_parser")
    words = f"-m sphinx -W --keep-going -q -b html docs {shlex.quote(str(tmp_path))}"
    done = subprocess.run([sys.executable, *shlex.split(words)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / Path(name).relative_to("docs").with_suffix(".html")).is_file() for name in SITE)
