"""Images: RGB from every mode, and a hash that names what is shown."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from hf_select.errors import DataError
from hf_select.tasks.pixels import as_rgb, image_hash


def encoded(image: Image.Image, kind: str, **options: object) -> dict:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return {"bytes": buffer.getvalue(), "path": None}


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    assert as_rgb(Image.new(mode, (3, 2))).mode == "RGB"


def test_sixteen_bits_are_scaled_not_cut_off() -> None:
    image = Image.fromarray(np.array([[0, 256, 65535]], dtype=np.uint16))
    assert np.asarray(as_rgb(image))[0, :, 0].tolist() == [0, 1, 255]


def test_thirty_two_bits_that_hold_sixteen_are_scaled_too() -> None:
    """As older versions of Pillow read a PNG of 16 bits; what fits into 8 stays as it is."""
    deep, plain = (np.array([[0, 200, top]], dtype=np.int32) for top in (65535, 255))
    assert np.asarray(as_rgb(Image.fromarray(deep)))[0, :, 0].tolist() == [0, 0, 255]
    assert np.asarray(as_rgb(Image.fromarray(plain)))[0, :, 0].tolist() == [0, 200, 255]


def test_whatever_a_decoder_stumbles_over_is_a_broken_image() -> None:
    data = bytearray(encoded(Image.new("RGB", (4, 4)), "TIFF")["bytes"])
    data[72] = 2  # where the pixels are is a text now, and Pillow raises a TypeError
    with pytest.raises(DataError, match="image of row 3 can't be decoded"):
        image_hash({"bytes": bytes(data), "path": None}, "row 3")


def test_the_hash_of_a_lossless_image_is_that_of_its_pixels() -> None:
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    png, small = encoded(image, "PNG", compress_level=0), encoded(image, "PNG", compress_level=9)
    assert png["bytes"] != small["bytes"]
    assert image_hash(png, "x") == image_hash(small, "x") == image_hash(encoded(image, "BMP"), "x")
    assert image_hash(encoded(image.rotate(90), "PNG"), "x") != image_hash(png, "x")
    wide = Image.new("RGB", (6, 2)), Image.new("RGB", (2, 6))
    assert len({image_hash(encoded(w, "PNG"), "x") for w in wide}) == 2


def test_the_hash_of_a_lossy_image_is_that_of_its_bytes() -> None:
    image = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    good, poor = encoded(image, "JPEG", quality=95), encoded(image, "JPEG", quality=5)
    assert image_hash(good, "x") == image_hash(dict(good), "y") != image_hash(poor, "x")


def test_a_broken_row_is_named() -> None:
    with pytest.raises(DataError, match=r"image of row 3 is empty"):
        image_hash({"bytes": b"", "path": None}, "row 3")
    with pytest.raises(DataError, match=r"image gone\.png: no such file"):
        image_hash({"bytes": None, "path": "gone.png"}, "row 3")
