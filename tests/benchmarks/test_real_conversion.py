import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import build_real_models
from real.images import compare
from real.packages import PACKAGES
from real.references import EFFICIENTNET_STRIDES, MOBILENET_V2, same_padding
from real.texts import onnx_weights


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"),
    [(64, 3, 2, 0, 1), (7, 3, 2, 1, 1), (8, 5, 1, 2, 2), (8, 5, 2, 1, 2), (8, 1, 1, 0, 0)],
)
def test_same_padding_puts_the_odd_pixel_at_the_end(size, kernel, stride, before, after):
    padded = same_padding(torch.ones(1, 1, size, size), kernel, stride)
    row = padded[0, 0, :, padded.shape[3] // 2]
    assert len(row) == size + before + after
    assert row[:before].sum() == 0
    assert row[before : before + size].sum() == size
    assert (len(row) - kernel) // stride + 1 == -(-size // stride)


def test_compare_is_relative_and_refuses_what_is_far():
    wanted = torch.tensor([10.0, -2.0])
    assert "1.0e-02" in compare("x", wanted + 0.1, wanted, 0.02)
    with pytest.raises(ValueError, match="apart"):
        compare("x", wanted + 1, wanted, 0.02)
    with pytest.raises(ValueError, match="apart"):
        compare("x", wanted * float("nan"), wanted, 0.02)


def test_onnx_weights_get_their_names_back_and_int8_is_dequantised(tmp_path):
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    table = np.array([[0, 128], [130, 255]], np.uint8)
    arrays = {
        "onnx::MatMul_1": matrix,
        "net.lin.bias": np.ones(3, np.float32),
        "net.words.weight_quantized": table,
        "scale": np.array(0.5, np.float32),
        "zero": np.array(128, np.uint8),
    }
    nodes = [
        helper.make_node(
            "DequantizeLinear", ["net.words.weight_quantized", "scale", "zero"], ["words"], "dq"
        ),
        helper.make_node("Gather", ["words", "ids"], ["x"], "/net/words/Gather"),
        helper.make_node("MatMul", ["x", "onnx::MatMul_1"], ["y"], "/net/lin/MatMul"),
        helper.make_node("Add", ["y", "net.lin.bias"], ["z"], "/net/lin/Add"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", kinds.INT64, [None])],
        [helper.make_tensor_value_info("z", kinds.FLOAT, [None, 3])],
        [onnx.numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    path = tmp_path / "g.onnx"
    onnx.save(helper.make_model(graph), path)
    found = onnx_weights(path)
    assert set(found) == {"net.lin.weight", "net.lin.bias", "net.words.weight"}
    np.testing.assert_array_equal(found["net.lin.weight"], matrix.T)
    np.testing.assert_array_equal(found["net.words.weight"], [[-64, 0], [1, 63.5]])


def test_every_network_has_a_pinned_package_with_a_licence():
    tasks = [network.task for network in build_real_models.NETWORKS.values()]
    assert tasks.count("image-classification") >= 4
    assert tasks.count("text-classification") >= 4
    for network in build_real_models.NETWORKS.values():
        package = PACKAGES[network.package]
        assert package.version
        assert package.licence


def test_the_tables_of_the_references_agree_with_the_papers():
    assert sum(blocks for _, _, blocks, _ in MOBILENET_V2) == 17
    assert np.prod(EFFICIENTNET_STRIDES) == 16
