"""Whether fine-tuning a model takes no more memory than the user allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hf_select.catalog import Catalog
from hf_select.errors import HfSelectError, InputError
from hf_select.launched import place
from hf_select.locations import locate
from hf_select.pipeline.base import Say
from hf_select.pipeline.limits import bytes_text
from hf_select.records import Excluded, ModelEntry, Recipe

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData


class MemoryCheck:
    """Whether fine-tuning models takes no more memory than allowed: they are loaded, and two rows
    sent through each. Of a GPU that has less than was allowed, what it has counts.

    Launched processes share the models and learn what each has found, so that all go on with the
    same ones; of their GPUs the smallest counts.
    """

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
        All launched processes must call it with the same models.
        """
        new = [name for name in names if name not in self._within and name not in self.beyond]
        if new:
            if not self._within and not self.beyond:
                self._ask_gpus()
            self.say(f"memory: sending two rows through {len(new)} models")
            reasons = self._shared(new, entries)
            self.beyond |= {n: Excluded(n, reasons[n], "max-memory") for n in new if reasons[n]}
            self._within |= {name for name in new if not reasons[name]}
        return [name for name in names if name in self._within]

    def _shared(self, names: Sequence[str], entries: Mapping[str, ModelEntry]) -> dict[str, str]:
        """Name -> why it is beyond the limit, "" where it isn't; each is seen by one process."""
        from hf_select.training.agreement import exchanged

        here = place()
        own = {name: self._reason(entries[name]) for name in names[here.rank :: here.world]}
        return {name: why for found in exchanged(own) for name, why in found.items()}

    def _ask_gpus(self) -> None:
        from hf_select.training.agreement import exchanged

        there = min((size for size in exchanged(_memory_of_gpu()) if size), default=self.most)
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


def _memory_of_gpu() -> int:
    """Bytes of the GPU that this process trains on, 0 where it trains on the CPU."""
    import torch

    from hf_select.training.memory import processes

    device = processes().device
    return torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else 0


def none_within_memory(out: Sequence[Excluded]) -> InputError:
    """The error for a limit on memory that all models turned out to be beyond."""
    return InputError(
        f"no model is left: training each of {len(out)} takes more memory than --max-memory allows",
        hint=f"{out[0].repo_id}: {out[0].reason}; a smaller batch or length takes less",
    )
