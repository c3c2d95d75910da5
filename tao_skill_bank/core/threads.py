"""Threads: those of numeric libraries held to one, and those of ours held to the roots of whoever gives them work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
# One thread a library: results must not depend on how many cores are free.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
SINGLE_THREAD = dict.fromkeys(_THREAD_VARIABLES, "1")
# Which kernels the arithmetic uses, and how it blocks: another choice elsewhere gives other last digits than here.
_KERNELS = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "MKL_CBWR",
)


def kernels(environment: Mapping[str, str]) -> dict[str, str]:
    """Those variables that are set: handed to jobs that do not inherit them, so that every file comes out the same."""
    return {name: environment[name] for name in _KERNELS if environment.get(name)}


class ThreadPool(ThreadPoolExecutor):
    """Threads that do each piece of work in the context of whoever handed it in: the same roots hold (`core.guard`)."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As `ThreadPoolExecutor.submit`."""
        context: Callable[..., Any] = copy_context().run
        return super().submit(context, fn, *args, **kwargs)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread: how it splits a sum would change the last bits."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
