"""`select`: both phases, from Python."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_select.api.listening import Progress, heard
from hf_select.api.selection import Selection
from hf_select.api.targets import Results, Target, given, target_of, where
from hf_select.records import Recipe, digest


def select(
    target: Target,
    results: Results,
    out: str | Path | None = None,
    *,
    budget: str | float | None = None,
    max_epochs: float | None = None,
    max_cost: float | None = None,
    tolerance: float | None = None,
    confidence: float | None = None,
    policy: str | None = None,
    top: int | None = None,
    method: str | None = None,
    proxy: str | Sequence[str] | None = None,
    looks: int | None = None,
    preset: str | None = None,
    threshold: float | None = None,
    catalog: str | Path | None = None,
    max_params: int | str | None = None,
    max_memory: int | str | None = None,
    license: str | Collection[str] = (),
    language: str | Collection[str] = (),
    architecture: str | Collection[str] = (),
    exclude: str | Collection[str] = (),
    recipe: Recipe | str | Path | None = None,
    learning_rates: Sequence[float] = (),
    task: str | None = None,
    config: str | None = None,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    choice_columns: Sequence[str] | None = None,
    metric: str | None = None,
    train: str | Path | None = None,
    validation: str | Path | None = None,
    test: str | Path | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    name: str | None = None,
    seed: int = 0,
    checkpoint_every: float = 30.0,
    parallel: str | None = None,
    processes: int | None = None,
    log_with: str | None = None,
    choose: str | None = None,
    progress: Progress = False,
) -> Selection:
    """Find the model of a record to fine-tune on the target, and fine-tune it.

    Recalls a few models from the record and a look at the target, fine-tunes those a little at a
    time, and drops each when it can't win any more. Every default is that of `hf-select select`.

    Args:
        target: a Hub id, a file or a folder, a pandas `DataFrame`, a `Dataset` or a `DatasetDict`.
        results: the record: a folder, OWNER/NAME[@REVISION] on the Hub, `"demo"`, or a
            `ResultsRepo`.
        out: folder for the winner. Without one it is `selected-<target>-<8 digits>` here, the
            digits made of the data and of what was asked: the same call finds it again.
        budget: seconds, or words such as `"30m"`, for everything; a step under way is finished.
        max_epochs: epochs to train in all, at most, looks counted by their time.
        max_cost: price of choosing at most, in trainings of one model.
        tolerance: points that don't matter (0.5).
        confidence: how sure it must be that a candidate has lost before it is dropped (0.95).
        policy: how candidates are dropped: `"trend"` unless `preset` says otherwise.
        top: models to recall; without it at most 10 (15 for data that are unlike all benchmarks),
            fewer where they hold the best one with 95 %.
        method: how to recall: `"hybrid"` unless `preset` says otherwise.
        proxy: proxy scores to look by; chosen if not given.
        looks: models to look at, at most (64).
        preset: `"paper"` for the paper's algorithm, on raw scores.
        threshold: distance at which clusters are cut.
        catalog: where models can be loaded; the Hub if not given.
        max_params: parameters that a model may have, at most: a number, or `"50M"`.
        max_memory: memory that fine-tuning it may take: bytes, or `"8GB"`.
        license, language, architecture: one of these each; what isn't known of a model is beyond
            a limit that asks for it.
        exclude: models to leave out, by name or by a pattern such as `"*/bert-*"`.
        recipe: how to fine-tune, as a `Recipe` or a JSON file; the record's own if not given.
        learning_rates: each is tried with each model.
        task, config, text_column, text_pair_column, image_column, label_column,
            choice_columns, metric: how to read the target; inferred where not stated.
        train, validation, test: another file or folder for that split, or which of the target's
            splits it is; those that are missing are made.
        encoding, delimiter, header: of text files, where they can't be told.
        name: what the target is called in the answer.
        seed: of new heads and the order of rows.
        checkpoint_every: seconds between checkpoints.
        parallel, processes: what processes do that `accelerate launch` has started, and how many
            there must be.
        log_with: log every curve to `"tensorboard"`, `"trackio"` or `"wandb"`, too.
        choose: hand over this candidate instead of the winner; with all else the same it goes on
            from a selection that is finished.
        progress: `True` for messages and bars on stderr; a function is told of every step.

    Returns:
        The `Selection`: winner, ranking, price, curves, tables, and where all of it lies.

    Raises:
        InputError: bad input, before anything is fetched or written.
        StoppedError: stopped, by a signal's handler of yours; the same call goes on.
        HubError: the Hub can't be reached; the same call goes on.

    >>> found = select("reviews.csv", "demo", budget="30m")               # doctest: +SKIP
    >>> found.winner.test, found.to_pandas()                              # doctest: +SKIP
    """
    from hf_select import pipeline

    made, listed = recipe_of(recipe)
    settings = given(
        {
            "budget": budget,
            "max_epochs": max_epochs,
            "max_cost": max_cost,
            "tolerance": tolerance,
            "confidence": confidence,
            "policy": policy,
            "top": top,
            "method": method,
            "proxy": proxy,
            "looks": looks,
            "preset": preset,
            "threshold": threshold,
            "catalog": catalog,
            "max_params": max_params,
            "max_memory": max_memory,
        }
    )
    limits = {
        "license": license,
        "language": language,
        "architecture": architecture,
        "exclude": exclude,
    }
    reading = given(
        {
            "task": task,
            "config": config,
            "text_column": text_column,
            "text_pair_column": text_pair_column,
            "image_column": image_column,
            "label_column": label_column,
            "choice_columns": choice_columns,
            "metric": metric,
            "train": train,
            "validation": validation,
            "test": test,
            "encoding": encoding,
            "delimiter": delimiter,
            "header": header,
        }
    )
    rates = tuple(learning_rates) or listed
    named = {} if name is None else {"name": name}
    with heard(progress) as say, target_of(target, {**reading, **named}) as rows:
        folder = out or _folder(
            rows.name,
            {
                **settings,
                "target": rows.fingerprint,
                "metric": rows.metric,
                "results": str(where(results)),
                "recipe": made and made.digest(),
                "learning_rates": rates,
                **{key: as_listed(value) for key, value in limits.items()},
                "seed": seed,
            },
        )
        selected = pipeline.select(
            rows,
            where(results),
            folder,
            recipe=made,
            learning_rates=rates,
            license=license,
            language=language,
            architecture=architecture,
            exclude=exclude,
            seed=seed,
            checkpoint_every=checkpoint_every,
            parallel=parallel,
            processes=processes,
            log_with=log_with,
            choose=choose,
            say=say,
            **settings,
            **reading,
        )
    return Selection.of(selected.document, selected.out)


def recipe_of(recipe: Recipe | str | Path | None) -> tuple[Recipe | None, tuple[float, ...]]:
    """A recipe as it is or from its JSON file, and the learning rates where that lists several."""
    from hf_select import pipeline

    if recipe is None or isinstance(recipe, Recipe):
        return recipe, ()
    return pipeline.choose_recipes(Path(recipe), {})


def as_listed(names: str | Collection[str]) -> list[str]:
    """One name or several, in one order."""
    return [names] if isinstance(names, str) else sorted(names)


def _folder(target: str, asked: Mapping[str, Any]) -> Path:
    """Where a selection goes that wasn't given a folder: the same for the same call."""
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", target.rsplit("/", 1)[-1]).strip("-.") or "target"
    plain = {key: str(value) for key, value in asked.items()}
    return Path(f"selected-{words[:40]}-{digest(plain)[:8]}")
