"""Images: pixel values in memory or made row by row, the same either way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_image_folder, tiny_image_model

from hf_select.errors import ModelError
from hf_select.tasks.base import get_task
from hf_select.tasks.data import TargetData, load_target
from hf_select.tasks.image import ImageEncoded

TASK = get_task("image-classification")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> TargetData:
    return load_target(tiny_image_folder(tmp_path_factory.mktemp("images"), 30, classes=3))


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_image_model(tmp_path_factory.mktemp("resnet"))


def test_pixel_values_by_hand(target: TargetData, resnet: Path) -> None:
    encoded = TASK.encode(TASK.load_processor(resnet), target.train, max_length=128)
    pixels = np.asarray(target.train[2]["image"], dtype=np.float32).transpose(2, 0, 1) / 255
    assert np.allclose(encoded[2]["pixel_values"], (pixels - 0.5) / 0.25, atol=1e-5)
    batch = encoded.collate([encoded[0], encoded[1]])
    assert batch["pixel_values"].shape == (2, 3, 16, 16)
    assert batch["labels"].tolist() == target.labels("train")[:2].tolist()
    assert encoded.lengths.tolist() == [1] * len(target.train)


def test_row_by_row_is_the_same(target: TargetData, resnet: Path) -> None:
    processor = TASK.load_processor(resnet)
    whole, lazy = (ImageEncoded(processor, target.train, limit=n) for n in (2**30, 1))
    assert whole._pixels is not None
    assert lazy._pixels is None
    for i in range(len(whole)):
        assert np.array_equal(whole[i]["pixel_values"], lazy[i]["pixel_values"])
    rows = np.array([3, 0, 1])
    expected = whole.collate([whole[i] for i in rows])
    for encoded in (whole, lazy):
        batch = encoded.batch(rows)
        assert list(batch) == list(expected)
        for name, values in expected.items():
            assert torch.equal(batch[name], values)
            assert batch[name].dtype == values.dtype


def test_an_image_is_as_much_work_as_its_patches(target: TargetData, resnet: Path) -> None:
    processor = TASK.load_processor(resnet)
    encoded = ImageEncoded(processor, target.train)
    height, width = encoded[0]["pixel_values"].shape[1:]
    assert encoded.work().tolist() == [max(1, height * width // 256)] * len(encoded)
    processor.size = {"height": 64, "width": 48}
    assert ImageEncoded(processor, target.train).work()[0] == 12


def test_images_of_any_size_and_mode(tmp_path: Path, resnet: Path) -> None:
    from PIL import Image

    for i, mode in enumerate(["L", "RGBA", "P", "RGB", "LA", "1"] * 4):
        folder = tmp_path / "ab"[i // 6 % 2]
        folder.mkdir(exist_ok=True)
        Image.new(mode, (20 + i, 40 - i), i % 2).save(folder / f"{i}.png")
    target = load_target(tmp_path)
    encoded = TASK.encode(TASK.load_processor(resnet), target.train, max_length=1)
    assert encoded[len(encoded) - 1]["pixel_values"].shape == (3, 16, 16)


def test_a_processor_without_a_fixed_size(tmp_path: Path, resnet: Path) -> None:
    from PIL import Image

    for i in range(24):
        folder = tmp_path / "ab"[i % 2]
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (20 + i // 2, 20), (i, i, i)).save(folder / f"{i}.png")
    processor = TASK.load_processor(resnet)
    processor.do_resize = False
    with pytest.raises(ModelError, match="one size"):
        TASK.encode(processor, load_target(tmp_path).train, max_length=1)
