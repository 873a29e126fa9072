"""What `test_scoring.py` starts and kills: the missing proxy scores of a catalog."""

import json
import sys
from pathlib import Path

import job_functions

from hf_select.catalog import Catalog
from hf_select.errors import HfSelectError
from hf_select.results.repo import ResultsRepo
from hf_select.training import scoring


def main() -> int:
    catalog, results, options = sys.argv[1:4]
    if "slowly" in sys.argv[4:]:
        scoring.run_model_job = job_functions.look_slowly
    try:
        summary = scoring.run_scoring(
            Catalog.load(Path(catalog)), ResultsRepo.open_or_create(results), **json.loads(options)
        )
    except HfSelectError as error:
        sys.stderr.write(f"{error.message} ({error.hint})\n")
        return error.exit_code
    sys.stdout.write(json.dumps(vars(summary)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
