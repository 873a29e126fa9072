"""The answer of a selection in the terminal: what it says, and that it fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from report.conftest import make_document
from rich.console import Console

from hf_select.cli.answer import next_steps, predicted_text, short_reason, show_selection
from hf_select.cli.output import Output

LONG = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"


def shown(document: dict[str, Any], out: Path, width: int = 100) -> str:
    """The answer as a terminal of that width shows it."""
    output = Output()
    output.stdout = Console(width=width, highlight=False, soft_wrap=True, no_color=True)
    with output.stdout.capture() as captured:
        show_selection(output, document, out)
    return captured.get()


def finished(**changes: Any) -> dict[str, Any]:
    """A document with sizes, licences and a smaller candidate."""
    document = make_document()
    for k, row in enumerate(document["ranking"]):
        row |= {"num_parameters": 110_000_000 // (k + 1), "license": ("mit", "apache-2.0")[k % 2]}
    document["winner"]["test_error"] = 0.0123
    document["efficiency"] = {
        "alternatives": [{"text": "0.5 points less, 9 times smaller", "candidate": "lab/small"}]
    }
    return {**document, **changes}


def test_it_holds_what_one_needs_to_know(tmp_path: Path) -> None:
    document = finished()
    text = shown(document, tmp_path)
    winner = document["winner"]
    for row in document["ranking"]:
        assert row["candidate"] in text
    assert "110M" in text
    assert "apache-2.0" in text
    assert f"Winner: {winner['candidate']}, accuracy {winner['test']:.3f} ± 0.012 on" in text
    assert f"Price of choosing: {document['price']:.2f} x" in text
    assert f"brute force {document['baselines']['brute_force_all']['price']:.1f} x" in text
    assert "0.5 points less, 9 times smaller: lab/small" in text
    assert f'model="{tmp_path}"' in text
    assert f"hf-select push {tmp_path} --to OWNER/NAME" in text
    assert str(tmp_path / "report.html") in text
    assert "train.py" not in text
    (tmp_path / "train.py").touch()
    assert f"python {tmp_path / 'train.py'}" in shown(document, tmp_path)


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_fits(tmp_path: Path, width: int) -> None:
    document = finished()
    document["ranking"][1] |= {"model": LONG, "candidate": LONG}
    table = shown(document, tmp_path, width).split("predicted:")[0].splitlines()[1:]
    assert all(len(line.rstrip()) <= width for line in table)
    head = table[0]
    for column in ("rank", "model", "size", "licence", "cost"):
        assert column in head
    # Nothing is cut off: the names are all there, over however many lines.
    assert LONG in "".join(part.strip().split(" ")[0] for part in _under(table, "model"))


def _under(table: list[str], column: str) -> list[str]:
    """What stands under a heading, a line each."""
    start = table[0].index(column)
    ends = [i for i in range(start, len(table[0])) if table[0][i : i + 2] == "  "]
    return [line[start : ends[-1]] for line in table[1:]]


def test_one_licence_is_a_line_and_none_is_nothing() -> None:
    document = finished()
    for row in document["ranking"]:
        row["license"] = "mit"
    text = shown(document, Path("chosen"))
    assert "licence of all: mit" in text
    for row in document["ranking"]:
        row["license"] = None
    assert "licence" not in shown(document, Path("chosen"))


def test_models_that_limits_ruled_out_are_counted(tmp_path: Path) -> None:
    document = finished()
    document["funnel"]["excluded"] = 4
    assert "4 more models ruled out by the limits" in shown(document, tmp_path)


def test_a_winner_that_is_no_better_than_nothing_is_told_so(tmp_path: Path) -> None:
    document = finished()
    document["trivial"]["test"] = document["winner"]["test"]
    assert "no better than nothing" in shown(document, tmp_path)


def test_older_documents_are_shown_too(tmp_path: Path) -> None:
    document = make_document()
    for row in document["ranking"]:
        for key in ("num_parameters", "license", "size_bytes", "cost_epochs", "cost_seconds"):
            row.pop(key, None)
    del document["winner"]["test_error"], document["efficiency"]
    assert "Winner: " in shown(document, tmp_path)


def test_numbers_and_reasons_in_short() -> None:
    row = {"predicted": 0.7421, "interval": [0.6399, 0.8441]}
    assert predicted_text(row, "accuracy") == "0.742 (0.64–0.84)"
    assert (
        predicted_text({"predicted": 0.1, "interval": [-0.2, 0.4]}, "r2") == "0.100 (−0.20 to 0.40)"
    )
    assert predicted_text({"predicted": None, "interval": None}, "accuracy") == "–"
    assert predicted_text({"predicted": 12.345, "interval": [10.04, 15.0]}, "rmse").startswith(
        "12.3"
    )
    reason = (
        "At epoch 0.125, with 0.2175 so far, 0.7196 is expected in the end (0.5721 to 0.8671): the "
        "best with 39 %, within 0.5 points of the best with 41 %. Lost to lab/other, of which "
        "0.7419 is expected (0.6400 to 0.8437). That was not worth finding out."
    )
    assert short_reason(reason) == "within 0.5 points of the best with 41 %, lost to lab/other"
    assert short_reason("It diverged.") == "It diverged."


def test_the_lines_of_python_are_python(tmp_path: Path) -> None:
    for task, columns in (
        ("text-classification", ["text"]),
        ("text-regression", ["text", "text_pair"]),
        ("image-classification", ["image"]),
    ):
        document = finished(task=task)
        document["data"]["input_columns"] = columns
        lines = [line[16:] for line in next_steps(document, tmp_path / 'a "b"')[:3]]
        compile("\n".join(lines), "lines", "exec")


def test_the_winner_s_other_scores_are_named(tmp_path: Path) -> None:
    document = finished(task="text-regression", metric="rmse", higher_is_better=False)
    scores = {"rmse": document["winner"]["test"], "mae": 0.25, "r2": 0.4891, "pearson": None}
    document["winner"]["test_metrics"] = scores
    assert "  by other metrics: MAE 0.25, R² 0.489\n" in shown(document, tmp_path)
    document["winner"]["test_metrics"] = {"rmse": 0.3}
    assert "other metrics" not in shown(document, tmp_path)
