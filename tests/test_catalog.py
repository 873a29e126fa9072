"""The catalog file, and which model folders are safe to load."""

import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from hf_select.catalog import (
    Catalog,
    check_model_folder,
    folder_revision,
    local_model,
    verify_models,
)
from hf_select.errors import InputError, ModelError, UnknownNameError
from hf_select.records import DatasetEntry, ModelEntry, Rejected

TEXT, IMAGE = "text-classification", "image-classification"


def catalog(root: Path) -> Catalog:
    data = DatasetEntry(
        "owner/data", "d" * 40, TEXT, ("text",), "label", 2, "accuracy", splits={"train": 9}
    )
    return Catalog(
        models=(
            ModelEntry("owner/one", "1" * 40, TEXT, languages=("en", "de")),
            ModelEntry("two", "2" * 40, IMAGE),
        ),
        datasets=(data,),
        rejected=(Rejected("owner/bad", "pickle only"),),
        locations={"two": root / "zoo" / "two"},
    )


def test_a_catalog_survives_a_round_trip(tmp_path):
    catalog(tmp_path).save(tmp_path / "new" / "catalog.json")
    for path in (tmp_path / "new" / "catalog.json", tmp_path / "new"):
        back = Catalog.load(path)
        assert (back.models, back.rejected) == (
            catalog(tmp_path).models,
            catalog(tmp_path).rejected,
        )
        (data,) = back.datasets
        assert data.input_columns == ("text",)
        assert data.splits == {"train": 9}
        assert back.location("two").resolve() == (tmp_path / "zoo" / "two").resolve()
        assert back.location("owner/one") is None


def test_a_saved_catalog_moves_with_its_folder(tmp_path):
    catalog(tmp_path / "here").save(tmp_path / "here" / "catalog.json")
    (tmp_path / "here").rename(tmp_path / "there")
    back = Catalog.load(tmp_path / "there")
    assert back.location("two") == tmp_path / "there" / "zoo" / "two"


def test_a_saved_catalog_is_plain_json(tmp_path):
    catalog(tmp_path).save(tmp_path / "catalog.json")
    text = (tmp_path / "catalog.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["models"][1]["location"] == "zoo/two"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"models": [{"repo_id": "x"}]}', '{"models": 1}', '{"models": ["x"]}']
)
def test_a_file_that_is_no_catalog(tmp_path, text):
    (tmp_path / "catalog.json").write_text(text)
    with pytest.raises(InputError, match="not a catalog"):
        Catalog.load(tmp_path)
    with pytest.raises(InputError, match="no catalog at"):
        Catalog.load(tmp_path / "missing.json")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_catalog_that_can_not_be_written_leaves_the_old_one(tmp_path, monkeypatch, step):
    path = tmp_path / "catalog.json"
    catalog(tmp_path).save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if step == "fsync" else Path, step, full)
    with pytest.raises(OSError, match="No space left"):
        Catalog().save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_saved_catalog_can_be_read_by_others(tmp_path):
    catalog(tmp_path).save(tmp_path / "catalog.json")
    (tmp_path / "plain").touch()
    assert (tmp_path / "catalog.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_model_and_a_data_set_of_one_name_have_no_place_for_two_locations(tmp_path):
    one = ModelEntry("reviews", "1" * 40, TEXT)
    data = DatasetEntry("reviews", "d" * 40, TEXT, ("text",), "label", 2, "accuracy")
    both = Catalog((one,), (data,))  # on the Hub they are two things
    assert both.location("reviews") is None
    with pytest.raises(InputError, match="'reviews' is both a model and a data set") as error:
        replace(both, locations={"reviews": tmp_path})
    assert "another name" in error.value.hint

    path = tmp_path / "catalog.json"
    both.save(path)
    assert Catalog.load(path).datasets == (data,)
    document = json.loads(path.read_text())
    document["models"][0]["location"] = "zoo/reviews"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="'reviews' is both a model and a data set"):
        Catalog.load(path)


def test_two_configs_of_a_data_set_can_not_lie_in_two_places(tmp_path):
    path = tmp_path / "catalog.json"
    entries = tuple(
        DatasetEntry("glue", "1" * 40, TEXT, ("a",), "label", 2, "accuracy", config=c)
        for c in ("cola", "sst2")
    )
    Catalog(datasets=entries, locations={"glue": tmp_path / "glue"}).save(path)
    assert Catalog.load(path).location("glue") == tmp_path / "glue"
    document = json.loads(path.read_text())
    document["datasets"][1]["location"] = "elsewhere"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="'glue' has two locations"):
        Catalog.load(path)


def test_the_part_for_a_task_and_for_names(tmp_path):
    whole = catalog(tmp_path)
    assert [m.repo_id for m in whole.only(task=IMAGE).models] == ["two"]
    assert whole.only(task=IMAGE).datasets == ()
    assert [m.repo_id for m in whole.only(models=["one", "owner/one"]).models] == ["owner/one"]
    with pytest.raises(UnknownNameError, match="model 'three'") as error:
        whole.only(models=["three"])
    assert "owner/one" in error.value.hint
    with pytest.raises(UnknownNameError, match="dataset"):
        whole.only(task=IMAGE, datasets=["owner/data"])


def test_a_short_name_never_hides_a_whole_one():
    models = tuple(ModelEntry(n, "1" * 40, TEXT) for n in ("bert", "me/bert", "me/gpt", "you/gpt"))
    picked = Catalog(models).only(models=["bert", "me/gpt"]).models
    assert [m.repo_id for m in picked] == ["bert", "me/gpt"]
    with pytest.raises(InputError, match="me/gpt or you/gpt"):
        Catalog(models).only(models=["gpt"])


def test_configs_of_one_dataset_can_be_picked_together_or_one_by_one():
    entries = tuple(
        DatasetEntry("glue", "1" * 40, TEXT, ("a",), "label", 2, "accuracy", config=c)
        for c in ("cola", "sst2")
    )
    whole = Catalog(datasets=entries)
    assert whole.only(datasets=["glue"]).datasets == entries
    assert whole.only(datasets=["glue/sst2", "glue/sst2"]).datasets == entries[1:]


# -------------------------------------------------------------------------- model folders


def safetensors(shape: list[int]) -> bytes:
    size = 2
    for dimension in shape:
        size *= dimension
    header = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "w": {"dtype": "F16", "shape": shape, "data_offsets": [0, size]},
            "b": {"dtype": "F16", "shape": [], "data_offsets": [size, size + 2]},
        }
    ).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size + 2)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "my-model"
    path.mkdir()
    (path / "config.json").write_text('{"architectures": ["BertModel"], "model_type": "bert"}')
    (path / "model.safetensors").write_bytes(safetensors([3, 4]))
    return path


def test_the_entry_of_a_local_model(folder):
    entry = local_model(folder, TEXT)
    assert (entry.repo_id, entry.task, entry.architecture) == ("my-model", TEXT, "BertModel")
    assert entry.num_parameters == 13
    assert entry.revision == folder_revision(folder)
    assert len(entry.revision) == 40


def test_the_revision_is_that_of_the_content(folder, tmp_path):
    before = folder_revision(folder)
    (folder / "README.md").write_text("words")
    (folder / ".cache" / "hub").mkdir(parents=True)
    (folder / ".cache" / "hub" / "lock").write_text("x")
    assert folder_revision(folder) == before
    folder.rename(tmp_path / "moved")
    assert folder_revision(tmp_path / "moved") == before
    (tmp_path / "moved" / "config.json").write_text("{}")
    assert folder_revision(tmp_path / "moved") != before


def test_models_that_are_what_the_catalog_pins_pass(folder):
    entry = local_model(folder, TEXT)
    elsewhere = ModelEntry("owner/on-the-hub", "1" * 40, TEXT)
    verify_models(Catalog((entry, elsewhere), locations={entry.repo_id: folder}))


def test_a_model_folder_that_has_changed_is_refused(folder):
    entry = local_model(folder, TEXT)
    chosen = Catalog((entry,), locations={entry.repo_id: folder})
    (folder / "model.safetensors").write_bytes(safetensors([4, 3]))
    with pytest.raises(ModelError) as error:
        verify_models(chosen)
    assert "'my-model'" in error.value.message
    assert entry.revision[:8] in error.value.message
    assert folder_revision(folder)[:8] in error.value.message
    assert "more" not in error.value.message
    assert "changed since the catalog was written" in error.value.hint

    others = tuple(replace(entry, repo_id=name) for name in ("b", "c"))
    names = (entry.repo_id, "b", "c")
    more = Catalog((entry, *others), locations=dict.fromkeys(names, folder))
    with pytest.raises(ModelError, match=r"'my-model'.*\(and 2 more such models\)"):
        verify_models(more)


def test_a_model_folder_that_is_not_safe_is_refused_by_name(folder, tmp_path):
    entry = local_model(folder, TEXT)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    missing = replace(entry, repo_id="missing")
    locations = {entry.repo_id: folder, "missing": tmp_path / "nowhere"}
    with pytest.raises(
        ModelError, match=r"'my-model': .*pickled.*\(and 1 more such model\)"
    ) as error:
        verify_models(Catalog((entry, missing), locations=locations))
    assert "safetensors" in error.value.hint


def test_model_folders_that_are_refused(folder):
    def refused(words: str) -> None:
        with pytest.raises(ModelError, match=words):
            check_model_folder(folder)
        with pytest.raises(ModelError, match=words):
            local_model(folder, TEXT)

    assert check_model_folder(folder) == folder
    (folder / "config.json").write_text('{"auto_map": {"AutoModel": "x.Y"}}')
    refused("custom code")
    (folder / "config.json").write_text("{")
    refused("not valid JSON")
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").unlink()
    refused("has no weights")
    (folder / "pytorch_model.bin").write_bytes(b"cposix\nsystem\n")
    refused("pickled weights only")
    (folder / "config.json").unlink()
    refused("no config")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0",
        struct.pack("<Q", 10**10) + b"{}",
        safetensors([3, 4])[:30],
        safetensors([3, 4])[:-1],
    ],
)
def test_weights_that_are_cut_off_are_refused(folder, data):
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        local_model(folder, TEXT)


@pytest.mark.parametrize("header", [b"not json", b"[1, 2]", b'{"w": 3}', b'{"w": {}}'])
def test_weights_with_a_broken_header_are_refused(folder, header):
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        local_model(folder, TEXT)


@pytest.mark.parametrize("text", ["[]", "3", '"x"'])
def test_a_config_that_is_no_object_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"config\.json"):
        check_model_folder(folder)


# ------------------------------------------------------------------ what a crawl has accepted


def test_models_of_a_crawl_take_the_place_of_what_an_earlier_one_accepted(tmp_path):
    old = catalog(tmp_path)  # owner/one for text, two (local) for images
    stale = replace(old.models[0], repo_id="owner/stale")
    named = replace(old.models[0], repo_id="someone/named")
    old = replace(old, models=(*old.models, stale, named), flags={"owner/stale": ("odd",)})
    new = [replace(old.models[0], revision="9" * 40), ModelEntry("a/new", "8" * 40, TEXT)]
    now = old.with_crawled(
        TEXT,
        new,
        gone={"owner/stale"},
        flags={"a/new": ("licence_freer_than_base",)},
        rejected_counts={"gated": 3},
    )
    assert [m.repo_id for m in now.models] == ["a/new", "owner/one", "someone/named", "two"]
    assert now.models[1].revision == "9" * 40
    assert (now.datasets, now.rejected, now.locations) == (
        old.datasets,
        old.rejected,
        old.locations,
    )
    assert now.flags == {"a/new": ("licence_freer_than_base",)}
    assert now.rejected_counts == {"models": {TEXT: {"gated": 3}}}
    again = now.with_crawled(IMAGE, [ModelEntry("two", "7" * 40, IMAGE)])
    assert [m.revision for m in again.models if m.repo_id == "two"] == ["2" * 40]  # local stays
    assert again.flags == now.flags
    assert again.rejected_counts["models"] == {TEXT: {"gated": 3}, IMAGE: {}}


def test_flags_and_counts_survive_a_round_trip(tmp_path):
    whole = replace(
        catalog(tmp_path),
        flags={"owner/one": ("a", "b")},
        rejected_counts={"models": {TEXT: {"gated": 3, "merge": 1}}},
    )
    whole.save(tmp_path / "catalog.json")
    back = Catalog.load(tmp_path)
    assert (back.flags, back.rejected_counts) == (whole.flags, whole.rejected_counts)
    row = json.loads((tmp_path / "catalog.json").read_text())["models"][0]
    assert row["flags"] == ["a", "b"]
    catalog(tmp_path).save(tmp_path / "catalog.json")
    assert "rejected_counts" not in (tmp_path / "catalog.json").read_text()
