"""The detached worker of a run. What it does comes through its standard input, sealed; it reads no request from a path.

`python -m tao_skill_bank.annotate.worker < SEALED`, or for a shard that starts later, on another machine:
`python -m tao_skill_bank.annotate.worker RESULTS/annotation_request.json DIGEST`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tao_skill_bank.annotate.api import run_here
from tao_skill_bank.annotate.sealed import Sealed
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.core.lifecycle import WORKER


def main(words: list[str]) -> int:
    """Run what was sealed; what went wrong is in `status.json` and, as a line, in the log."""
    try:
        if words:
            run_here(Sealed.loads(guard.read_bytes(Path(words[0]))), approve=words[1], by=WORKER)
        else:
            run_here(Sealed.loads(sys.stdin.buffer.read()), by=WORKER)
    except BankError as error:
        print(error.line(), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
