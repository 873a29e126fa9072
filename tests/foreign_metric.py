"""A metric of somebody's, as the library `evaluate` wants it: the mean miss, to a power."""

from __future__ import annotations

from pathlib import Path

MODULE = '''"""A metric of somebody's."""

import datasets
import evaluate


class {name}(evaluate.Metric):
    def _info(self):
        value = datasets.Value("{kind}")
        return evaluate.MetricInfo(
            description="",
            citation="",
            inputs_description="",
            features=datasets.Features({{"predictions": value, "references": value}}),
        )

    def _compute(self, predictions, references, power=1):
        misses = [abs(p - r) for p, r in zip(predictions, references)]
        return {result}
'''


def metric_module(
    folder: Path,
    *,
    kind: str = "float64",
    result: str = '{"misses": sum(m**power for m in misses) / len(misses)}',
) -> Path:
    """A folder with a metric that evaluate loads."""
    folder.mkdir(parents=True)
    text = MODULE.format(name=folder.name.capitalize(), kind=kind, result=result)
    (folder / f"{folder.name}.py").write_text(text)
    return folder
