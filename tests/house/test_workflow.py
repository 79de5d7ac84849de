"""The workflow and the one that docs/verify.md offers to others: what they call exists, what they find is kept."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from stamp_hw.cli.main import parser

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def theirs() -> str:
    """The workflow of the page for users."""
    page = (ROOT / "docs" / "verify.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"```yaml\n(name: .*?)```", page, re.DOTALL)
    return str(found)


both = pytest.mark.parametrize("text", [WORKFLOW, theirs()], ids=["ours", "theirs"])


def jobs(text: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(text)["jobs"]
    return found


def commands(job: dict[str, Any]) -> list[str]:
    """What the steps of a job run, a line each, for every value of its matrix."""
    matrix = {name: values for name, values in job.get("strategy", {}).get("matrix", {}).items()}
    lines = []
    for values in product(*matrix.values()):
        for step in job["steps"]:
            text = step.get("run", "")
            for name, value in zip(matrix, values, strict=True):
                text = text.replace(f"${{{{ matrix.{name} }}}}", str(value))
            lines += text.splitlines()
    return lines


def uses(job: dict[str, Any], action: str) -> list[dict[str, Any]]:
    return [step for step in job["steps"] if step.get("uses", "").split("@")[0] == action]


def test_every_target_that_it_makes_exists_and_every_kind_of_run_is_made() -> None:
    made = {name: {target for line in commands(job) for target in re.findall(r"\bmake ([\w-]+)", line)}
            for name, job in jobs(WORKFLOW).items()}
    assert made == {"test": {"demo", "test", "test-long"}, "documents": {"docs"}, "wheel": {"wheel"},
                    "nightly": {"regress", "faults", "coverage", "census", "formal", "mutate"}}
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.M)
    for target in set().union(*made.values()):
        assert target in targets and target in phony.split(), target


def test_the_targets_that_check_call_the_words_of_verify() -> None:
    for target, word in {"regress": "deep", "faults": "faults", "coverage": "coverage", "census": "census",
                         "formal": "formal", "mutate": "mutate"}.items():
        (recipe,) = re.findall(rf"^{target}: .*\n((?:\t.*\n)+)", MAKEFILE, re.M)
        assert recipe.split()[-3:] == ["$(BIN)/stamp-hw", "verify", word]
    assert set(re.findall(r"python -m (tb\S*)", MAKEFILE)) == {"tb.asic.engine", "tb.peers.run", "tb.run.verdict"}


@both
def test_every_command_of_ours_is_one_that_the_program_takes(text: str) -> None:
    called = [line.partition(" 2>&1")[0].partition("stamp-hw verify ")[2].split()
              for job in jobs(text).values() for line in commands(job) if "stamp-hw verify " in line]
    assert called
    for words in called:
        parser().parse_args(["verify", *words])  # exits where it does not


@both
def test_what_was_found_is_uploaded_after_a_failure_as_well(text: str) -> None:
    for name, job in jobs(text).items():
        (upload,) = uses(job, "actions/upload-artifact")
        assert upload["if"] == "always()" and job["steps"][-1] is upload, name
        kept = upload["with"]["path"].split()
        written = {path for line in commands(job) for path in re.findall(r"(?:--junit |--json |tee )(\S+)", line)}
        for path in written:
            assert any(fnmatch(path, place) or path.startswith(f"{place}/") for place in kept), (name, path)
        if any("stamp-hw verify" in line for line in commands(job)):
            assert {"build/sim", "build/waves"} <= set(kept), "the log and the waveform of what failed"


@both
def test_pip_and_the_simulators_are_cached_after_a_failure_as_well(text: str) -> None:
    for name, job in jobs(text).items():
        (python,) = uses(job, "actions/setup-python")
        assert python["with"]["cache"] == "pip", name
        if name in ("documents", "wheel"):
            continue
        (restore,), (save,) = uses(job, "actions/cache/restore"), uses(job, "actions/cache/save")
        assert save["if"] == "always()"
        assert save["with"] == {key: restore["with"][key] for key in ("path", "key")}
        assert restore["with"]["path"] == "build/rtl" and restore["with"]["key"].startswith(
            restore["with"]["restore-keys"].strip())


def test_every_python_that_the_package_promises_runs_the_tests_and_the_long_runs_are_nightly() -> None:
    found = jobs(WORKFLOW)
    pythons = found["test"]["strategy"]["matrix"]["python"]
    assert pythons == ["3.11", "3.12", "3.13"]
    assert f'requires-python = ">={pythons[0]}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    when = yaml.safe_load(WORKFLOW)[True]  # YAML's `on`
    assert len(when["schedule"]) == 1 and {"push", "pull_request"} <= set(when)
    assert "'schedule'" in found["nightly"]["if"]
    assert not any(job["strategy"]["fail-fast"] for job in found.values() if "strategy" in job)


@both
def test_actions_have_a_version_and_a_pipe_hides_no_failure(text: str) -> None:
    for job in jobs(text).values():
        for step in job["steps"]:
            assert re.fullmatch(r"actions/[\w/-]+@v\d+", step.get("uses", "actions/none@v1"))
            if "|" in step.get("run", ""):
                assert yaml.safe_load(text)["defaults"]["run"]["shell"] == "bash"
