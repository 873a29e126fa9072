import io
import json

import numpy as np
import pytest
from safetensors.numpy import save

from hf_select.errors import ModelError
from hf_select.weights import MAX_HEADER, count_parameters


def count(data, size=None):
    return count_parameters(io.BytesIO(data), len(data) if size is None else size, "the file")


def test_the_numbers_of_all_tensors_are_counted():
    data = save({"a": np.zeros((3, 4), np.float32), "b": np.zeros(5, np.int8)}, {"format": "pt"})
    assert count(data) == 17
    assert count(save({"scalar": np.float32(1.0)[None]})) == 1
    assert count(save({})) == 0


class Giant(io.BytesIO):
    """A file that says of its header what it likes, and counts what is read of it."""

    def __init__(self, claim):
        super().__init__(claim.to_bytes(8, "little") + bytes(100))
        self.most = 0

    def read(self, size=-1):
        self.most = max(self.most, size)
        return super().read(size)


@pytest.mark.parametrize("claim", [10 * 2**30, MAX_HEADER + 1, 2**64 - 1])
def test_an_impossible_length_is_refused_before_so_much_is_read(claim):
    giant = Giant(claim)
    with pytest.raises(ModelError, match=f"the file is damaged: its header claims {claim}"):
        count_parameters(giant, 20 * 2**30, "the file")
    assert giant.most == 8


def header(document, data=b""):
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return len(text).to_bytes(8, "little") + text + data


ROW = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "claims 0 of 0"),
        (b"1234567", "damaged"),
        (bytes(7), "damaged"),
        ((9).to_bytes(8, "little") + bytes(8), "claims 9 of 16"),
        (header(b"x"), "can't be read"),
        (header(b"[" * 100_000), "can't be read"),
        (header([]), "can't be read"),
        (header({"a": 1}), "can't be read"),
        (header({"a": {**ROW, "data_offsets": []}}), "can't be read"),
        (header({"a": {**ROW, "shape": "x"}}, bytes(8)), "can't be read"),
        (header({"a": ROW}, bytes(7)), "describes"),
        (header({"a": ROW}, bytes(9)), "describes"),
    ],
)
def test_what_is_no_safetensors_file_is_named(data, words):
    with pytest.raises(ModelError, match=words) as caught:
        count(data)
    assert caught.value.message.startswith("the file")
