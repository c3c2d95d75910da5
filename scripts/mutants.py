"""Change the deciding lines one at a time and see whether the tests near them notice: `make mutants`.

`tests/mutants.toml` names the modules, the tests near them and the mutants that no test can tell from the original,
each with its reason. A process a module collects the tests once; each mutant is a fork of it in which one function has
other byte code, so that every importer sees it, and runs the tests that call that function until one fails. Exit
status 1 where a mutant survives that is not listed, or one is listed that does not survive.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import gc
import json
import os
import signal
import sys
import tempfile
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from mutations import mutants

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tests" / "mutants.toml"
_LONGEST_SEC = 3600


def codes(code: CodeType) -> Iterator[CodeType]:
    """The code objects of a module's functions and methods."""
    for found in code.co_consts:
        if isinstance(found, CodeType):
            yield found
            yield from codes(found)


class Forks:
    """A pytest plugin that runs the collected tests once a mutant, each time in a fork."""

    def __init__(self, path: Path, equivalent: dict[str, str]) -> None:
        self.path, self.equivalent, self.bad = path, equivalent, 0
        self.failed: list[str] = []

    def pytest_collection_finish(self) -> None:
        """The same examples for every mutant, and none shrunk."""
        from hypothesis import Phase, settings

        settings.register_profile(
            "mutants", deadline=None, database=None, derandomize=True, phases=(Phase.explicit, Phase.generate)
        )
        settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A failure anywhere kills."""
        if report.failed:
            self.failed.append(f"{report.nodeid}: {str(report.longrepr).strip()}"[-2000:])

    def pytest_runtestloop(self, session: Any) -> bool:
        """Look who calls what, then change one thing at a time."""
        answer = self._forked(lambda: self._callers(session), _LONGEST_SEC)
        if not answer:
            raise SystemExit(
                f"{self.path}: the tests near it broke off, or did not end within {_LONGEST_SEC} s, as they are"
            )
        told: dict[str, Any] = json.loads(answer)
        if told["failed"]:
            raise SystemExit("\n".join([f"{self.path}: the tests near it fail as they are:", *told["failed"]]))
        called: dict[str, list[list[Any]]] = told["called"]
        tree = ast.parse(self.path.read_text())
        counts: Counter[str] = Counter()
        listed = set(self.equivalent)
        for name, what in mutants(tree):
            tests = sorted(called.get(name, []), key=lambda found: found[1])
            code = compile(ast.fix_missing_locations(copy.deepcopy(tree)), str(self.path), "exec")
            limit = 20 + 5 * sum(seconds for _, seconds in tests)
            chosen = [session.items[at] for at, _ in tests]
            survived = not tests or self._forked(lambda c=code, n=name, t=chosen: self._run(c, n, t), limit) == "passed"
            known = what in listed
            listed.discard(what)
            counts["equivalent" if survived and known else "survived" if survived else "killed"] += 1
            if survived != known:
                self.bad += 1
                print(f"  {'survived' if survived else 'listed, and killed'}: {what}{'' if tests else '  (no test)'}")
        for what in sorted(listed):
            self.bad += 1
            print(f"  listed, and no mutant: {what}")
        print(
            f"{self.path.relative_to(ROOT)}: {sum(counts.values())} mutants, {dict(sorted(counts.items()))}", flush=True
        )
        return True

    def _callers(self, session: Any) -> str:
        """As JSON: the tests that fail; by function, [index of a test that calls it, its seconds]."""
        out: dict[str, list[list[float]]] = {}
        for at, (item, following) in enumerate(_with_next(session.items)):
            names: set[str] = set()

            def look(frame: Any, event: str, _: Any, names: set[str] = names) -> None:
                if event == "call" and frame.f_code.co_filename == str(self.path):
                    names.add(frame.f_code.co_qualname.split(".<locals>")[0])

            began = time.monotonic()
            threading.setprofile(look)
            sys.setprofile(look)
            self._test(item, following)
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]
            for name in names:
                out.setdefault(name, []).append([at, time.monotonic() - began])
        return json.dumps({"failed": self.failed, "called": out})

    def _run(self, code: CodeType, name: str, items: list[Any]) -> str:
        new = next(c for c in codes(code) if c.co_qualname == name)
        for function in [f for f in gc.get_objects() if isinstance(f, FunctionType)]:
            if function.__code__.co_filename == str(self.path) and function.__code__.co_qualname == name:
                function.__code__ = new
        for item, following in _with_next(items):
            self._test(item, following)
            if self.failed:
                return "failed"
        return "passed"

    @staticmethod
    def _test(item: Any, following: Any) -> None:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)

    @staticmethod
    def _forked(work: Any, seconds: float) -> str:
        """What `work` returns in a fork of this process; empty where it raises or does not end in time."""
        with tempfile.TemporaryFile("w+") as answer, open(os.devnull, "w") as nowhere:
            if not (pid := os.fork()):
                with contextlib.suppress(BaseException):
                    os.setpgid(0, 0)
                    os.dup2(nowhere.fileno(), 1)
                    os.dup2(nowhere.fileno(), 2)
                    answer.write(work())
                    answer.flush()
                os._exit(0)
            limit = time.monotonic() + seconds
            while os.waitpid(pid, os.WNOHANG)[0] == 0:
                if time.monotonic() > limit:
                    os.killpg(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                    return ""
                time.sleep(0.005)
            answer.seek(0)
            return answer.read()


def _with_next(items: list[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(items, [*items[1:], None], strict=True)


def run_module(path: Path, tests: list[str], equivalent: dict[str, str]) -> int:
    """Every mutant of one module; the number of lines that want a person."""
    import pytest

    plugin = Forks(path, equivalent)
    with tempfile.TemporaryDirectory() as folder:
        # A limit of time for one test is this file's own: with every call looked at, beside others, one is slow.
        options = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--capture=no", "-m", "not slow", "--timeout=0"]
        own = [f"--basetemp={folder}/t", "--no-header"]
        status = pytest.main([*options, *own, *(str(ROOT / test) for test in tests)], plugins=[plugin])
    return plugin.bad or int(status not in (0, 5))


def main(wanted: list[str]) -> int:
    """All modules of the list, or those whose path holds one of the words given."""
    bad = 0
    for name, entry in tomllib.loads(LIST.read_text()).items():
        if wanted and not any(word in name for word in wanted):
            continue
        sys.stdout.flush()
        if not (pid := os.fork()):
            os._exit(min(99, run_module(ROOT / name, entry["tests"], entry.get("equivalent", {}))))
        bad += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
