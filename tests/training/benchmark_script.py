"""What `test_benchmark.py` starts and kills: the missing cells of a catalog."""

import json
import sys
from pathlib import Path

import job_functions

from hf_select.catalog import Catalog
from hf_select.errors import HfSelectError
from hf_select.records import Recipe
from hf_select.results.repo import ResultsRepo
from hf_select.training import benchmark


def main() -> int:
    catalog, results, recipe, options = sys.argv[1:5]
    if "slowly" in sys.argv[5:]:
        benchmark.run_job = job_functions.slowly
    try:
        summary = benchmark.run_benchmark(
            Catalog.load(Path(catalog)),
            ResultsRepo.open_or_create(results),
            Recipe.from_dict(json.loads(recipe)),
            **json.loads(options),
        )
    except HfSelectError as error:
        sys.stderr.write(f"{error.message} ({error.hint})\n")
        return error.exit_code
    sys.stdout.write(json.dumps(vars(summary), default=vars))
    return 0


if __name__ == "__main__":
    sys.exit(main())
