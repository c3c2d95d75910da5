"""The detached worker of a run: works on it to its end, after whoever started it has gone.

python -m tao_skill_bank.commands.worker RESULTS_DIR [--once]
"""

from __future__ import annotations

import sys
from pathlib import Path

from tao_skill_bank.core.errors import BankError
from tao_skill_bank.core.lifecycle import WORKER
from tao_skill_bank.loop.run import StopRequestedError
from tao_skill_bank.runs import run_loop


def main(results_dir: str, *, once: bool = False) -> int:
    """Run the loop (or its next stage); what went wrong is in the state and, as a line, in the worker's log."""
    try:
        run_loop(Path(results_dir), by=WORKER, once=once)
    except StopRequestedError:
        return 0
    except BankError as error:
        print(error.line(), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], once="--once" in sys.argv[2:]))
