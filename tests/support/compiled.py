"""Compile once what every worker, command and server of a run imports, before the tests: `compiled.py [TESTS…]`.

The set-up leaves compiling to the first import, and each of the workers would begin with it at the same time; where
PYTHONDONTWRITEBYTECODE is set, every single process of the run would. What was compiled is read under that variable as
well; this one process is started without it.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys

import pytest
from forked import import_all


def main(words: list[str]) -> int:
    """Import everything, the tests as pytest rewrites them too; pytest's status, and its words where it fails."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", *words])
    if status:
        print(said.getvalue())
    import_all()
    return int(status)


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    sys.exit(main(sys.argv[1:]))
