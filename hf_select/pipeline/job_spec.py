"""What a job on the Hub has to do, as a text that fits into an environment variable."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hf_select.catalog import Catalog
from hf_select.errors import HfSelectError, InputError
from hf_select.records import DatasetEntry, ModelEntry, Recipe, RunKey, digest

VARIABLE = "HF_SELECT_JOB"
LIMIT = 100 * 1000
"""Characters of that variable. Linux gives no process a longer one than 128 KiB."""
FORMAT = 1
PUBLISH_EVERY = 60.0
"""Seconds between two commits of a job, at least: each reads the record anew."""


@dataclass(frozen=True)
class Spec:
    """What a job has to do. Cells and pairs name models and data sets by their place.

    `cells` are (model, data set, seed), `pairs` (model, data set); `timeout` is that of a cell.
    """

    to: str
    models: tuple[ModelEntry, ...]
    datasets: tuple[DatasetEntry, ...]
    recipe: Recipe
    cells: tuple[tuple[int, int, int], ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()
    proxies: tuple[str, ...] | None = None
    proxy_rows: int | None = None
    timeout: float | None = None
    retry_failed: bool = False
    private: bool = False
    accept_new_recipes: bool = False
    publish_every: float = PUBLISH_EVERY

    @property
    def catalog(self) -> Catalog:
        """Models and data, all of them on the Hub."""
        return Catalog(self.models, self.datasets)

    def cell_ids(self) -> list[str]:
        """The ids of the cells' keys, in order."""
        recipe, found = self.recipe.digest(), []
        for i, j, seed in self.cells:
            model, data = self.models[i], self.datasets[j]
            key = RunKey(
                model=model.repo_id,
                model_revision=model.revision,
                dataset=data.repo_id,
                dataset_revision=data.revision,
                config=data.config,
                recipe=recipe,
                seed=seed,
            )
            found.append(key.id)
        return found

    def pair_ids(self) -> list[str]:
        """The ids of the pairs, in order."""
        from hf_select.training.scoring import Pair

        return [Pair(self.models[i], self.datasets[j], ()).id for i, j in self.pairs]

    def work_id(self) -> str:
        """16 hex digits: the same for the same cells and pairs, with the same proxies."""
        scored = [list(self.proxies or ["all"]), self.proxy_rows or 0]
        return digest([sorted(self.cell_ids()), sorted(self.pair_ids()), scored], 16)

    def encode(self) -> str:
        """A text for an environment variable; `InputError` if it is too long for one."""
        values = {
            **vars(self),
            "models": [_row(entry) for entry in self.models],
            "datasets": [_row(entry) for entry in self.datasets],
            "recipe": self.recipe.to_dict(),
            "format": FORMAT,
        }
        data = json.dumps(values, separators=(",", ":")).encode()
        text = base64.b64encode(zlib.compress(data, 9)).decode()
        if len(text) > LIMIT:
            raise InputError(
                f"{len(self.cells)} cells are too many for one job: what it has to do takes "
                f"{len(text) // 1000} KB, of {LIMIT // 1000}",
                hint="set the option cells_per_job to less",
            )
        return text

    @classmethod
    def decode(cls, text: str) -> Spec:
        """The inverse of `encode`; `InputError` for what is none, or of another version."""
        try:
            values: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(text)))
            if values.pop("format") != FORMAT:
                raise ValueError("another format")
            values["models"] = tuple(ModelEntry(**_tuples(row)) for row in values["models"])
            values["datasets"] = tuple(DatasetEntry(**_tuples(row)) for row in values["datasets"])
            values["recipe"] = Recipe.from_dict(values["recipe"])
            values["cells"] = tuple((i, j, seed) for i, j, seed in values["cells"])
            values["pairs"] = tuple((i, j) for i, j in values["pairs"])
            if values["proxies"] is not None:
                values["proxies"] = tuple(values["proxies"])
            return cls(**values)
        except (ValueError, KeyError, TypeError, zlib.error, HfSelectError) as error:
            raise InputError(
                f"{VARIABLE} holds no work of this version of hf-select: {error!r}"
            ) from error


def _row(entry: ModelEntry | DatasetEntry) -> dict[str, Any]:
    """An entry less what it doesn't say (NaN isn't JSON)."""
    return {name: value for name, value in asdict(entry).items() if value == value}


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}
