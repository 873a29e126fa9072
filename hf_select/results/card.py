"""The dataset card of a results repository: what `load_dataset` needs, and a table of contents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hf_select.results.files import write_atomic

CONFIGS = ("matrix", "runs", "models", "datasets", "proxies")
START, END = "<!-- contents: written by compaction -->", "<!-- end of contents -->"
_BODY = """# A record of fine-tunings

Scores and learning curves of pre-trained models, fine-tuned on benchmark datasets and kept by
`hf-select`. Every row is one run with its model commit, dataset commit, recipe and seed; a failed
run is a row with a status and a reason, and has no score.

```python
from datasets import load_dataset
load_dataset("<this repository>", "matrix")  # one row per model and dataset: mean over seeds
load_dataset("<this repository>", "runs")    # one row per run, with its learning curve
```

{contents}
"""


def write_card(root: Path, generation: int, files: Sequence[dict]) -> None:
    """Write or refresh README.md. `files` are the manifest's snapshot entries.

    A card that somebody has edited keeps its text: only the `configs` of its front matter and
    the part between the two contents marks are replaced.
    """
    path = root / "README.md"
    old = path.read_text(encoding="utf-8") if path.is_file() else ""
    front, body = _split(old)
    contents = f"{START}\n{_contents(files)}\n{END}"
    if not body.strip():
        body = _BODY.format(contents=contents)
    elif START in body and END in body:
        head, _, rest = body.partition(START)
        body = head + contents + rest.partition(END)[2]
    front = _without_configs(front) + _configs(generation, files)
    new = f"---\n{front}---\n{body}"
    if new != old:
        write_atomic(path, new.encode())


def _split(text: str) -> tuple[str, str]:
    """Front matter (without its dashes) and body."""
    match = re.match(r"---\n(.*?\n)?---\n", text, re.DOTALL)
    return (match[1] or "", text[match.end() :]) if match else ("", text)


def _without_configs(front: str) -> str:
    """The front matter without its `configs:` block (which ends at the next top-level key)."""
    kept, inside = [], False
    for line in front.splitlines(keepends=True):
        if re.match(r"[^\s#-]", line):
            inside = line.startswith("configs:")
        if not inside:
            kept.append(line)
    return "".join(kept)


def _configs(generation: int, files: Sequence[dict]) -> str:
    kinds = {file["kind"] for file in files}
    lines = ["configs:"]
    for kind in CONFIGS:
        if kind in kinds:
            lines += [
                f"- config_name: {kind}",
                f"  data_files: snapshots/{generation}/task=*/{kind}.parquet",
            ]
            if kind == "matrix":
                lines.append("  default: true")
    if "recipes" in kinds:
        lines += ["- config_name: recipes", f"  data_files: snapshots/{generation}/recipes.parquet"]
    return "\n".join(lines) + "\n" if len(lines) > 1 else ""


def _contents(files: Sequence[dict]) -> str:
    tasks = sorted({file["task"] for file in files if file["task"]})
    rows = {(file["task"], file["kind"]): file["rows"] for file in files}
    kinds = ("models", "datasets", "runs", "matrix")
    lines = ["| task | models | datasets | runs | cells |", "|---|---|---|---|---|"]
    for task in tasks:
        lines.append(f"| {task} | " + " | ".join(str(rows.get((task, k), 0)) for k in kinds) + " |")
    return "\n".join(lines)
