"""What a selection that is stopped hands over: the best candidate until then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hf_select.environment import is_main_process
from hf_select.errors import HfSelectError, StoppedError
from hf_select.files import write_atomic
from hf_select.records import Rung
from hf_select.report.document import clean
from hf_select.selection.folder import SO_FAR, SelectionFolder

if TYPE_CHECKING:
    from hf_select.pipeline.rates import Entrant
    from hf_select.training.live import LiveTrials


def hand_over_so_far(
    error: StoppedError,
    folder: SelectionFolder,
    trials: LiveTrials,
    last: Rung | None,
    field: Mapping[str, Entrant],
) -> StoppedError:
    """The error with the best candidate so far, which is put into OUT/best-so-far.

    Nothing is put there where nobody was trained yet, by processes other than the first, or where
    it fails: the selection can be gone on with all the same.
    """
    if last is None or not last.reached.get(last.leader) or not is_main_process():
        return error
    answer = _answer(last, field)
    place = folder.path / SO_FAR
    try:
        trial = trials.open(last.leader)
        if trial.num_processes > 1:
            return error
        trial.save_pretrained(place)
        trial.close()
        write_atomic(place / "so-far.json", json.dumps(clean(answer), indent=1).encode())
        where = f" It is in {place}."
    except (HfSelectError, OSError) as problem:
        where = f" It could not be saved: {problem}."
    found = StoppedError(
        error.message,
        hint=f"The best so far is {answer['model']}, validation {answer['val']:.4f} after "
        f"{answer['epochs']:g} epochs{_chance(answer)}.{where} The same command goes on.",
    )
    found.so_far = clean(answer)
    return found


def _answer(rung: Rung, field: Mapping[str, Entrant]) -> dict[str, Any]:
    name = rung.leader
    return {
        "model": field[name].model,
        "learning_rate": field[name].recipe.learning_rate,
        "epochs": rung.reached[name],
        "val": rung.val.get(name),
        "predicted": rung.forecast.get(name),
        "interval": rung.interval.get(name),
        "p_best": rung.p_best.get(name),
    }


def _chance(answer: Mapping[str, Any]) -> str:
    chance = answer["p_best"]
    return "" if chance is None else f", the best of the candidates with {100 * chance:.0f} %"
