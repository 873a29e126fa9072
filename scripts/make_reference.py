"""Write docs/reference/ from the code: cli.md from click, python.md from signatures and docstrings.

    python scripts/make_reference.py            # writes
    python scripts/make_reference.py --check    # exit code 1 if a file isn't what the code says

The same code gives the same bytes, whichever version of click or Python runs it, wherever it runs.
`tests/scripts/test_reference.py` holds the files to it.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"
MADE = "<!-- Made by scripts/make_reference.py from the code; change it there. -->"


def command_line() -> str:
    """cli.md: every command with its arguments and options."""
    from hf_select.cli.app import cli
    from hf_select.cli.settings import commands_of

    lines = [
        MADE,
        "",
        "# The command line",
        "",
        "`hf-select COMMAND ...`, `hf select COMMAND ...` (after `hf-select extension`) and",
        "`python -m hf_select COMMAND ...` are the same. Data goes to stdout, messages to stderr.",
        "Exit codes: 0 done, 1 failed, 2 bad input or usage, 3 stopped and resumable, 130",
        "interrupted.",
        "",
        "Every option can be set in a YAML file (`--config`) under its own name, and by the",
        "variable that is named with it; see [settings](../settings.md).",
        "",
    ]
    found = list(commands_of(cli))
    lines += [f"- [`{' '.join(path)}`](#{'-'.join(path)}): {_first(c)}" for path, c in found]
    for path, command in found:
        lines += ["", f"## {' '.join(path)}", "", *_command(path, command)]
    return _joined(lines)


def _command(path: tuple[str, ...], command: click.Command) -> Iterator[str]:
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    usage = " ".join(["hf-select", *path, "[OPTIONS]", *(_argument(a) for a in arguments)])
    yield from ("```", usage, "```", "")
    yield from _paragraphs(inspect.cleandoc(command.help or ""))
    example = command.epilog or ""
    if example:
        yield from ("", _examples(example))
    options = [p for p in command.params if isinstance(p, click.Option)]
    yield from ("", "| option | | variable |", "|---|---|---|")
    for option in options:
        yield f"| {_flags(option)} | {_cell(_help(option))} | {_variable(option)} |"


def _first(command: click.Command) -> str:
    """The first sentence of what a command does."""
    text = " ".join(inspect.cleandoc(command.help or "").split("\n\n")[0].split())
    return text.split(". ")[0].rstrip(".") + "."


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or (argument.name or "").upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _flags(option: click.Option) -> str:
    """`--top`, `-k` K, in one order."""
    flags = sorted(option.opts, key=lambda flag: (not flag.startswith("--"), flag))
    flags += option.secondary_opts  # such as `--no-header`
    names = ", ".join(f"`{flag}`" for flag in flags)
    if option.is_flag or option.count:
        return names
    value = option.metavar or {"integer": "N", "float": "X"}.get(option.type.name, "TEXT")
    # A pipe would end the cell of the table.
    return f"{names} {value}".replace("|", "\\|")


def _help(option: click.Option) -> str:
    text = " ".join((option.help or "").split())
    if option.required:
        text = f"**Required.** {text}"
    default = _default(option)
    return f"{text} Default: `{default}`." if default else text


def _default(option: click.Option) -> str:
    """A default that says something; None and False are what is not given."""
    if not option.show_default or option.required:
        return ""
    value = option.get_default(click.Context(click.Command("reference")), call=False)
    plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    return f"{value:g}" if isinstance(value, float) else str(value) if plain and value != "" else ""


def _variable(option: click.Option) -> str:
    return f"`{option.envvar}`" if option.envvar else ""


def _examples(epilog: str) -> str:
    """The example of a command as a block; several are separated by `; hf-select`."""
    text = re.sub(r"^Examples?: ", "", epilog)
    lines = re.split(r"; (?=hf-select )", text)
    return "\n".join(["```sh", *lines, "```"])


# --------------------------------------------------------------------------------------- Python


def python() -> str:
    """python.md: the public names, with signatures and docstrings."""
    import hf_select
    from hf_select import api
    from hf_select.cli.app import COMMANDS

    names = [name for name in hf_select.__all__ if not name.startswith("__")]
    functions = [n for n in COMMANDS if n in names]
    results = [n for n in api.__all__ if inspect.isclass(getattr(api, n))]
    others = [n for n in names if n not in functions and n not in results]
    lines = [
        MADE,
        "",
        "# Python",
        "",
        "```python",
        "from hf_select import select",
        "",
        'result = select("my.csv", results="owner/results", budget="30m")',
        "```",
        "",
        "`import hf_select` loads nothing heavy; what a function needs is imported when it is",
        "called. Nothing is printed: messages go to the logger `hf_select` (INFO), and",
        "`progress=True` shows them on stderr, with bars. All errors are `HfSelectError`.",
        "",
        "## Functions",
    ]
    for name in functions:
        lines += ["", *_function(name, getattr(hf_select, name))]
    lines += ["", "## Results", "", "Frozen dataclasses, in `hf_select.api`."]
    for name in results:
        lines += ["", *_class(name, getattr(api, name))]
    lines += ["", "## Others"]
    for name in others:
        lines += ["", *_class(name, getattr(hf_select, name))]
    return _joined(lines)


def _function(name: str, function: Any, level: str = "###") -> Iterator[str]:
    """A heading, the signature, and the docstring."""
    yield from (f"{level} {name}", "", "```python", _signature(name, function), "```", "")
    yield from _docstring(function)


def _signature(name: str, function: Any) -> str:
    """The signature as it is written in the source: annotations stay the names that they are."""
    tree = ast.parse(inspect.cleandoc("\n" + _source(function)))
    found = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    parts = _arguments(found.args)
    result = f" -> {ast.unparse(found.returns)}" if found.returns is not None else ""
    short = f"{name}({', '.join(parts)}){result}"
    if len(short) <= 88:
        return short
    return "\n".join([f"{name}(", *(f"    {part}," for part in parts), f"){result}"])


def _source(function: Any) -> str:
    text = inspect.getsource(inspect.unwrap(function))
    return inspect.cleandoc(f"\n{text}") if text[:1].isspace() else text


def _arguments(found: ast.arguments) -> list[str]:
    """Each argument with annotation and default; `self` and `cls` go without saying."""
    plain = [*found.posonlyargs, *found.args]
    defaults = [None] * (len(plain) - len(found.defaults)) + list(found.defaults)
    parts = [
        _argument_text(one, default)
        for one, default in zip(plain, defaults, strict=True)
        if one.arg not in ("self", "cls")
    ]
    if found.kwonlyargs:
        parts.append("*")
    parts += [
        _argument_text(one, default)
        for one, default in zip(found.kwonlyargs, found.kw_defaults, strict=True)
    ]
    return parts


def _argument_text(one: ast.arg, default: ast.expr | None) -> str:
    kind = "" if one.annotation is None else f": {ast.unparse(one.annotation)}"
    equals = " = " if kind else "="
    return f"{one.arg}{kind}" + ("" if default is None else f"{equals}{ast.unparse(default)}")


def _class(name: str, kind: Any) -> Iterator[str]:
    """A heading, the docstring, the fields of a dataclass, and the public methods."""
    yield from (f"### {name}", "", *_docstring(kind))
    if dataclasses.is_dataclass(kind):
        yield from ("", "| field | type |", "|---|---|")
        for field in dataclasses.fields(kind):
            yield f"| `{field.name}` | `{_cell(str(field.type))}` |"
    if not kind.__module__.startswith("hf_select.api"):
        return
    for attribute, value in vars(kind).items():
        if attribute.startswith("_"):
            continue
        function = value.__func__ if isinstance(value, classmethod) else value
        if isinstance(value, property):
            yield from ("", f"#### {name}.{attribute}", "", *_docstring(value))
        elif inspect.isfunction(function):
            yield ""
            yield from _function(f"{name}.{attribute}", function, "####")


def _docstring(thing: Any) -> Iterator[str]:
    """A docstring as Markdown: sections as lists, examples as blocks."""
    text = inspect.cleandoc(thing.__doc__ or "")
    yield from _paragraphs(re.sub(r"\s*# doctest: \+SKIP", "", text))


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs apart; `Args:` and the like with a list; `>>>` lines as code."""
    first = True
    for block in re.split(r"\n\s*\n", text):
        if not block.strip():
            continue
        if not first:
            yield ""
        first = False
        lines = block.split("\n")
        section = re.fullmatch(r"(Args|Returns|Raises):", lines[0])
        if section:
            yield from (f"**{section[1]}**", "", *_items(lines[1:], section[1] != "Returns"))
        elif lines[0].lstrip().startswith(">>>"):
            yield from ("```pycon", *lines, "```")
        else:
            yield from lines


def _items(lines: list[str], named: bool) -> Iterator[str]:
    """The entries of a section; what is indented further goes on with the one before."""
    if not lines:
        return
    indent = min(len(line) - len(line.lstrip()) for line in lines)
    entries: list[str] = []
    for line in lines:
        if len(line) - len(line.lstrip()) > indent or (not named and entries):
            entries[-1] += f" {line.strip()}"
        else:
            entries.append(line.strip())
    for entry in entries:
        what, colon, rest = entry.partition(": ")
        if named and colon:
            names = ", ".join(f"`{name}`" for name in what.split(", "))
            yield f"- {names}: {rest}"
        else:
            yield entry


# --------------------------------------------------------------------------------------- files


def _cell(text: str) -> str:
    """A text in a table's cell."""
    return text.replace("|", "\\|")


def _joined(lines: list[str]) -> str:
    text = "\n".join(line.rstrip() for part in lines for line in part.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def pages() -> dict[Path, str]:
    """Every file that is made, with what it must hold."""
    return {FOLDER / "cli.md": command_line(), FOLDER / "python.md": python()}


def main(arguments: list[str]) -> int:
    """Write the files, or say which of them aren't current."""
    stale = []
    for path, text in pages().items():
        current = path.read_text(encoding="utf-8") if path.is_file() else ""
        if current == text:
            continue
        stale.append(path.relative_to(ROOT))
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path} {'is not current: make docs' if '--check' in arguments else 'written'}")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
