"""Images as they lie in a data set: decoding, checking, and the hash of what they show."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

LOSSLESS = frozenset({"PNG", "BMP", "GIF", "PPM", "TIFF"})


def as_rgb(image: Image) -> Image:
    """An image in RGB; 16-bit greys are scaled down, not cut off at 255."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):  # "I": as older versions of Pillow read a PNG of 16 bits
        import numpy as np
        from PIL import Image as pil

        greys = np.asarray(image)
        if image.mode != "I" or greys.max() > 255:
            image = pil.fromarray((greys.clip(0, 65535) >> 8).astype(np.uint8))
    return image.convert("RGB")


def image_hash(cell: dict[str, Any], where: str) -> bytes:
    """20 bytes that name what an image shows; the image is decoded, so a broken one is found.

    Lossless files are named by their pixels, so PNGs of any compression are the same image.
    Lossy ones (JPEG) are named by their bytes, because decoders differ between machines.
    `cell`: undecoded, `{"bytes", "path"}`; `where` names the row if there is no file to name.
    Raises `DataError`.
    """
    from io import BytesIO
    from warnings import catch_warnings

    from PIL import Image as pil

    path = cell.get("path")
    data = cell.get("bytes")
    where = f"image {path}" if path else f"image of {where}"
    if data is None:
        if not path or not Path(path).is_file():
            raise DataError(f"{where}: no such file")
        data = Path(path).read_bytes()
    if not data:
        raise DataError(f"{where} is empty (0 bytes)")
    try:
        with catch_warnings(action="ignore"), pil.open(BytesIO(data)) as image:
            kind = image.format
            image.load()
            pixels = as_rgb(image)
    except Exception as error:  # decoders fail on damaged bytes in any way
        reason = str(error).split(" <_io")[0]
        raise DataError(f"{where} can't be decoded: {reason}") from error
    state = hashlib.sha1(usedforsecurity=False)
    if kind in LOSSLESS:
        state.update(repr(pixels.size).encode() + pixels.tobytes())
    else:
        state.update(data)
    return state.digest()
