"""What of a selection's folder may leave the machine: which files, and which words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hub.winner.winners import finished, write_winner

from hf_select.hub.winner.files import class_names, model_files, other_files, public_document


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("/home/me/data/reviews.csv is empty", "reviews.csv is empty"),
        ("no config.json in '/mnt/disk 1/x'", "no config.json in 'disk 1/x'"),  # to the space
        ("(/srv/models/bert)", "(bert)"),
        ("~/.cache/huggingface/hub is full", "hub is full"),
        (r"C:\Users\me\reviews.csv", "reviews.csv"),
        ("file:///home/me/reviews.csv", "reviews.csv"),
        ("at epoch 1/8, tiny/dog and/or tiny/cat", "at epoch 1/8, tiny/dog and/or tiny/cat"),
        ("see https://huggingface.co/lab/base", "see https://huggingface.co/lab/base"),
        ("3 / 4 and +/-0.1 and </b>", "3 / 4 and +/-0.1 and </b>"),
        ("label '/m' stays", "label '/m' stays"),
    ],
)
def test_sentences_lose_their_paths_and_nothing_else(tmp_path: Path, said: str, shown: str) -> None:
    document = finished()
    document["ranking"][0]["reason"] = said
    document["data"]["notes"] = [said]
    document["data"]["checks"] = [{"check": "leakage", "level": "note", "text": said}]
    public = public_document(document, "lab/winner", tmp_path)
    assert public["ranking"][0]["reason"] == shown
    assert public["data"]["notes"] == [shown]
    assert public["data"]["checks"][0]["text"] == shown


def test_names_are_no_sentences(tmp_path: Path) -> None:
    document = finished(target="/m/09x0r/label")
    document["data"]["label_column"] = "/m/09x0r/label"
    public = public_document(document, "lab/winner", tmp_path)
    assert (public["target"], public["data"]["label_column"]) == ("/m/09x0r/label",) * 2


def test_wherever_it_stands_the_folder_is_not_named(tmp_path: Path) -> None:
    document = finished(anything={"deep": [f"in {tmp_path}/x"]})
    public = public_document(document, "lab/winner", tmp_path / "chosen")
    assert public["anything"] == {"deep": ["in x"]}
    assert document["anything"] == {"deep": [f"in {tmp_path}/x"]}  # the folder's own is left alone


def test_a_model_is_what_from_pretrained_reads(tmp_path: Path) -> None:
    folder = write_winner(tmp_path / "chosen")
    names = ("tokenizer.json", "vocab.txt", "merges.txt", "spiece.model", "added_tokens.json")
    shards = ("model-00001-of-00002.safetensors", "model.safetensors.index.json")
    for name in (*names, *shards, "pytorch_model.bin", "modeling.py", "tokenizer.json.bak"):
        (folder / name).write_text("{}")
    sent = model_files(folder)
    own = {"config.json", "model.safetensors", "preprocessor_config.json"}
    assert set(sent) == {*names, *shards, *own}
    left_out = ["modeling.py", "pytorch_model.bin", "tokenizer.json.bak"]
    assert other_files(folder, sent) == left_out


def test_class_names_stand_in_the_order_of_their_ids(tmp_path: Path) -> None:
    names = tuple(f"class {i}" for i in range(12))
    assert class_names(write_winner(tmp_path / "chosen", labels=names)) == names
    (tmp_path / "chosen" / "config.json").write_text('{"problem_type": "regression"}')
    assert class_names(tmp_path / "chosen") == ()


def test_a_metric_in_a_folder_is_named_without_its_place(tmp_path: Path) -> None:
    metric = "evaluate:/srv/secret/metrics/mine:better=lower"
    document = finished(metric=metric)
    document["settings"]["metric"] = metric
    document["winner"]["test_metrics"] = {metric: 0.1, "mae": 0.1}
    document["data"]["notes"] = [f"by {metric}, as asked for"]
    document["command"] = (
        f"hf-select select /srv/secret/rows.csv --results ../secret/r --out /srv/secret/o "
        f"--metric {metric}"
    )
    public = public_document(document, "lab/winner", tmp_path)
    shown = "evaluate:./mine:better=lower"
    assert (public["metric"], public["settings"]["metric"]) == (shown, shown)
    assert public["winner"]["test_metrics"] == {shown: 0.1, "mae": 0.1}
    assert public["data"]["notes"] == [f"by {shown}, as asked for"]
    assert public["command"].startswith("hf-select select lab/digits --results lab/record@bbbb")
    assert f"--metric {shown}" in public["command"]
    assert "secret" not in json.dumps(public)
