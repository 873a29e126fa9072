"""Files with a word a line: what is read, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_select.errors import DataError
from hf_select.tasks.conll import looks_like, read_conll
from hf_select.tasks.sources import read_source


def read(text: str, name: str = "x.conll") -> list[tuple[list[str], list[str]]]:
    table = read_conll(Path(name), text)
    return list(zip(table["tokens"].to_pylist(), table["tags"].to_pylist(), strict=True))


def test_word_first_tag_last_a_blank_line_between_sentences() -> None:
    text = (
        "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\nPeter NNP B-NP B-PER\n"
    )
    assert read(text) == [(["EU", "rejects"], ["B-ORG", "O"]), (["Peter"], ["B-PER"])]


def test_tabs_let_words_hold_blanks_and_windows_lines_are_lines() -> None:
    text = "\ufeffNew York\tB-LOC\r\n,\tO\r\n\r\nParis\tB-LOC\r\n"
    assert read(text) == [(["New York", ","], ["B-LOC", "O"]), (["Paris"], ["B-LOC"])]


def test_a_hash_can_be_a_word_and_a_comment() -> None:
    text = "# id 7 domain=en\n# O\ntag O\n\n# id 8 domain=en\nfine O\n"
    assert read(text) == [(["#", "tag"], ["O", "O"]), (["fine"], ["O"])]


def test_conll_u_has_its_words_and_tags_elsewhere() -> None:
    rows = ["1-2\tdu\t_\t_", "1\tde\tde\tADP", "2\tle\tle\tDET", "2.1\tnada\t_\t_", "3\tx\tx\tNOUN"]
    text = "# text = du x\n" + "".join(f"{row}\t_\t_\t_\t_\t_\t_\n" for row in rows)
    assert read(text, "x.conllu") == [(["de", "le", "x"], ["ADP", "DET", "NOUN"])]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("EU O\nrejects\n", "line 2 has no tag behind 'rejects'"),
        ("EU O\n\nNew York B-LOC\n", "line 3 has 3 columns, but the first one has 2"),
        ("EU\tO\n\tO\n", "line 2 has an empty word"),
        ("EU\tO\nYork\t\n", "line 2 has no tag"),
        ("EU\t \nYork\tO\n", "line 1 has an empty tag"),
        ("-DOCSTART- O\n\n", "holds no word"),
    ],
)
def test_what_is_ragged_is_an_error_with_its_line(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        read(text, "my.conll")
    assert "my.conll" in caught.value.message


def test_a_tsv_is_a_table_unless_blank_lines_part_its_blocks(tmp_path: Path) -> None:
    words, table = tmp_path / "words.tsv", tmp_path / "table.tsv"
    words.write_text("EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\n", encoding="utf-8")
    table.write_text("text\tlabel\ngood\t1\nbad\t0\n\n", encoding="utf-8")
    assert read_source(words).splits["all"].column_names == ["tokens", "tags"]
    assert read_source(table).splits["all"].column_names == ["text", "label"]
    assert looks_like("-DOCSTART-\tO\nEU\tB-ORG\n")


def test_a_folder_of_splits_and_a_read_me_that_is_none(tmp_path: Path) -> None:
    for name in ("train", "dev", "test"):
        (tmp_path / f"{name}.txt").write_text("EU B-ORG\n\nso O\n", encoding="utf-8")
    (tmp_path / "README.txt").write_text("What this is.\n", encoding="utf-8")
    source = read_source(tmp_path)
    assert list(source.splits) == ["validation", "test", "train"]
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    (lonely / "notes.txt").write_text("no data\n", encoding="utf-8")
    with pytest.raises(DataError, match="holds no data set"):
        read_source(lonely)
