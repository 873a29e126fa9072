"""The shipped zoo: nothing leaks, everything loads, it is small and safe."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "hf_select" / "demo"
CARDS = ROOT / "model_cards"
SPLITS = ("train", "validation", "test")
MODELS = sorted(path.parent for path in (DEMO / "models").glob("*/config.json"))
IMAGE_SOURCES = ("fashion", "digits", "animals", "scripts", "emoji", "rotation")
TEXT_SOURCES = ("news", "glosses", "dialogue", "reviews", "mail", "mixed")
MAX_BYTES = 30_000_000

sys.path.insert(0, str(ROOT / "scripts"))
from zoo import rows as zoo_rows  # noqa: E402


@pytest.fixture(scope="module")
def hashes() -> dict[tuple[str, str, str], list[int]]:
    """Row hashes by (role, set, split)."""
    table = pq.read_table(DEMO / "row_hashes.parquet")
    values = table["hash"].to_numpy()
    keys = zip(*(table[c].to_pylist() for c in ("role", "set", "split")), strict=True)
    grouped: dict[tuple[str, str, str], list[int]] = {}
    for key, value in zip(keys, values.tolist(), strict=True):
        grouped.setdefault(key, []).append(value)
    return grouped


@pytest.fixture(scope="module")
def catalog() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DEMO / "catalog.json").read_text(encoding="utf-8"))
    return document


def weights(folder: Path) -> Path:
    return folder / "model.safetensors"


class TestNoLeak:
    def test_the_three_roles_share_no_row(self, hashes):
        by_role: dict[str, set[int]] = {}
        for (role, _, _), values in hashes.items():
            by_role.setdefault(role, set()).update(values)
        assert set(by_role) == {"pretrain", "benchmark", "target"}
        for first, second in combinations(sorted(by_role), 2):
            assert not by_role[first] & by_role[second], f"{first} rows among {second} rows"

    def test_a_sets_splits_share_no_row_and_repeat_none(self, hashes):
        sets: dict[tuple[str, str], list[list[int]]] = {}
        for (role, name, _), values in hashes.items():
            sets.setdefault((role, name), []).append(values)
        for (role, name), parts in sets.items():
            together = [value for part in parts for value in part]
            assert len(set(together)) == len(together), f"{role} {name} repeats rows"

    def test_every_set_of_the_catalog_is_covered(self, hashes, catalog):
        for entry in catalog["datasets"]:
            counts = {
                s: len(hashes["benchmark", entry["repo_id"].split("/")[1], s]) for s in SPLITS
            }
            assert counts == entry["splits"]

    def test_every_source_of_a_model_is_covered(self, hashes, catalog):
        sources = {entry["source"] for entry in catalog["models"] if not entry["control"]}
        assert sources == {*IMAGE_SOURCES, *TEXT_SOURCES}
        assert all(hashes["pretrain", source, "pretrain"] for source in sources)

    @pytest.mark.parametrize("name", ["wordnet-nouns", "rated-tweets"])
    def test_the_shipped_targets_rows_are_the_hashed_ones(self, hashes, name):
        for split in SPLITS:
            path = DEMO / "data" / name / f"{split}.csv"
            with path.open(encoding="utf-8", newline="") as file:
                texts = [row["text"] for row in csv.DictReader(file)]
            recomputed = [zoo_rows.hash_text(text) for text in texts]
            assert recomputed == hashes["target", name, split]

    def test_scikit_learns_digits_are_the_hashed_ones(self, hashes):
        from zoo.images import sklearn_digits

        assert sklearn_digits().hashes.tolist() == hashes["target", "digits", "all"]

    def test_fingerprints_are_of_the_hashed_rows(self, hashes, catalog):
        for entry in catalog["datasets"]:
            digest = hashlib.sha1()
            for split in SPLITS:
                rows = np.array(
                    hashes["benchmark", entry["repo_id"].split("/")[1], split], np.uint64
                )
                digest.update(split.encode() + rows.astype(">u8").tobytes())
            assert digest.hexdigest() == entry["row_hash"]


class TestTheTarget:
    def test_sizes_labels_and_licence(self):
        folder = DEMO / "data" / "wordnet-nouns"
        labels = {}
        for split, expected in zip(SPLITS, (600, 400, 600), strict=True):
            with (folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
                labels[split] = [row["label"] for row in csv.DictReader(file)]
            assert len(labels[split]) == expected
        assert len(set(labels["train"])) == 8
        assert set(labels["train"]) == set(labels["validation"]) == set(labels["test"])
        assert "Princeton University" in (folder / "NOTICE.txt").read_text(encoding="utf-8")
        assert sum(path.stat().st_size for path in folder.iterdir()) < 300_000


class TestTheRatings:
    def test_sizes_values_and_licence(self):
        folder = DEMO / "data" / "rated-tweets"
        ratings: list[float] = []
        for split, expected in zip(SPLITS, (900, 300, 400), strict=True):
            with (folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            assert len(rows) == expected
            ratings += [float(row["rating"]) for row in rows]
        assert -4 <= min(ratings) < -3
        assert 3 < max(ratings) <= 4
        assert len(set(ratings)) > 60
        assert "MIT License" in (folder / "NOTICE.txt").read_text(encoding="utf-8")
        assert sum(path.stat().st_size for path in folder.iterdir()) < 300_000

    def test_ratings_of_the_record_are_not_the_shipped_ones(self, hashes, catalog):
        sets = [e["repo_id"].split("/")[1] for e in catalog["datasets"] if e["num_labels"] == 1]
        assert {"tweets_valence", "gloss_depth", "rated_movie"} <= set(sets)
        target = {v for s in SPLITS for v in hashes["target", "rated-tweets", s]}
        pools = {v for (role, _, _), rows in hashes.items() if role == "pretrain" for v in rows}
        for name in sets:
            rows = {v for s in SPLITS for v in hashes["benchmark", name, s]}
            assert not rows & target
            assert not rows & pools


class TestTheModels:
    def test_every_source_has_two_architectures_twice_or_two_students(self):
        names = {folder.name for folder in MODELS if "control" not in folder.name}
        image = {
            f"{a}-{s}-{n}" for a in ("resnet", "convnext") for s in IMAGE_SOURCES for n in "12"
        }
        text = {f"{a}-{s}" for s in TEXT_SOURCES for a in ("distilbert", "bert")}
        assert image <= names
        assert {name.rsplit("-", 1)[0] for name in names - image} == text

    def test_all_together_are_small(self):
        size = sum(p.stat().st_size for p in (DEMO / "models").rglob("*") if p.is_file())
        assert size <= MAX_BYTES

    @pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
    def test_half_precision_safetensors_only(self, folder):
        with safe_open(weights(folder), "np") as file:
            kinds = {k: file.get_slice(k).get_dtype() for k in file.keys()}  # noqa: SIM118
        floats = {kind for name, kind in kinds.items() if "num_batches_tracked" not in name}
        assert floats == {"F16"}
        suffixes = {path.suffix for path in folder.iterdir()}
        assert suffixes <= {".safetensors", ".json", ".md"}
        assert "auto_map" not in json.loads((folder / "config.json").read_text(encoding="utf-8"))

    @pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
    def test_card_is_complete_and_the_same_in_both_places(self, folder):
        card = (CARDS / f"{folder.name}.md").read_text(encoding="utf-8")
        assert card == (folder / "README.md").read_text(encoding="utf-8")
        assert card.startswith("---\nlicense: ")
        assert "library_name: transformers" in card
        facts = json.loads((folder / "zoo.json").read_text(encoding="utf-8"))
        if facts["control"]:
            assert "random" in card
        else:
            assert "## Training data" in card
            assert "licence |" in card
            assert f"{facts['rows']:,}" in card
            measured = facts.get("held_out_accuracy", facts.get("held_out_cosine"))
            assert f"**{measured:.3f}**" in card

    def test_the_catalog_pins_what_is_there(self, catalog):
        from hf_select.catalog import folder_revision

        listed = {entry["location"]: entry for entry in catalog["models"]}
        assert set(listed) == {f"models/{folder.name}" for folder in MODELS}
        for folder in MODELS:
            entry = listed[f"models/{folder.name}"]
            assert re.fullmatch("[0-9a-f]{40}", entry["revision"])
            assert entry["revision"] == folder_revision(folder)
            digest = hashlib.sha256(weights(folder).read_bytes()).hexdigest()
            assert entry["weights_sha256"] == digest


def load_image_model(folder: Path) -> None:
    """The model takes what its processor makes of a picture, and knows its source's classes."""
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    assert model.dtype == torch.float32
    processor = AutoImageProcessor.from_pretrained(folder)
    picture = Image.fromarray(np.full((28, 40, 3), 128, np.uint8))
    pixels = processor(picture, return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, 32, 32)
    with torch.no_grad():
        logits = model(pixel_values=pixels).logits
    assert torch.isfinite(logits).all()
    assert logits.shape[1] == model.config.num_labels == len(model.config.id2label)
    for name, value in model.state_dict().items():
        assert torch.isfinite(value.float()).all(), name
        if name.endswith("running_var"):
            assert (value > 0).all(), name


def load_text_model(folder: Path) -> None:
    """The encoder takes what its tokenizer makes of a text; a classifier can be put on it."""
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(["A small test.", "word " * 200], truncation=True, padding=True,
                      return_tensors="pt")  # fmt: skip
    assert batch["input_ids"].shape[1] == 64
    model = AutoModel.from_pretrained(folder).eval()
    assert model.dtype == torch.float32
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    assert torch.isfinite(hidden).all()
    assert len(tokenizer) == model.config.vocab_size
    classifier = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)
    assert classifier(**batch).logits.shape == (2, 3)


def load(folder: Path) -> None:
    is_image = (folder / "preprocessor_config.json").exists()
    (load_image_model if is_image else load_text_model)(folder)


class TestLoading:
    @pytest.mark.parametrize(
        "name", ["resnet-digits-1", "convnext-scripts-2", "distilbert-glosses-1", "bert-news-2"]
    )
    def test_a_few(self, name):
        load(DEMO / "models" / name)

    @pytest.mark.slow
    @pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
    def test_all(self, folder):
        load(folder)


class TestRows:
    """The builder's own tools."""

    def test_text_hash_ignores_case_space_and_punctuation(self):
        assert zoo_rows.hash_text("A  cat,\nsat.") == zoo_rows.hash_text("a cat sat")
        assert zoo_rows.hash_text("a cat sat") != zoo_rows.hash_text("a cat sits")

    def test_repeated_rows_go_and_contradictory_ones_go_altogether(self):
        made = zoo_rows.make_rows(["a b", "A b!", "c d", "C d", "e"], [0, 0, 0, 1, 1], ("x", "y"))
        assert made.items == ["a b", "e"]

    def test_groups_stay_on_one_side_and_classes_keep_their_shares(self):
        count = 1000
        texts = [f"text {i}" for i in range(count)]
        labels = [i // 2 % 4 == 0 for i in range(count)]
        groups = [f"group {i // 2}" for i in range(count)]
        made = zoo_rows.make_rows(texts, np.array(labels, int), ("no", "yes"), groups)
        parts = zoo_rows.split_rows(made, seed=0, sizes=(400, 200, 400))
        assert [len(part) for part in parts.values()] == [400, 200, 400]
        for first, second in combinations(parts.values(), 2):
            assert not set(first.groups) & set(second.groups)
        for part in parts.values():
            assert abs(part.labels.mean() - 0.25) < 0.02

    def test_small_sources_shrink_all_splits_alike(self):
        made = zoo_rows.make_rows([f"t {i}" for i in range(800)], np.zeros(800, int), ("only",))
        parts = zoo_rows.split_rows(made, seed=0)
        assert [len(part) for part in parts.values()] == [300, 200, 300]

    def test_without_drops_by_content_and_by_group(self):
        made = zoo_rows.make_rows(["a", "b", "c"], [0, 0, 0], ("x",), ["g", "h", "i"])
        left = zoo_rows.without(made, {zoo_rows.hash_text("A")}, {"h"})
        assert left.items == ["c"]

    def test_pickles_may_hold_arrays_and_nothing_else(self, tmp_path):
        import io
        import pickle

        from zoo.images import _ArraysOnly

        array = np.arange(6).reshape(2, 3)
        loaded = _ArraysOnly(io.BytesIO(pickle.dumps(array))).load()
        assert (loaded == array).all()
        with pytest.raises(pickle.UnpicklingError, match="not a numpy array"):
            _ArraysOnly(io.BytesIO(pickle.dumps(Path("x")))).load()
