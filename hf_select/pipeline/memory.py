"""Whether fine-tuning a model takes no more memory than the user allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hf_select.catalog import Catalog
from hf_select.errors import HfSelectError, InputError
from hf_select.locations import locate
from hf_select.pipeline.base import Say
from hf_select.pipeline.limits import bytes_text
from hf_select.records import Excluded, ModelEntry, Recipe

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData


class MemoryCheck:
    """Whether fine-tuning models takes no more memory than allowed: they are loaded, and two rows
    sent through each. Of a GPU that has less than was allowed, what it has counts."""

    def __init__(
        self, most: int, target: TargetData, recipe: Recipe, catalog: Catalog, say: Say
    ) -> None:
        self.most, self.target, self.recipe, self.catalog = most, target, recipe, catalog
        self.say = say
        self.beyond: dict[str, Excluded] = {}
        self._within: set[str] = set()

    def only(self, names: Sequence[str], entries: Mapping[str, ModelEntry]) -> list[str]:
        """Those of the models that aren't beyond the limit, each looked at once.

        One that can't be loaded, or sent a row, is kept: whoever trains it says what is wrong.
        """
        new = [name for name in names if name not in self._within and name not in self.beyond]
        if new and not self._within and not self.beyond:
            self._ask_gpu()
        if new:
            self.say(f"memory: sending two rows through {len(new)} models")
        for name in new:
            reason = self._reason(entries[name])
            if reason:
                self.beyond[name] = Excluded(name, reason, "max-memory")
            else:
                self._within.add(name)
        return [name for name in names if name in self._within]

    def _ask_gpu(self) -> None:
        import torch

        if not torch.cuda.is_available():
            return
        there = torch.cuda.mem_get_info()[1]
        if there < self.most:
            self.say(f"this GPU has {bytes_text(there)}: what takes more is ruled out as well")
            self.most = there

    def _reason(self, entry: ModelEntry) -> str:
        from hf_select.training.footprint import footprint
        from hf_select.training.live import FAULTS

        try:
            found = footprint(locate(entry, self.catalog), self.target, self.recipe)
        except (HfSelectError, OSError, *FAULTS):
            return ""
        if found.total <= self.most:
            return ""
        return (
            f"training it takes {bytes_text(found.total)}, more than {bytes_text(self.most)}: "
            f"{bytes_text(found.weights)} for weights, gradients and moments, and "
            f"{bytes_text(found.activations)} for a batch's forward and backward pass"
        )


def none_within_memory(out: Sequence[Excluded]) -> InputError:
    """The error for a limit on memory that all models turned out to be beyond."""
    return InputError(
        f"no model is left: training each of {len(out)} takes more memory than --max-memory allows",
        hint=f"{out[0].repo_id}: {out[0].reason}; a smaller batch or length takes less",
    )
