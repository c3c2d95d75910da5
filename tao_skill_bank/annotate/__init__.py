"""Video reasoning annotation: videos in, captions, descriptions and question-answer pairs with reasoning out.

Every model call goes through a journal, which counts every call, answered or not: a run can be killed at any moment.
Called as a function, the package is `front.annotate`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """The package as programs see it: `tao.annotate(...)`."""

    @property
    def __signature__(self) -> Any:
        import inspect

        return inspect.signature(import_module(f"{__name__}.front").annotate)

    def __call__(self, *args: Any, **named: Any) -> Any:
        return import_module(f"{__name__}.front").annotate(*args, **named)


sys.modules[__name__].__class__ = _Callable
