"""What stands around the sections of a page: head, content policy, styles, script.

The policy lets nothing in but the one style sheet and the one script, by their hashes, so even a
name that got past the escaping could load or run nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from hf_select.report.markup import embed_json
from hf_select.report.svg import asset, esc

SCRIPTS = ("base.js", "curves.js", "points.js", "heat.js")
"""The parts of the page's script; they share the names of the first one."""

GENERATOR = "hf-select"
"""What the page says it was made by."""


def page(*, title: str, body: str, footer: str, data: Mapping[str, Any]) -> str:
    """A whole page. `body` and `footer` are markup, `title` is text, `data` is for the script."""
    script, style = _script(), _style()
    policy = (
        f"default-src 'none'; style-src {_proof(style)}; script-src {_proof(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta name="generator" content="{GENERATOR}">\n<link rel="icon" href="data:,">\n'
        f"<title>{esc(title)}</title>\n<style>{style}</style>\n</head>\n"
        '<body>\n<div class="bar-top"><button type="button" class="plain theme" hidden></button>'
        f"</div>\n<main>\n{body}</main>\n<footer><p>{footer} This page stands alone: it loads "
        'nothing.</p></footer>\n<div class="tip" hidden></div>\n'
        '<p class="said" role="status" aria-live="polite"></p>\n'
        f'<script type="application/json" id="payload">{embed_json(data)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


@cache
def _style() -> str:
    light, dark, paper = (asset(f"{name}.vars") for name in ("light", "dark", "print"))
    return (
        f":root {{ color-scheme: light dark;\n{light}}}\n"
        "@media (prefers-color-scheme: dark) {\n"
        f":root:not([data-theme]) {{\n{dark}}}\n}}\n"
        f":root[data-theme=dark] {{ color-scheme: dark;\n{dark}}}\n"
        f":root[data-theme=light] {{ color-scheme: light;\n{light}}}\n"
        f"@media print {{\n:root, :root:not([data-theme]), :root[data-theme] {{\n{paper}}}\n}}\n"
        f"{asset('figure.css')}{asset('style.css')}"
    )


@cache
def _script() -> str:
    parts = "".join(asset(name) for name in SCRIPTS)
    return f'\n(() => {{\n"use strict";\n{parts}}})();\n'


def _proof(text: str) -> str:
    """The hash by which a content policy knows an element."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
