"""Image networks: the weights of a package in a native transformers model, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from real.packages import Package
from real.references import (
    efficientnet_lite,
    keras_features,
    read_keras,
    run_onnx,
    torchvision_mobilenet_v2,
)

INPUT_SIZE = 64
"""Pixels that the saved processors resize to: these networks take any size, and it is cheap."""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
KERAS = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
LITE = ((127 / 255,) * 3, (128 / 255,) * 3)
CAFFE = ((123 / 255, 117 / 255, 104 / 255), (1 / 255,) * 3)

# What ImageNet's classes offer for scikit-learn's photograph of the Summer Palace.
BUILDINGS = {442: "bell cote", 698: "palace", 663: "monastery", 832: "stupa", 483: "castle"}

Built = tuple[Any, Any, list[str]]  # model, processor, what was verified


def _processor(normalisation: tuple[tuple[float, ...], tuple[float, ...]]) -> Any:
    import transformers

    mean, std = normalisation
    return transformers.ViTImageProcessor(
        size={"height": INPUT_SIZE, "width": INPUT_SIZE},
        resample=2,
        image_mean=list(mean),
        image_std=list(std),
        do_convert_rgb=True,
    )


def _noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def compare(what: str, found: torch.Tensor, wanted: torch.Tensor, at_most: float) -> str:
    """A line that says how far two outputs are apart; an error if it is too far.

    The distance is the largest difference, relative to the largest value.
    """
    apart = float((found - wanted).abs().max() / wanted.abs().max())
    if not apart <= at_most:
        raise ValueError(f"{what}: {apart:.2e} apart, at most {at_most:.0e} is right")
    return f"{what}: largest relative difference {apart:.1e}"


def sees_palace(model: Any, normalisation: tuple[tuple[float, ...], ...], size: int) -> str:
    """What an ImageNet model takes a photograph of a palace for; an error if it is no building."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    image = Image.fromarray(load_sample_image("china.jpg")).resize((size, size), 3)
    mean, std = (np.array(values, np.float32) for values in normalisation)
    pixels = torch.from_numpy((np.asarray(image, np.float32) / 255 - mean) / std)
    with torch.no_grad():
        share, found = model(pixels.permute(2, 0, 1)[None]).logits.softmax(1)[0].max(0)
    if int(found) not in BUILDINGS:
        raise ValueError(f"china.jpg is taken for ImageNet class {int(found)} ({share:.2f})")
    return f"scikit-learn's china.jpg at {size} px is a {BUILDINGS[int(found)]} ({share:.2f})"


# -------------------------------------------------------------------------------- MobileNetV2


def _blocks(model: Any) -> Iterator[tuple[Any, int, int]]:
    """HF's convolution layers, with the number of their block and their place in it.

    Blocks count as in torchvision (1 to 17), the first and the last layer are 0 and 18.
    """
    body = model.mobilenet_v2
    yield body.conv_stem.first_conv, 0, 0
    yield body.conv_stem.conv_3x3, 1, 1
    yield body.conv_stem.reduce_1x1, 1, 2
    for number, block in enumerate(body.layer, 2):
        yield block.expand_1x1, number, 0
        yield block.conv_3x3, number, 1
        yield block.reduce_1x1, number, 2
    yield body.conv_1x1, 18, 0


def _fill(layer: Any, kernel: torch.Tensor, norm: Mapping[str, torch.Tensor]) -> None:
    """Put a kernel (out, in, h, w) and the four vectors of a batch norm into a layer of HF."""
    layer.convolution.weight.data.copy_(kernel)
    layer.normalization.load_state_dict(dict(norm), strict=False)


def mobilenet_imagenet(package: Package) -> Built:
    """torchvision's MobileNetV2, 1,000 classes of ImageNet."""
    import transformers

    path = package.find("mobilenet_v2-*.pth")
    state = torch.load(path, weights_only=True, map_location="cpu")
    config = transformers.MobileNetV2Config(
        num_labels=1000, tf_padding=False, layer_norm_eps=1e-5, image_size=INPUT_SIZE
    )
    model = transformers.MobileNetV2ForImageClassification(config).eval()
    for layer, block, place in _blocks(model):
        if block in (0, 18):
            conv, norm = f"features.{block}.0", f"features.{block}.1"
        else:
            at = place - (block == 1)  # the first block has no expansion
            last = place == 2
            name = f"features.{block}.conv"
            conv = f"{name}.{at}" if last else f"{name}.{at}.0"
            norm = f"{name}.{at + 1}" if last else f"{name}.{at}.1"
        parts = ("weight", "bias", "running_mean", "running_var")
        _fill(layer, state[f"{conv}.weight"], {p: state[f"{norm}.{p}"] for p in parts})
    model.classifier.weight.data.copy_(state["classifier.1.weight"])
    model.classifier.bias.data.copy_(state["classifier.1.bias"])
    pixels = _noise(2, 3, 96, 96)
    with torch.no_grad():
        checks = [
            compare(
                "logits against torchvision's network",
                model(pixels).logits,
                torchvision_mobilenet_v2(state, pixels),
                1e-4,
            ),
            sees_palace(model, IMAGENET, 224),
        ]
    return model, _processor(IMAGENET), checks


def mobilenet_dogs(package: Package) -> Built:
    """A Keras MobileNetV2 that tells 19 breeds of dogs."""
    import transformers

    config, arrays = read_keras(package.find("dog_breed_mobilenetv2.h5"))
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    settings = transformers.MobileNetV2Config(
        num_labels=19, tf_padding=True, layer_norm_eps=1e-3, image_size=INPUT_SIZE
    )
    model = transformers.MobileNetV2ForImageClassification(settings).eval()
    for layer, block, place in _blocks(model):
        if block == 0:
            conv, norm = "Conv1", "bn_Conv1"
        elif block == 18:
            conv, norm = "Conv_1", "Conv_1_bn"
        else:
            prefix = "expanded_conv" if block == 1 else f"block_{block - 1}"
            conv = f"{prefix}_{('expand', 'depthwise', 'project')[place]}"
            norm = f"{conv}_BN"
        if place == 1:
            stored = tensors.get(f"{conv}/depthwise_kernel", tensors.get(f"{conv}/kernel"))
            kernel = stored.permute(2, 3, 0, 1)
        else:
            kernel = tensors[f"{conv}/kernel"].permute(3, 2, 0, 1)
        names = {
            "weight": "gamma",
            "bias": "beta",
            "running_mean": "moving_mean",
            "running_var": "moving_variance",
        }
        _fill(layer, kernel, {ours: tensors[f"{norm}/{theirs}"] for ours, theirs in names.items()})
    model.classifier.weight.data.copy_(tensors["dense/kernel"].T)
    model.classifier.bias.data.copy_(tensors["dense/bias"])
    (body,) = (la for la in config["config"]["layers"] if la["class_name"] == "Functional")
    pixels = _noise(2, 3, 160, 160)
    with torch.no_grad():
        features = keras_features(body["config"]["layers"], arrays, pixels).mean((2, 3))
        wanted = features @ tensors["dense/kernel"] + tensors["dense/bias"]
        checks = [
            compare(
                "logits against the Keras graph in the h5 file", model(pixels).logits, wanted, 1e-4
            )
        ]
    return model, _processor(KERAS), checks


# --------------------------------------------------------------------------- EfficientNet-Lite

REPEATS = {0: (1, 2, 2, 3, 3, 4, 1), 1: (1, 3, 3, 4, 4, 5, 1)}
CHANNELS = (16, 24, 40, 80, 112, 192, 320)


def efficientnet(package: Package, variant: int) -> Built:
    """EfficientNet-Lite 0 or 1, 1,000 classes of ImageNet.

    transformers knows the network with squeeze-and-excite only, so each gate is set to
    sigmoid(30), which is 1 in float32.
    """
    import transformers

    state = torch.load(
        package.find(f"efficientnet-lite{variant}-*.pth"), weights_only=True, map_location="cpu"
    )
    config = transformers.EfficientNetConfig(
        num_labels=1000,
        image_size=INPUT_SIZE,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        in_channels=[32, *CHANNELS[:-1]],
        out_channels=list(CHANNELS),
        num_block_repeats=list(REPEATS[variant]),
        kernel_sizes=[3, 3, 5, 3, 5, 5, 3],
        strides=[1, 2, 2, 2, 1, 2, 1],
        expand_ratios=[1, 6, 6, 6, 6, 6, 6],
        depthwise_padding=[],  # SAME on even sizes, as at 64 and at 224 pixels
        hidden_act="relu6",
        batch_norm_eps=1e-3,
        hidden_dim=1280,
        dropout_rate=0.2,
    )
    model = transformers.EfficientNetForImageClassification(config).eval()
    body = "efficientnet"
    renamed = {
        f"{body}.embeddings.convolution": "_conv_stem",
        f"{body}.embeddings.batchnorm": "_bn0",
        f"{body}.encoder.top_conv": "_conv_head",
        f"{body}.encoder.top_bn": "_bn1",
        "classifier": "_fc",
    }
    for number in range(sum(REPEATS[variant])):
        ours, theirs = f"{body}.encoder.blocks.{number}", f"_blocks.{number}"
        renamed |= {
            f"{ours}.expansion.expand_conv": f"{theirs}._expand_conv",
            f"{ours}.expansion.expand_bn": f"{theirs}._bn0",
            f"{ours}.depthwise_conv.depthwise_conv": f"{theirs}._depthwise_conv",
            f"{ours}.depthwise_conv.depthwise_norm": f"{theirs}._bn1",
            f"{ours}.projection.project_conv": f"{theirs}._project_conv",
            f"{ours}.projection.project_bn": f"{theirs}._bn2",
        }
    filled: dict[str, torch.Tensor] = {}
    for name, value in model.state_dict().items():
        module, _, part = name.rpartition(".")
        if "squeeze_excite" in name:
            filled[name] = torch.full_like(value, 30.0 if name.endswith("expand.bias") else 0.0)
        elif part != "num_batches_tracked":
            filled[name] = state[f"{renamed[module]}.{part}"]
        else:
            filled[name] = value
    model.load_state_dict(filled)
    pixels = _noise(2, 3, INPUT_SIZE, INPUT_SIZE)
    with torch.no_grad():
        checks = [
            compare(
                "logits against the published network",
                model(pixels).logits,
                efficientnet_lite(state, pixels, REPEATS[variant]),
                1e-4,
            ),
            sees_palace(model, LITE, 224),
        ]
    return model, _processor(LITE), checks


# ------------------------------------------------------------------------------- thin ResNet-50


def resnet_nsfw(package: Package) -> Built:
    """Yahoo's open_nsfw, a ResNet-50 of half the width, with its batch norms folded in.

    It was trained on BGR; the first kernel is turned round, so that this one takes RGB.
    """
    import onnx
    import transformers
    from onnx import numpy_helper

    path = package.find("open-nsfw.onnx")
    graph = onnx.load(path).graph
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    folded = {  # "bn_stage0_block0_branch2a" -> kernel and bias
        node.output[0].split("/")[0]: tuple(torch.tensor(arrays[name]) for name in node.input[1:3])
        for node in graph.node
        if node.op_type == "Conv"
    }
    config = transformers.ResNetConfig(
        num_labels=2,
        embedding_size=64,
        hidden_sizes=[128, 256, 512, 1024],
        depths=[3, 4, 6, 3],
        layer_type="bottleneck",
        downsample_in_bottleneck=True,
    )
    model = transformers.ResNetForImageClassification(config).eval()

    def put(layer: Any, name: str) -> None:
        kernel, bias = folded.pop(name)
        scale = torch.full_like(bias, (1 + layer.normalization.eps) ** 0.5)
        zeros, ones = torch.zeros_like(bias), torch.ones_like(bias)
        norm = {"weight": scale, "bias": bias, "running_mean": zeros, "running_var": ones}
        _fill(layer, kernel, norm)

    stem = model.resnet.embedder.embedder
    put(stem, "bn_1")
    stem.convolution.weight.data.copy_(stem.convolution.weight.data.flip(1))
    for s, stage in enumerate(model.resnet.encoder.stages):
        for b, block in enumerate(stage.layers):
            name = f"bn_stage{s}_block{b}"
            for layer, branch in zip(block.layer, "abc", strict=True):
                put(layer, f"{name}_branch2{branch}")
            if b == 0:
                put(block.shortcut, f"{name}_proj_shortcut")
    if folded:
        raise ValueError(f"{len(folded)} convolutions have no place: {sorted(folded)[:3]}")
    model.classifier[1].weight.data.copy_(torch.tensor(arrays["fc_nsfw/MatMul/ReadVariableOp:0"].T))
    model.classifier[1].bias.data.copy_(torch.tensor(arrays["fc_nsfw/BiasAdd/ReadVariableOp:0"]))
    return model, _processor(CAFFE), _check_resnet(model, path)


def _check_resnet(model: Any, path: Path) -> list[str]:
    """Log-probabilities of noise against the ONNX graph, with its max-pooling and with HF's."""
    pixels = 20 * _noise(2, 3, 224, 224)
    bgr = np.ascontiguousarray(pixels.flip(1).permute(0, 2, 3, 1).numpy())
    wanted = torch.from_numpy(run_onnx(path, {"input:0": bgr}, "outputs")).log()
    embedder = model.resnet.embedder
    native = embedder.pooler
    with torch.no_grad():
        embedder.pooler = torch.nn.Sequential(
            torch.nn.ZeroPad2d((0, 1, 0, 1)), torch.nn.MaxPool2d(3, 2)
        )
        exact = model(pixels).logits.log_softmax(1)
        embedder.pooler = native
        close = model(pixels).logits.log_softmax(1)
    what = "log-probabilities against the ONNX graph"
    return [
        compare(f"{what}, pooling padded as there", exact, wanted, 1e-3),
        compare(f"{what}, pooling padded as transformers does", close, wanted, 0.5),
    ]
