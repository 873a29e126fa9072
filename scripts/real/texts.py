"""Text networks: the weights of a package in a native transformers model, checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from real.images import Built, compare
from real.packages import Package
from real.references import run_onnx

SENTENCES = (
    "A man is eating food.",
    "Someone is having a meal.",
    "The stock market fell sharply today.",
)
LEAST_GAP = 0.2
"""How much nearer the first two sentences must be to each other than to the third."""


def sentence_vectors(model: Any, tokenizer: Any) -> torch.Tensor:
    """Mean of the last hidden states (3, width) of the three sentences, unit length."""
    batch = tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None].float()
    return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)


def tells_meaning(model: Any, tokenizer: Any) -> str:
    """How near a paraphrase and an unrelated sentence are; an error if that isn't far apart."""
    vectors = sentence_vectors(model, tokenizer)
    near, far = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    if near - far < LEAST_GAP:
        raise ValueError(f"paraphrase {near:.2f}, unrelated {far:.2f}: not a sentence model")
    return f"cosine of a paraphrase {near:.2f}, of an unrelated sentence {far:.2f}"


def minilm(package: Package) -> Built:
    """A package that holds a native model folder already: all-MiniLM-L6-v2, or a fine-tune."""
    import transformers

    folder = package.find("model.safetensors").parent
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    return model, tokenizer, ["loaded as it is", tells_meaning(model, tokenizer)]


def onnx_weights(path: Path) -> dict[str, torch.Tensor]:
    """The weights of an exported PyTorch model under their names there.

    The exporter keeps the names of embeddings, biases and norms; matrices are anonymous, but
    the node that multiplies by one is called after its module. int8 weights are dequantised.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    stored = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    values = dict(stored)
    named: dict[str, np.ndarray] = {
        name: value
        for name, value in stored.items()
        if re.search(r"\.(weight|bias)$", name) and value.dtype == np.float32
    }
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in stored:
            quantised, scale, zero = (stored[name].astype(np.float32) for name in node.input[:3])
            if scale.size > 1:
                axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
                shape = [-1 if i == axis else 1 for i in range(quantised.ndim)]
                scale, zero = scale.reshape(shape), zero.reshape(shape)
            values[node.output[0]] = (quantised - zero) * scale
            if node.input[0].endswith(".weight_quantized"):
                named[node.input[0].removesuffix("_quantized")] = values[node.output[0]]
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in values:
            module = node.name.strip("/").removesuffix("/MatMul").replace("/", ".")
            named[f"{module}.weight"] = values[node.input[1]].T
    return {name: torch.tensor(np.ascontiguousarray(value)) for name, value in named.items()}


def _under(weights: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The weights whose name has the module `prefix` in it, named from there on."""
    return {re.sub(rf"^.*?{prefix}\.", "", k): v for k, v in weights.items() if prefix in k}


def paraphrase_minilm(package: Package, tokenizer_from: Package) -> Built:
    """paraphrase-MiniLM-L3-v2 out of its ONNX export; BERT's tokenizer comes from MiniLM-L6."""
    import transformers

    path = package.find("paraphrase-MiniLM-L3-v2.onnx")
    config = transformers.BertConfig(
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=3,
        num_attention_heads=12,
        intermediate_size=1536,
    )
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    weights = _under(onnx_weights(path), "auto_model")
    model.load_state_dict({name: weights[name] for name in model.state_dict()})
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        tokenizer_from.find("model.safetensors").parent
    )
    batch = tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
    inputs = {name: batch[name].numpy() for name in ("input_ids", "attention_mask")}
    hidden = torch.from_numpy(run_onnx(path, inputs, "onnx::Shape_422"))
    mask = batch["attention_mask"][..., None]
    with torch.no_grad():
        ours = model(**batch).last_hidden_state
    checks = [
        compare("hidden states against the ONNX graph", ours * mask, hidden * mask, 1e-4),
        tells_meaning(model, tokenizer),
    ]
    return model, tokenizer, checks


def distilbert_grammar(package: Package) -> Built:
    """DistilBERT-cased that was tuned to tag edits, without the tagger's head, int8 -> float."""
    import transformers

    path = package.find("tagger.onnx")
    everything = onnx_weights(path)
    weights = _under(everything, "distilbert")
    vocabulary = weights["embeddings.word_embeddings.weight"].shape[0]
    model = transformers.DistilBertModel(
        transformers.DistilBertConfig(vocab_size=vocabulary)
    ).eval()
    model.load_state_dict({name: weights[name] for name in model.state_dict()})
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(package.find("tokenizer.json")),
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=512,
        model_input_names=["input_ids", "attention_mask"],
    )
    batch = tokenizer(["The cat sit on the mat and he have two dogs ."], return_tensors="pt")
    tags = torch.from_numpy(
        run_onnx(path, {name: value.numpy() for name, value in batch.items()}, "logits")
    )
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    ours = hidden @ everything["classifier.weight"].T + everything["classifier.bias"]
    same = float((ours.argmax(-1) == tags.argmax(-1)).float().mean())
    near = float(torch.nn.functional.cosine_similarity(ours, tags, dim=-1).min())
    if same < 0.9 or near < 0.9:
        raise ValueError(f"{same:.2f} of the tags agree with the int8 graph, cosine {near:.3f}")
    line = f"{same:.0%} of the tags are those of the int8 graph, cosine of the logits >= {near:.3f}"
    return model, tokenizer, [line]
