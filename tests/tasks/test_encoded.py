import numpy as np
import torch

from hf_select.tasks.encoded import EncodedRows
from hf_select.tasks.text import TextEncoded


def encoded():
    lengths = np.array([2, 1, 3, 2])
    return TextEncoded(
        {"input_ids": np.arange(8), "token_type_ids": np.zeros(8, dtype=np.int64)},
        lengths,
        np.array([0, 1, 0, 1]),
        padding={"input_ids": 99, "token_type_ids": 0},
        pad_left=False,
    )


def test_some_rows_are_those_rows_in_that_order():
    every = encoded()
    some = EncodedRows(every, np.array([2, 0]))
    assert len(some) == 2
    assert some.lengths.tolist() == [3, 2]
    assert some.labels.tolist() == [0, 0]
    assert some.work().tolist() == [3, 2]
    assert some[0]["input_ids"].tolist() == every[2]["input_ids"].tolist()
    batch = some.collate([some[1], some[0]])
    assert batch["input_ids"].tolist() == [[0, 1, 99], [3, 4, 5]]
    inputs = some.inputs(np.array([1, 0]))
    assert all(torch.equal(inputs[name], batch[name]) for name in inputs)


def test_the_bytes_are_those_of_the_arrays_and_a_subset_has_its_own_only():
    every = encoded()
    assert every.num_bytes == 8 * (2 * 8 + 4 + 4 + 5)  # ids and types, lengths, labels, offsets
    assert EncodedRows(every, np.array([2, 0])).num_bytes == 8 * (2 + 2 + 2)
