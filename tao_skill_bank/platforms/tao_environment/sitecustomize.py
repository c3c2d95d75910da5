"""Lets the published TAO Visual ChangeNet start without a GPU. Loaded by Python itself, in TAO's own environment only.

Nothing of TAO is changed. What has no CPU form is stood in for: the closed `eff` library (empty modules), the
registration of torchvision's compiled operators (left out), and the accelerator (one CPU device). With
`TAO_STAND_INS=cuda` only the first: the others are there.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Callable
from typing import Any


class _Nothing:
    def __init__(self, *_: Any, **__: Any) -> None:
        pass


class _Closed(types.ModuleType):
    """A module of a library that is on no public index: every name in it is an empty class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing


def _without_compiled_operators(load: Callable[[types.ModuleType], None], module: types.ModuleType) -> None:
    from torch import library

    genuine = library.register_fake

    def register(name: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(name, str) and name.partition("::")[0] == "torchvision":
            return lambda function: function
        return genuine(name, *args, **kwargs)

    library.register_fake = register
    load(module)
    library.register_fake = genuine


def _on_one_cpu(load: Callable[[types.ModuleType], None], module: types.ModuleType) -> None:
    from torch import ops

    load(module)
    genuine = module.Trainer.__init__

    def init(trainer: Any, *args: Any, **kwargs: Any) -> None:
        kwargs.update(accelerator="cpu", devices=1)
        genuine(trainer, *args, **kwargs)

    module.Trainer.__init__ = init
    # TAO's compiled deformable attention is for CUDA; without it its plain PyTorch form runs.
    ops.load_library = lambda *_args, **_kwargs: None


_ON_CPU = os.environ.get("TAO_STAND_INS") == "cpu"
_AROUND = {"torchvision": _without_compiled_operators, "pytorch_lightning": _on_one_cpu} if _ON_CPU else {}


class _Loader(importlib.abc.Loader):
    def __init__(self, genuine: Any, around: Callable[..., None]) -> None:
        self.genuine = genuine
        self.around = around

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        found: types.ModuleType | None = self.genuine.create_module(spec)
        return found

    def exec_module(self, module: types.ModuleType) -> None:
        self.around(self.genuine.exec_module, module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.genuine, name)


class _ClosedLoader(importlib.abc.Loader):
    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Closed(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self) -> None:
        self.looking: set[str] = set()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name == "eff" or name.startswith("eff."):
            return importlib.machinery.ModuleSpec(name, _ClosedLoader(), is_package=True)
        if name not in _AROUND or name in self.looking:
            return None
        self.looking.add(name)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            spec.loader = _Loader(spec.loader, _AROUND[name])
        return spec


sys.meta_path.insert(0, _Finder())
