"""What can be a target, and what can be a record, in Python."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from hf_select.errors import DataError
from hf_select.locations import demo_folder
from hf_select.results.repo import ResultsRepo
from hf_select.tasks.data import TargetData

if TYPE_CHECKING:
    import datasets
    import pandas as pd

Target = Union[str, Path, "pd.DataFrame", "datasets.Dataset", "datasets.DatasetDict", TargetData]
"""A file, a folder or a Hub id, as at the command line; or rows that are in memory."""

Results = Union[str, Path, ResultsRepo]  # noqa: UP007
"""A folder, a dataset of the Hub (OWNER/NAME[@REVISION]), the word `demo`, or an open record."""

IN_MEMORY = "data"
"""What rows that came without a name are called."""


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that were stated."""
    return {name: value for name, value in options.items() if value is not None}


def where(results: Results) -> str | Path:
    """The record as the pipeline names it: the shipped one is `demo`, with models beside it."""
    if not isinstance(results, ResultsRepo):
        return results
    return "demo" if results.path == demo_folder() / "results" else results.path


@contextmanager
def target_of(target: Target, options: Mapping[str, Any]) -> Iterator[TargetData]:
    """The target, read and checked, for as long as the block runs.

    Rows in memory are read as a `save_to_disk` folder would be, so that whatever the source the
    same rows are the same target: a temporary folder holds them while the block runs. Raises
    `DataError` for rows that can't be used, and what `load_target` raises.
    """
    from hf_select.pipeline import as_target

    if isinstance(target, str | Path | TargetData):
        yield as_target(target, options)
        return
    rows_given = _as_dataset(target)
    _check_rows(rows_given)
    with tempfile.TemporaryDirectory(prefix="hf-select-", ignore_cleanup_errors=True) as folder:
        rows = Path(folder) / IN_MEMORY
        with _no_bars():
            rows_given.save_to_disk(rows)
        yield as_target(rows, options)


def _as_dataset(target: Any) -> Any:
    """A `Dataset` or `DatasetDict` as it is; a pandas table as one."""
    import datasets

    if isinstance(target, datasets.Dataset | datasets.DatasetDict):
        return target
    if not (hasattr(target, "columns") and hasattr(target, "to_dict")):
        raise DataError(
            f"a target is a path, a Hub id, a pandas DataFrame, a Dataset or a DatasetDict, but "
            f"this is a {type(target).__name__}"
        )
    table = target.copy()
    for name in table.columns:
        if str(table[name].dtype) == "category":  # as the texts or numbers that it stands for
            table[name] = table[name].astype(table[name].cat.categories.dtype)
    table.columns = [str(name) for name in table.columns]
    try:
        return datasets.Dataset.from_pandas(table, preserve_index=False)
    except (ValueError, TypeError) as error:  # pyarrow's errors are among these
        raise DataError(
            f"the table can't be read: {error}",
            hint="a column must hold values of one kind: texts, or numbers",
        ) from error


def _check_rows(given: Any) -> None:
    """`DataError` for a table without rows, which `datasets` can't read again once written."""
    tables = given if isinstance(given, dict) else {"": given}
    for split, table in tables.items():
        if not table.num_rows:
            where = f"the {split} split" if split else "the table"
            raise DataError(
                f"{where} is empty: no rows",
                hint="it needs rows, and columns such as text and label",
            )


@contextmanager
def _no_bars() -> Iterator[None]:
    """The progress bars of `datasets` off inside; as they were after."""
    import datasets

    if datasets.are_progress_bars_disabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()
