"""Escaping of strangers' words in markdown."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_select.results.markdown import LONGEST, escape, table


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "](http://evil.example)",
        "![x](https://evil.example/p.png)",
        "a|b",
        "`code`",
        "**bold** _thin_ ~~gone~~",
        "# title",
        "&lt;b&gt;",
        "\\|",
        "@somebody #12",
        "<!-- end of contents -->",
        "https://evil.example",
    ],
)
def test_what_means_something_to_markdown_only_shows(text):
    found = escape(text)
    assert not set("<>[]|`*~#\\@!:") & set(found.replace("&#", ""))
    assert html.unescape(found) == text


@given(st.text(max_size=200))
def test_any_text_is_one_line_of_harmless_signs(text):
    found = escape(text)
    assert not set("<>[]|`*~\\@!:\n\r\t") & set(found)
    assert all(c.isprintable() for c in found)
    assert len(html.unescape(found)) <= LONGEST


def test_names_stay_readable():
    for name in ("openai-community/gpt2", "nyu-mll/glue/sst2", "a_b.c-1", "漢字/模型", "é"):
        assert escape(name) == name


def test_breaks_controls_and_bare_addresses():
    assert escape("a\nb\r\n  c") == "a b c"
    assert html.unescape(escape("a\x1b[31mb\u202e")) == "a\ufffd[31mb\ufffd"
    assert escape("www.evil.example") == "www&#46;evil.example"
    assert escape("- a - b") == "&#45; a - b"
    assert escape("12. a 3. b") == "12&#46; a 3. b"
    assert escape("1.5 a") == "1.5 a"
    assert escape("_x_ a_b") == "&#95;x&#95; a_b"


def test_what_is_too_long_is_cut():
    assert escape("x" * 1000, longest=5) == "xxxx…"
    assert len(escape("x" * 1000)) == LONGEST


def test_a_table_aligns_numbers_and_escapes_cells():
    found = table(("name", "n", "score"), [("a|b", 1234, 0.123456), ("<i>", 2, float("nan"))])
    assert found.splitlines() == [
        "| name | n | score |",
        "| --- | ---: | ---: |",
        "| a&#124;b | 1,234 | 0.1235 |",
        "| &#60;i&#62; | 2 | - |",
    ]
