"""The commands and the Python in the tutorials and how-tos are ones that this version has."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from hf_select.cli.app import cli
from hf_select.cli.settings import read_file
from hf_select.tasks.base import TASKS

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
PAGES = [*TUTORIALS, ROOT / "docs/maintainers.md", ROOT / "docs/settings.md", ROOT / "README.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PUBLIC = "hf_select"


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [text for kind, text in found if kind == language]


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every `hf-select ...` line, of pages' shell blocks; lines that go on joined."""
    for text in blocks(page, "sh"):
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while "hf-select" in words:
                words = words[words.index("hf-select") + 1 :]
                end = [i for i, word in enumerate(words) if word in ("|", ">", "||", "&&", ";")]
                yield words[: end[0]] if end else words


def parse(words: list[str]) -> None:
    """Let click read the words, command for command; values aren't looked at."""
    command: click.Command = cli
    ctx = click.Context(cli, info_name="hf-select")
    while isinstance(command, click.Group):
        parser = command.make_parser(ctx)
        _, rest, _ = parser.parse_args(list(words))
        if not rest:
            return
        found = command.get_command(ctx, rest[0])
        assert found is not None, f"no command {rest[0]!r}"
        ctx = click.Context(found, info_name=rest[0], parent=ctx)
        command, words = found, rest[1:]
    if "..." in words:  # an excerpt
        words = [word for word in words if word != "..."]
    _, rest, _ = command.make_parser(ctx).parse_args(list(words))
    assert not rest, f"left over: {rest}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_is_known_with_its_options(page: Path) -> None:
    lines = list(commands(page))
    assert lines or page.stem == "README" or page.name == "index.md", f"{page.name} has no command"
    for words in lines:
        if "demo" in words and page.stem == "README" and words[0] == "demo":
            assert words
        try:
            parse(words)
        except (click.UsageError, AssertionError) as error:
            raise AssertionError(f"hf-select {' '.join(words)}: {error}") from error


def test_a_wrong_option_is_seen() -> None:
    parse(["select", "a.csv", "--results", "demo", "--out", "b"])
    for wrong in (["select", "a.csv", "--bugdet", "3"], ["selct"], ["report", "a", "b"]):
        with pytest.raises((click.UsageError, AssertionError)):
            parse(wrong)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_its_python_parses_and_imports_what_is_there(page: Path) -> None:
    import importlib

    for text in blocks(page, "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PUBLIC:
                module = importlib.import_module(node.module or "")
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{page.name}: {alias.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_its_settings_are_ones_that_are_read(page: Path, tmp_path: Path) -> None:
    for text in blocks(page, "yaml"):
        file = tmp_path / "settings.yaml"
        file.write_text(text, encoding="utf-8")
        assert read_file(file, cli)
        assert yaml.safe_load(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_there_is_a_tutorial_for_every_task() -> None:
    said = "\n".join(page.read_text(encoding="utf-8") for page in TUTORIALS)
    for task in TASKS:
        assert f"`{task}`" in said, task
