"""No test changes anything for the next one: what a process shares is looked at after every test.

Looked at are variables, the working folder, `sys.path`, the handlers of signals, and every name of the project's
modules and classes and of the modules that tests replace things in. What a test changes goes back by `monkeypatch`, by
`with patch(...)`, or stays in a process of its own. What a module loads on first use belongs in a `functools.cache`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from operator import is_
from types import ModuleType
from typing import Any

import pytest

OWN = ("tao_skill_bank", "mcp_server")
BORROWED = ("io", "json", "pathlib", "random", "shutil", "socket", "subprocess", "tempfile", "time", "urllib")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1)
NOT_OURS = ("PYTEST_CURRENT_TEST", "KMP_DUPLICATE_LIB_OK", "TAO_CACHE_DIR")
"""Variables that pytest keeps, that a library sets for itself when it is imported, that hold for the session."""

Names = dict[str, Any]


def process() -> Names:
    """What belongs to the process itself."""
    found: Names = {f"os.environ[{k!r}]": v for k, v in os.environ.items() if k not in NOT_OURS}
    found["the working folder"], found["sys.path"] = os.getcwd(), tuple(sys.path)
    found["the time-out of sockets"] = socket.getdefaulttimeout()
    return found | {f"the handler of {which.name}": signal.getsignal(which) for which in SIGNALS}


class Shared:
    """What a process shares between its tests, as it was when it was last looked at."""

    def __init__(self) -> None:
        tempfile.gettempdir()  # the library keeps it from its first use on, whoever that is
        self._process = process()
        self._modules = 0
        # Name → (what is looked at, as it was).
        self._spaces: dict[str, tuple[Any, Names]] = {}
        self._take_in()

    def changes(self) -> list[str]:
        """The names that stand for something else than before. They are known from now on, and so are new modules."""
        found: list[str] = []
        for name, (space, before) in self._spaces.items():
            if len(before) != len(space) or not all(map(is_, before.values(), space.values())):
                # The standard library keeps caches of its own under private names.
                hidden = ("__", "_abc_") if name.startswith(OWN) else "_"
                found += [f"{name}.{key}" for key in _other(before, space) if not key.startswith(hidden)]
                self._spaces[name] = space, dict(space)
        now = process()
        found += [key for key in now.keys() | self._process.keys() if now.get(key) != self._process.get(key)]
        self._process = now
        if found or self._modules != len(sys.modules):
            self._take_in()
        return sorted(found)

    def _take_in(self) -> None:
        self._modules = len(sys.modules)
        for name, module in list(sys.modules.items()):
            top = name.partition(".")[0]
            if module is None or top not in (*OWN, *BORROWED):
                continue
            self._spaces.setdefault(name, (vars(module), dict(vars(module))))
            for value in list(vars(module).values()) if top in OWN else ():
                if isinstance(value, type) and value.__module__ == name:
                    self._spaces.setdefault(f"{name}.{value.__qualname__}", (vars(value), dict(vars(value))))


def _other(before: Names, now: Any) -> list[str]:
    """Keys whose values differ, but for the modules of a package. Made anew and equal is the same."""
    differ = []
    for key in before.keys() | now.keys():
        one, other = before.get(key, now), now.get(key, before)
        if one is not other and not (isinstance(one, str | int | tuple) and one == other):
            differ.append(key)
    return [key for key in differ if not isinstance(now.get(key), ModuleType)]


_shared = pytest.StashKey[Shared]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Look once, before the first test and its fixtures."""
    if _shared not in item.config.stash:
        item.config.stash[_shared] = Shared()
    yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Look again when the last fixture of the test is gone."""
    yield
    if found := item.config.stash[_shared].changes():
        pytest.fail(f"changed for the tests that follow: {', '.join(found[:8])}", pytrace=False)
