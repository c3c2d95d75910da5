"""Arrow arrays from and to numpy and lists, without `pyarrow.array` and `to_numpy`.

Both import pandas as soon as it is installed, which costs half a second: more than the rest of a small analysis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa


def from_numpy(values: npt.NDArray[Any]) -> pa.Array:
    """A float64, float32, int64 or int32 array as an arrow array over the same memory."""
    import pyarrow as pa

    kinds = {"float64": pa.float64(), "float32": pa.float32(), "int64": pa.int64(), "int32": pa.int32()}
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(kinds[values.dtype.name], len(values), [None, pa.py_buffer(values)])


def to_numpy(array: pa.Array) -> npt.NDArray[Any]:
    """The values of a float64, float32, int64 or int32 arrow array without nulls, over the same memory."""
    kind = {"double": np.float64, "float": np.float32, "int64": np.int64, "int32": np.int32}[str(array.type)]
    if not len(array):
        return np.empty(0, dtype=kind)
    whole: npt.NDArray[Any] = np.frombuffer(array.buffers()[1], dtype=kind)
    return whole[array.offset : array.offset + len(array)]


def strings(values: Sequence[str]) -> pa.StringArray:
    """A list of strings as an arrow array; at most 2 GiB of them."""
    import pyarrow as pa

    encoded = [value.encode("utf-8", "surrogatepass") for value in values]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int32)
    np.cumsum([len(e) for e in encoded], out=offsets[1:])
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


def repeated(value: str, count: int) -> pa.StringArray:
    """One string, `count` times."""
    return strings([value]).take(from_numpy(np.zeros(count, dtype=np.int64)))
