"""The header of a safetensors file: what it says, checked before anything is loaded.

The format: 8 bytes with the header's length, the header (JSON: name -> dtype, shape, offsets of
the data), the data. See https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import json
import math
from typing import BinaryIO

from hf_select.errors import ModelError

MAX_HEADER = 100 * 2**20
"""Bytes; what the format itself allows."""


def count_parameters(file: BinaryIO, size: int, name: str) -> int:
    """How many numbers a file of `size` bytes holds, by its header; the data isn't read.

    Raises `ModelError` with the file's name: cut off, or a header that can't be true. A length
    that can't be true is refused before so much is read.
    """
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, MAX_HEADER):
        raise ModelError(f"{name} is damaged: its header claims {length} of {size} bytes")
    try:
        tensors = [
            row for key, row in json.loads(file.read(length)).items() if key != "__metadata__"
        ]
        end = 8 + length + max((row["data_offsets"][1] for row in tensors), default=0)
        count = sum(math.prod(row["shape"]) for row in tensors)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ModelError(f"{name} is damaged: its header can't be read") from error
    if end != size:
        raise ModelError(
            f"{name} is damaged: {size} bytes, but its header describes {end}",
            hint="download or copy the file again",
        )
    return count
