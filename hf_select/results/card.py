"""The dataset card: README.md, with what `load_dataset` needs and what a reader wants to know.

A card belongs to whoever edits it. Written by us are the `configs` of its front matter and the
part between the marks `START` and `END`; all else is left as it stands. Without both marks
nothing of the body is touched. What can't be kept apart (front matter that is no YAML, one mark
without the other) is a `RecordError`, raised by `check_card` before a compaction writes anything.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hf_select.errors import RecordError
from hf_select.files import write_atomic
from hf_select.records import Clustering
from hf_select.results.overview import ONE_ROW_IS, contents, overview
from hf_select.results.state import State

CARD = "README.md"
START, END = "<!-- contents: written by compaction -->", "<!-- end of contents -->"
TAGS = ("hf-select", "model-selection", "fine-tuning", "transfer-learning", "learning-curves")
_NAME = re.compile(r"<!-- published as ([\w.-]+/[\w.-]+) -->")
_FRONT = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_HINT = "mend it, or remove the file to have a new one written"
_TITLE = "A record of fine-tunings"
_BODY = """# {title}

Scores and learning curves of pre-trained models, fine-tuned on benchmark datasets and kept by
`hf-select`. From such a record it tells which few models are worth trying on new data.

{contents}
"""


def check_card(root: Path) -> None:
    """Raise `RecordError` if the card in that folder can't be refreshed without losing its text."""
    _read(root)


def card_problems(root: Path) -> tuple[str, ...]:
    """What `check_card` has against the card in that folder, which isn't named; () if nothing."""
    try:
        check_card(root)
    except RecordError as error:
        message = error.message.removeprefix(f"{root / CARD}: ").replace(f"{root}/", "")
        return (f"{message}; {error.hint}",)
    return ()


def write_card(
    root: Path,
    generation: int,
    files: Sequence[Mapping[str, Any]],
    state: State,
    *,
    clusterings: Mapping[str, Clustering] | None = None,
    name: str = "",
    license: str = "",
) -> None:
    """Write or refresh README.md. Arguments as in `render_card`."""
    old = _read(root)
    new = render_card(
        old, generation, files, state, clusterings=clusterings, name=name, license=license
    )
    if new != old:
        write_atomic(root / CARD, new.encode())


def render_card(
    old: str,
    generation: int,
    files: Sequence[Mapping[str, Any]],
    state: State,
    *,
    clusterings: Mapping[str, Clustering] | None = None,
    name: str = "",
    license: str = "",
) -> str:
    """The card that takes the place of `old` ("" for none).

    `files` are the manifest's snapshot entries, `state` the rows, `clusterings` by task. `name` is
    where the record is published (`owner/name`); without it the one that the old card knows stays.
    `license` enters a new card only. Raises `RecordError` if the old card can't be kept.
    """
    card = _parse(old)
    known = _NAME.search(card.contents)
    name = name or (known[1] if known else "")
    kinds = {file["kind"] for file in files}
    generated = contents(
        overview(state, clusterings or {}),
        kinds=[kind for kind in ONE_ROW_IS if kind in kinds],
        name=name,
    )
    published = [f"<!-- published as {name} -->"] if name else []
    middle = "\n".join([START, *published, "", generated, "", END])
    configs = _configs(generation, files)
    if card.new:
        front = _new_front(license, name) + configs
        return f"---\n{front}---\n\n" + _BODY.format(title=name or _TITLE, contents=middle)
    front = _with_configs(card.front, configs)
    body = card.before + middle + card.after if card.marked else card.before
    text = f"---\n{front}---\n{body}"
    return text.replace("\n", "\r\n") if card.windows else text


# ------------------------------------------------------------------------------ reading a card


@dataclass(frozen=True)
class _Card:
    """A card in its parts, with plain line ends. `before` is the whole body where no marks are."""

    front: str = ""
    before: str = ""
    contents: str = ""
    after: str = ""
    marked: bool = False
    windows: bool = False  # its lines end in CR LF

    @property
    def new(self) -> bool:
        return not (self.front.strip() or self.before.strip() or self.marked)


def _read(root: Path) -> str:
    """The card's text, "" if there is none; checked."""
    path = root / CARD
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except ValueError as error:
        raise RecordError(f"{path} is not UTF-8 text: {error}", hint=_HINT) from error
    try:
        card = _parse(text)
        _with_configs(card.front, _configs(0, [{"kind": "matrix", "task": "any"}]))
    except RecordError as error:
        raise RecordError(f"{path}: {error.message}", hint=error.hint) from error
    return text


def _parse(text: str) -> _Card:
    windows = "\r\n" in text
    text = text.replace("\r\n", "\n")
    found = _FRONT.match(text)
    if found is None and re.match(r"---[ \t]*\n", text):
        raise RecordError(
            f"the front matter of {CARD} has no end: a line `---` is missing", hint=_HINT
        )
    front, body = (found[1], text[found.end() :]) if found else ("", text)
    counts = body.count(START), body.count(END)
    if counts == (0, 0):
        return _Card(front, body, windows=windows)
    before, _, rest = body.partition(START)
    inside, end, after = rest.partition(END)
    if counts != (1, 1) or not end:
        raise RecordError(
            f"{CARD} must have the line `{START}` once and `{END}` once after it, or neither, "
            f"but has them {counts[0]} and {counts[1]} times"
            + ("" if counts != (1, 1) else ", in the wrong order"),
            hint="restore them, or remove all of them to keep the text as it is",
        )
    return _Card(front, before, inside, after, marked=True, windows=windows)


# ------------------------------------------------------------------------------- front matter


def _new_front(license: str, name: str) -> str:
    values: dict[str, Any] = {"license": license} if license else {}
    values["pretty_name"] = name.partition("/")[2] or _TITLE
    values["tags"] = list(TAGS)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _configs(generation: int, files: Sequence[Mapping[str, Any]]) -> str:
    """The `configs` block: one for each kind of table, the first of them the default."""
    folders = {file["kind"]: "task=*/" if file["task"] else "" for file in files}
    lines = ["configs:"]
    for kind in ONE_ROW_IS:
        if kind in folders:
            lines += [
                f"- config_name: {kind}",
                f"  data_files: snapshots/{generation}/{folders[kind]}{kind}.parquet",
            ]
            if len(lines) == 3:
                lines.append("  default: true")
    return "\n".join(lines) + "\n" if len(lines) > 1 else ""


def _with_configs(front: str, configs: str) -> str:
    """The front matter with that block in place of its own; all else keeps its very text."""
    try:
        values, node = yaml.safe_load(front), yaml.compose(front, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecordError(
            f"the front matter of {CARD} is not YAML ({_where(error)})", hint=_HINT
        ) from error
    if node is not None and not isinstance(node, yaml.MappingNode):
        raise RecordError(
            f"the front matter of {CARD} must be `key: value` lines, but is a {node.id}",
            hint=_HINT,
        )
    kept, place, indent = front, len(front), 0
    pairs = node.value if node is not None else []
    for key, value in reversed(pairs):  # from the end, so that earlier positions stay right
        indent = key.start_mark.column
        if key.value == "configs":
            place = key.start_mark.index
            kept = kept[:place] + _after(kept, place, value.end_mark.index)
    block = textwrap.indent(configs, " " * indent)
    if place == len(kept) and kept and not kept.endswith("\n"):
        block = "\n" + block
    # The block's own indentation stands before it where it takes the place of another.
    new = kept[:place] + (block if place == len(kept) else block.lstrip(" ")) + kept[place:]
    values = {key: value for key, value in (values or {}).items() if key != "configs"}
    if _load(new) != values | (yaml.safe_load(configs) or {}):
        raise RecordError(
            f"the front matter of {CARD} holds `configs` in a way that can't be replaced",
            hint="write `configs:` as a line of its own with a list below it, or remove it",
        )
    return new


def _after(text: str, start: int, end: int) -> str:
    """What stays of the text behind a block: comments below it are not a part of it."""
    lines = text[start:end].splitlines(keepends=True)
    while len(lines) > 1 and (not lines[-1].strip() or lines[-1].startswith("#")):
        lines.pop()
    block = "".join(lines)
    rest = text[start + len(block) :]
    line, newline, below = rest.partition("\n")
    if block.endswith("\n") or not newline:
        return rest
    comment = line.strip()  # behind a value on its own line
    return f"{comment}\n{below}" if comment.startswith("#") else comment + below


def _load(front: str) -> Any:
    try:
        return yaml.safe_load(front)
    except (yaml.YAMLError, ValueError):
        return None


def _where(error: Exception) -> str:
    """What is wrong with YAML and in which line of the card, in one line."""
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"line {mark.line + 2}: {what}" if mark else what
