"""The detached worker of a run: `python -m tao_skill_bank.annotate.worker RESULTS/annotation_request.json`."""

from __future__ import annotations

import sys
from pathlib import Path

from tao_skill_bank.annotate.api import Request, run_here
from tao_skill_bank.annotate.holder import WORKER
from tao_skill_bank.core.errors import BankError


def main(path: str) -> int:
    """Run the request; what went wrong is in `status.json` and, as a line, in the log."""
    try:
        run_here(Request.model_validate_json(Path(path).read_bytes()), by=WORKER)
    except BankError as error:
        print(error.line(), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
