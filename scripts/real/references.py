"""The original networks, written down a second time, to compare a conversion with.

Each takes the weights as the package has them and shares no code with transformers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

Tensors = Mapping[str, torch.Tensor]
MOBILENET_V2 = (  # expansion, channels, blocks, stride of the first
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
EFFICIENTNET_STRIDES = (1, 2, 2, 2, 1, 2, 1)


def _norm(x: torch.Tensor, state: Tensors, name: str, eps: float) -> torch.Tensor:
    parts = [state[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")]
    return functional.batch_norm(x, *parts, eps=eps)


def torchvision_mobilenet_v2(state: Tensors, x: torch.Tensor) -> torch.Tensor:
    """Logits (B, 1000) of torchvision's MobileNetV2 for pixels (B, 3, H, W)."""

    def layer(x: torch.Tensor, conv: str, norm: str, stride: int = 1) -> torch.Tensor:
        weight = state[f"{conv}.weight"]
        groups, pad = x.shape[1] // weight.shape[1], weight.shape[2] // 2
        x = functional.conv2d(x, weight, stride=stride, padding=pad, groups=groups)
        return _norm(x, state, norm, 1e-5)

    x = functional.relu6(layer(x, "features.0.0", "features.0.1", 2))
    number = 0
    for expansion, channels, blocks, first_stride in MOBILENET_V2:
        for block in range(blocks):
            number += 1
            stride = first_stride if block == 0 else 1
            name, inside, at = f"features.{number}.conv", x, 0
            if expansion > 1:
                inside = functional.relu6(layer(inside, f"{name}.0.0", f"{name}.0.1"))
                at = 1
            inside = layer(inside, f"{name}.{at}.0", f"{name}.{at}.1", stride)
            inside = layer(functional.relu6(inside), f"{name}.{at + 1}", f"{name}.{at + 2}")
            x = x + inside if stride == 1 and x.shape[1] == channels else inside
    x = functional.relu6(layer(x, "features.18.0", "features.18.1"))
    return functional.linear(
        x.mean((2, 3)), state["classifier.1.weight"], state["classifier.1.bias"]
    )


def same_padding(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """TensorFlow's SAME: the odd pixel goes to the end."""
    pads: list[int] = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(x, pads)


def efficientnet_lite(state: Tensors, x: torch.Tensor, repeats: tuple[int, ...]) -> torch.Tensor:
    """Logits (B, 1000) of EfficientNet-Lite: no squeeze-and-excite, ReLU6 for swish."""

    def layer(x: torch.Tensor, conv: str, norm: str, stride: int = 1) -> torch.Tensor:
        weight = state[f"{conv}.weight"]
        x = same_padding(x, weight.shape[2], stride)
        groups = x.shape[1] // weight.shape[1]
        return _norm(functional.conv2d(x, weight, stride=stride, groups=groups), state, norm, 1e-3)

    x = functional.relu6(layer(x, "_conv_stem", "_bn0", 2))
    number = 0
    for count, first_stride in zip(repeats, EFFICIENTNET_STRIDES, strict=True):
        for block in range(count):
            stride, name, inside = first_stride if block == 0 else 1, f"_blocks.{number}.", x
            if f"{name}_expand_conv.weight" in state:
                inside = functional.relu6(layer(inside, f"{name}_expand_conv", f"{name}_bn0"))
            inside = layer(inside, f"{name}_depthwise_conv", f"{name}_bn1", stride)
            inside = layer(functional.relu6(inside), f"{name}_project_conv", f"{name}_bn2")
            x = x + inside if stride == 1 and x.shape == inside.shape else inside
            number += 1
    x = functional.relu6(layer(x, "_conv_head", "_bn1"))
    return functional.linear(x.mean((2, 3)), state["_fc.weight"], state["_fc.bias"])


def read_keras(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The graph that an h5 file describes, and its arrays by `layer/array`."""
    import h5py

    arrays: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:

        def keep(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                arrays["/".join(name.split("/")[-2:])] = np.asarray(item, dtype=np.float32)

        file["model_weights"].visititems(keep)
        return json.loads(file.attrs["model_config"]), arrays


def keras_features(
    layers: list[dict[str, Any]], arrays: Mapping[str, np.ndarray], x: torch.Tensor
) -> torch.Tensor:
    """What the layers of a Keras graph make of pixels (B, 3, H, W), layer by layer."""
    outputs: dict[str, torch.Tensor] = {}
    for layer in layers:
        kind, config, name = layer["class_name"], layer["config"], layer["name"]
        inputs = [outputs[source] for source in _keras_inputs(layer["inbound_nodes"])]
        if kind == "InputLayer":
            outputs[name] = x
        elif kind in ("Conv2D", "DepthwiseConv2D"):
            outputs[name] = _keras_conv(inputs[0], kind, config, arrays)
        elif kind == "BatchNormalization":
            order = ("moving_mean", "moving_variance", "gamma", "beta")
            parts = [torch.from_numpy(arrays[f"{name}/{part}"]) for part in order]
            outputs[name] = functional.batch_norm(inputs[0], *parts, eps=config["epsilon"])
        elif kind == "ReLU":
            outputs[name] = inputs[0].clamp(0, config["max_value"])
        elif kind == "ZeroPadding2D":
            (top, bottom), (left, right) = config["padding"]
            outputs[name] = functional.pad(inputs[0], (left, right, top, bottom))
        elif kind == "Add":
            outputs[name] = inputs[0] + inputs[1]
        else:
            raise ValueError(f"no rule for a {kind} layer ({name})")
    return outputs[layers[-1]["name"]]


def _keras_conv(
    x: torch.Tensor, kind: str, config: dict[str, Any], arrays: Mapping[str, np.ndarray]
) -> torch.Tensor:
    name, stride = config["name"], config["strides"][0]
    if kind == "Conv2D":
        weight, groups = torch.from_numpy(arrays[f"{name}/kernel"]).permute(3, 2, 0, 1), 1
    else:
        stored = arrays.get(f"{name}/depthwise_kernel", arrays.get(f"{name}/kernel"))
        weight, groups = torch.from_numpy(stored).permute(2, 3, 0, 1), x.shape[1]
    if config["padding"] == "same":
        x = same_padding(x, weight.shape[2], stride)
    return functional.conv2d(x, weight, stride=stride, groups=groups)


def _keras_inputs(nodes: Any) -> list[str]:
    """Names of the layers that a layer reads, wherever they stand in its description."""
    if isinstance(nodes, dict):
        if "keras_history" in nodes:
            return [nodes["keras_history"][0]]
        return [name for value in nodes.values() for name in _keras_inputs(value)]
    if isinstance(nodes, list):
        return [name for value in nodes for name in _keras_inputs(value)]
    return []


def run_onnx(path: Path, inputs: Mapping[str, np.ndarray], output: str) -> np.ndarray:
    """One output of an ONNX graph, by the onnx package's own evaluator in numpy."""
    import onnx
    from onnx.reference import ReferenceEvaluator
    from onnx.version_converter import convert_version

    model = onnx.load(path)
    if any(node.op_type == "DequantizeLinear" for node in model.graph.node):
        model = convert_version(model, 21)  # the first whose int8 the evaluator knows
    names = [item.name for item in model.graph.output]
    return ReferenceEvaluator(model).run(None, dict(inputs))[names.index(output)]
