"""Regression on texts that people rated, from a CSV and through the command line alone.

    python scripts/build_real_models.py && python scripts/build_zoo.py     # once
    python benchmarks/regression.py [--learning-rate 2e-4] [--epochs 3] [--top 3] [--jobs 2]

Record, clusters, recall and selection are commands of `hf-select`. What is handed over is then
loaded by plain transformers and scored with plain numpy on the test rows. Resumable.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in the cells of the matrix
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import live_support as support
import numpy as np
from live_support import JSON, PAGE, REAL, ZOO, say
from numpy.typing import NDArray

from hf_select.errors import HfSelectError
from hf_select.records import Recipe
from hf_select.results.repo import ResultsRepo

TASK, METRIC = "text-regression", "rmse"
SETS = ("rated_movie", "rated_news", "rated_products")
TARGET = "rated_tweets"
COLUMNS = ("--text-column", "text", "--label-column", "rating")


def hf_select(*arguments: str) -> dict[str, Any]:
    """One command; its JSON document, or its error as ours."""
    say(f"$ hf-select {' '.join(arguments)}")
    command = [sys.executable, "-m", "hf_select", *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    document: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
    if done.returncode:
        error = document.get("error", {"message": f"exit code {done.returncode}", "hint": ""})
        raise HfSelectError(f"hf-select {arguments[0]}: {error['message']}", hint=error["hint"])
    return document


def regression_scores(predictions: NDArray, references: NDArray) -> dict[str, float]:
    """RMSE, MAE, R2 and Pearson of predictions (N,), with nothing but numpy."""
    apart = predictions - references
    return {
        "rmse": float(np.sqrt(np.mean(apart**2))),
        "mae": float(np.mean(np.abs(apart))),
        "r2": float(1 - np.mean(apart**2) / np.var(references)),
        "pearson": float(np.corrcoef(predictions, references)[0, 1]),
    }


def predictions(folder: Path, texts: Sequence[str], max_length: int) -> NDArray:
    """What the model of a folder says (N,), by plain transformers."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    found = []
    with torch.no_grad():
        for start in range(0, len(texts), 32):
            batch = tokenizer(
                list(texts[start : start + 32]),
                truncation=True,
                max_length=max_length,
                padding=True,
                return_tensors="pt",
            )
            found.append(model(**batch).logits[:, 0].double().numpy())
    return np.concatenate(found)


def measure(work: Path, zoo: Path, recipe: Recipe, top: int, jobs: int) -> dict[str, Any]:
    """The whole way, command by command."""
    from hf_select.tasks.data import load_target

    folder = work / f"regression-{recipe.digest()}"
    folder.mkdir(parents=True, exist_ok=True)
    models = support.real_models(work / "models", TASK)
    csv = zoo / "targets" / f"{TARGET}.csv"
    catalog, oracle, file = (folder / f"{n}.json" for n in ("catalog", "oracle", "recipe"))
    sets = {name: zoo / "datasets" / name for name in SETS}
    support.write_catalog(catalog, models, sets, task=TASK, metric=METRIC)
    support.write_catalog(oracle, models, {TARGET: csv}, label_column="rating", metric=METRIC)
    file.write_text(json.dumps(recipe.to_dict(), indent=1) + "\n", encoding="utf-8")

    record, brute = str(folder / "record"), str(folder / "brute-force")
    how = ("--task", TASK, "--recipe", str(file), "--jobs", str(jobs), "--retry-failed")
    hf_select("benchmark", "--catalog", str(catalog), "--results", record, *how)
    clusters = hf_select("cluster", "--results", record, "--task", TASK)
    target = (str(csv), "--results", record, "--catalog", str(catalog), *COLUMNS)
    target = (*target, "--method", "paper")  # three benchmarks are few to learn weights from
    recall = hf_select("recall", *target, "--top", str(top))
    out = folder / "chosen"
    chosen = hf_select(
        "select",
        *target,
        *("--top", str(top), "--policy", "paper", "--recipe", str(file), "--out", str(out)),
    )
    hf_select("benchmark", "--catalog", str(oracle), "--results", brute, *how)

    test = load_target(csv, label_column="rating", metric=METRIC).test
    truth = np.asarray(test["label"], dtype=np.float64)
    matrix = ResultsRepo.open(record).matrix(TASK)
    tested = ResultsRepo.open(brute).matrix(TASK)
    scores = dict(zip(tested.models, tested.scores[:, 0].tolist(), strict=True))
    winner = chosen["winner"]["model"]
    return {
        "recipe": recipe.to_dict(),
        "record": {
            model: dict(zip(matrix.datasets, matrix.scores[i].tolist(), strict=True))
            for i, model in enumerate(matrix.models)
        },
        "trivial": dict(zip(matrix.datasets, matrix.baselines.tolist(), strict=True)),
        "clusters": [cluster["models"] for cluster in clusters["clusters"]],
        "recalled": [
            {"model": c["model"], "prior": c["prior"], "score": c["score"], **c["proxies"]}
            for c in recall["candidates"]
        ],
        "winner": winner,
        "reported": chosen["winner"]["test"],
        "measured": regression_scores(predictions(out, test["text"], recipe.max_length), truth),
        "mean_predictor": {"rmse": float(np.std(truth)), "on_test": chosen["trivial"]["test"]},
        "test_rows": len(truth),
        "price": chosen["price"],
        "epochs": chosen["cost"]["epochs"],
        "proxy_epochs": chosen["cost"]["proxy_epochs"],
        "baselines": {name: row["price"] for name, row in chosen["baselines"].items()},
        "brute_force": scores,
        "regret_rmse": scores[winner] - min(scores.values()),
    }


def page(document: Mapping[str, Any]) -> str:
    """The section of the results page."""
    recipe, measured = document["recipe"], document["measured"]
    sets = list(document["trivial"])
    rows: list[Sequence[Any]] = [
        (
            model,
            *(f"{scores[name]:.3f}" for name in sets),
            f"{document['brute_force'][model]:.3f}",
        )
        for model, scores in document["record"].items()
    ]
    mean = document["mean_predictor"]["rmse"]
    rows.append(
        ("(mean of the ratings)", *(f"{document['trivial'][n]:.3f}" for n in sets), f"{mean:.3f}")
    )
    apart, baselines = abs(measured["rmse"] - document["reported"]), document["baselines"]
    best = min(document["brute_force"], key=document["brute_force"].get)
    lines = [
        "## Regression on rated texts, through the command line",
        "",
        "Made by `python benchmarks/regression.py`: texts with the mean valence that people gave",
        f"them (-4 to 4). Record: {len(document['record'])} real text models x {len(sets)} sets;",
        f"the target is a CSV that the record doesn't know. {recipe['epochs']} epochs, learning",
        f"rate {recipe['learning_rate']:g}, {recipe['max_length']} tokens at most. RMSE on the",
        "test rows, lower is better; the last column is brute force, unknown to the selection:",
        "",
        *support.markdown(("model", *sets, f"{TARGET} (target)"), rows),
        "",
        "Clusters: " + "; ".join(", ".join(models) for models in document["clusters"]) + ".",
        "",
        *support.markdown(
            ("recalled", "mean skill", "LogME", "score"),
            [
                (
                    c["model"],
                    f"{c['prior']:.3f}",
                    f"{c['logme']:.3f}" if "logme" in c else "-",
                    f"{c['score']:.3f}",
                )
                for c in document["recalled"]
            ],
        ),
        "",
        f"Handed over: **{document['winner']}** (best by brute force: {best}, regret",
        f"{document['regret_rmse']:.3f} RMSE). Loaded by plain transformers, on the",
        f"{document['test_rows']} test rows:",
        "",
        *support.markdown(
            ("", "RMSE", "MAE", "R2", "Pearson"),
            [
                ("the winner", *(f"{measured[n]:.3f}" for n in ("rmse", "mae", "r2", "pearson"))),
                ("the mean of the test ratings", f"{mean:.3f}", "", "0", ""),
            ],
        ),
        "",
        f"The RMSE in `selection.json` differs by {apart:.1e}.",
        f"Price {document['price']:.2f} ({document['epochs']:g} epochs trained and",
        f"{document['proxy_epochs']:.2f} for LogME); successive halving over all would have cost",
        f"{baselines['halving_all']:.2f}, brute force {baselines['brute_force_all']:.2f}.",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--max-length", type=int, default=32)
    parser.add_argument("--top", type=int, default=3, help="models to recall")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=REAL)
    parser.add_argument("--zoo", type=Path, default=ZOO, help="where build_zoo.py has worked")
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--json", type=Path, default=JSON / "regression.json")
    options = parser.parse_args(arguments)
    recipe = Recipe(
        learning_rate=options.learning_rate,
        epochs=options.epochs,
        global_batch_size=16,
        max_length=options.max_length,
        fractions=(0.5,),
    )
    try:
        document = measure(options.work, options.zoo, recipe, options.top, options.jobs)
    except HfSelectError as error:
        parser.exit(error.exit_code, f"{error.message}\n{error.hint}\n")
    support.publish("regression", page(document), document, options.out, options.json)


if __name__ == "__main__":
    main()
