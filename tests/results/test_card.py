"""The dataset card of a results repository."""

from hf_select.results.card import write_card

FILES = [
    {"path": "p", "rows": 12, "sha256": "", "kind": kind, "task": "text-classification"}
    for kind in ("runs", "matrix")
]


def test_a_new_card_has_configs_and_contents(tmp_path):
    write_card(tmp_path, 3, FILES)
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("---\nconfigs:\n- config_name: matrix\n")
    assert "data_files: snapshots/3/task=*/runs.parquet" in text
    assert "config_name: models" not in text
    assert "| text-classification | 0 | 0 | 12 | 12 |" in text


def test_an_edited_card_keeps_its_words(tmp_path):
    write_card(tmp_path, 1, FILES)
    path = tmp_path / "README.md"
    edited = path.read_text().replace("---\nconfigs", "---\nlicense: mit\nconfigs", 1)
    path.write_text(edited.replace("# A record", "# Our record") + "\nThanks to all.\n")
    write_card(tmp_path, 2, FILES)
    text = path.read_text()
    assert text.startswith("---\nlicense: mit\nconfigs:\n")
    assert "# Our record" in text
    assert text.endswith("Thanks to all.\n")
    assert "snapshots/2/" in text
    assert "snapshots/1/" not in text
    assert text.count("configs:") == 1
    assert text.count("| task |") == 1


def test_a_card_without_marks_keeps_its_whole_body(tmp_path):
    (tmp_path / "README.md").write_text("# Mine\n\nWords.\n")
    write_card(tmp_path, 1, FILES)
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("---\nconfigs:\n")
    assert text.endswith("---\n# Mine\n\nWords.\n")
