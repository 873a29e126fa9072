"""Image regression: read from tables, trained, and saved to answer in the label's own units."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_image_model

from hf_select.errors import ModelError
from hf_select.metrics import METRICS
from hf_select.records import TASK_KINDS, Recipe
from hf_select.tasks.base import TASKS, get_task
from hf_select.tasks.data import TargetData, load_target
from hf_select.training.trial import AccelerateTrial, _unit_layer

TASK = "image-regression"
RECIPE = Recipe(learning_rate=1e-2, epochs=4, global_batch_size=8, warmup=0.0)


def bright_images(folder: Path, rows: int = 60, seed: int = 0) -> Path:
    """A CSV of image files and how many grams each weighs: 1000 + ten times its brightness."""
    rng = np.random.default_rng(seed)
    (folder / "pictures").mkdir(parents=True)
    table = []
    for i in range(rows):
        level = rng.integers(0, 200)
        pixels = rng.integers(level, level + 40, (16, 16, 3), dtype=np.uint8)
        name = f"pictures/{i:03d}.png"
        Image.fromarray(pixels).save(folder / name)
        table.append([name, round(1000 + 10 * float(pixels.mean()), 2)])
    path = folder / "weights.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file_name", "weight"], *table])
    return path


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> TargetData:
    path = bright_images(tmp_path_factory.mktemp("bright"), 100)
    return load_target(path, image_column="file_name", label_column="weight")


def test_a_table_of_files_and_decimals_is_image_regression(target: TargetData) -> None:
    assert (target.task, target.metric, target.num_labels) == (TASK, "rmse", 1)
    assert target.labels("train").dtype == np.float32
    assert 1000 < target.label_mean < 3500
    assert target.trivial() > 100


def test_parquet_with_images_inside(target: TargetData, tmp_path: Path) -> None:
    import datasets

    path = tmp_path / "all.parquet"
    rows = target.train.cast_column("label", datasets.Value("float64"))
    rows.rename_column("label", "weight").to_parquet(str(path))
    read = load_target(path)
    assert read.task == TASK
    assert read.label_column == "weight"


def test_stated_tasks_take_whole_numbers_too(tmp_path: Path) -> None:
    path = bright_images(tmp_path, 40)
    text = path.read_text().splitlines()
    ages = [f"{row.split(',')[0]},{i % 12}" for i, row in enumerate(text[1:])]
    path.write_text("\n".join(["file_name,age", *ages]) + "\n")
    columns = {"image_column": "file_name", "label_column": "age"}
    assert load_target(path, **columns).task == "image-classification"
    assert load_target(path, task=TASK, **columns).task == TASK


@pytest.mark.parametrize("architecture", ["resnet", "convnext"])
def test_it_learns_and_answers_in_the_label_s_units(
    architecture: str, target: TargetData, tmp_path: Path
) -> None:
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    folder = tiny_image_model(tmp_path / "model", architecture=architecture)
    trial = AccelerateTrial("tiny", folder, target, RECIPE)
    trial.advance(4)
    assert trial.test_scores == {}
    score = trial.test()
    assert score < 0.7 * target.trivial()
    found = trial.test_scores
    assert found["rmse"] == score
    assert set(found) == {n for n, m in METRICS.items() if m.kind == "regression"}
    assert found["mse"] == pytest.approx(score**2)
    assert found["r2"] == pytest.approx(1 - (score / target.trivial()) ** 2)
    trial.save_pretrained(tmp_path / "saved")
    model = AutoModelForImageClassification.from_pretrained(tmp_path / "saved").eval()
    processor = AutoImageProcessor.from_pretrained(tmp_path / "saved", backend="pil")
    pixels = processor(list(target.test["image"]), return_tensors="pt")
    with torch.inference_mode():
        values = model(**pixels).logits.reshape(-1).numpy()
    truth = target.labels("test")
    assert np.sqrt(np.mean((values - truth) ** 2)) == pytest.approx(score, rel=1e-4)
    assert model.config.problem_type == "regression"


def heads() -> dict[str, object]:
    """Small configs of the architectures whose heads differ."""
    import transformers as tf

    four = {"hidden_sizes": [8] * 4, "depths": [1] * 4}
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    return {
        "resnet": tf.ResNetConfig(embedding_size=8, **four),
        "convnext": tf.ConvNextConfig(**four),
        "mobilenet_v2": tf.MobileNetV2Config(depth_multiplier=0.25, image_size=32),
        "efficientnet": tf.EfficientNetConfig(
            image_size=32, width_coefficient=0.25, depth_coefficient=0.25, hidden_dim=320
        ),
        "vit": tf.ViTConfig(**small, intermediate_size=8, image_size=32, patch_size=16),
        "swin": tf.SwinConfig(embed_dim=8, depths=[1], num_heads=[1], image_size=32),
    }


@pytest.mark.parametrize("name", heads())
def test_the_head_takes_the_label_s_units(name: str) -> None:
    from transformers import AutoModelForImageClassification

    config = heads()[name]
    config.num_labels, config.problem_type = 1, "regression"  # type: ignore[attr-defined]
    model = AutoModelForImageClassification.from_config(config).eval()
    pixels = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        before = model(pixel_values=pixels).logits
        layer = _unit_layer(model, name)
        layer.weight.mul_(7.0)
        layer.bias.mul_(7.0).add_(100.0)
        after = model(pixel_values=pixels).logits
    torch.testing.assert_close(after, 7 * before + 100)


def test_a_head_that_can_t_take_them_is_refused() -> None:
    import transformers as tf

    config = tf.SwiftFormerConfig(depths=[1] * 4, embed_dims=[8] * 4, num_labels=1)
    with pytest.raises(ModelError, match="2 layers that answer"):
        _unit_layer(tf.SwiftFormerForImageClassification(config), "swift")
    plain = torch.nn.Sequential(torch.nn.Linear(3, 1, bias=False))
    with pytest.raises(ModelError, match="no linear layer with a bias"):
        _unit_layer(plain, "plain")


def test_a_model_that_can_t_is_refused_before_any_training(
    target: TargetData, tmp_path: Path
) -> None:
    import transformers as tf

    folder = tiny_image_model(tmp_path / "swift")  # its image processor
    config = tf.SwiftFormerConfig(depths=[1] * 4, embed_dims=[8] * 4)
    tf.SwiftFormerForImageClassification(config).save_pretrained(folder)
    with pytest.raises(ModelError, match=r"my-swift: a SwiftFormer.* can't do regression"):
        AccelerateTrial("my-swift", folder, target, replace(RECIPE, epochs=1))


def test_the_tables_of_tasks_agree() -> None:
    from hf_select.cli.options import TASK_WORDS
    from hf_select.hub.crawl.dataset_query import CATEGORIES
    from hf_select.hub.crawl.query import PIPELINE_TAGS
    from hf_select.report.sections.provenance import _AUTO_CLASSES

    for table in (CATEGORIES, PIPELINE_TAGS, _AUTO_CLASSES):
        assert {"text-regression", "image-regression"} <= table.keys()
    assert TASK_KINDS.keys() == TASKS.keys()
    for name in TASKS:
        assert get_task(name).kind == TASK_KINDS[name]
        assert name in TASK_WORDS
