"""Inputs that are small or plain on disk and large in memory, one reader each, tried in a process of its own.

    python tests/fuzz/bombs.py [NAME …]

A reader has five seconds of CPU and a gigabyte above what it has imported; it reads the file or refuses it in a line.
"""

from __future__ import annotations

import contextlib
import gzip
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parent / "support"), str(HERE)]

from readers import LIMIT_BYTES, LIMIT_SEC, Reader, readers  # noqa: E402

HUNDRED = 100 << 20


def bombs() -> dict[str, tuple[str, Callable[[Path], None]]]:
    """Name → (reader, what writes the file)."""
    line = {
        "a line of 100 MB of text": b'{"a": "' + b"x" * 1023,
        "a line of 100 MB of brackets": b"[" * 1024,
        "a line of 100 MB of commas": b"," * 1024,
    }
    texts = (
        *("pairs CSV", "inference CSV", "spec YAML", "training config", "predictions JSON", "predictions JSON Lines"),
        *("loop log", "state", "job record", "transcript", "skill", "versions", "defect spec", "annotation rows"),
        *("prices", "model output"),
    )
    found: dict[str, tuple[str, Callable[[Path], None]]] = {}
    for reader in texts:
        for name, block in line.items():
            found[f"{reader}: {name}"] = (reader, lambda path, block=block: _repeated(path, block))  # type: ignore[misc]
    found["predictions gzip: 4 GiB of blanks"] = ("predictions gzip", _gzip)
    found["predictions gzip: 16 GiB of blanks in zstd"] = ("predictions gzip", _zstd)
    for reader in ("weak samples parquet", "embeddings parquet"):
        found[f"{reader}: 300 million equal rows"] = (reader, lambda path: _rows(path, "x", 300_000_000))
        found[f"{reader}: a million texts of 1 MB"] = (reader, lambda path: _rows(path, "x" * (1 << 20), 1_000_000))
    found["embeddings parquet: a vector of 500 million"] = ("embeddings parquet", _vector)
    return found


def tried(reader: Reader, path: Path) -> tuple[str, float, int]:
    """(how it ended, seconds of CPU, bytes above the start) of one reader on one file, in a child of its own."""
    here, there = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_try, args=(reader, path, there))
    child.start()
    there.close()
    try:
        answer: tuple[str, float, int] = here.recv()
    except EOFError:
        answer = ("killed: more than the limit of CPU or memory", 0.0, 0)
    child.join()
    return answer


def _try(reader: Reader, path: Path, out: object) -> None:
    from tao_skill_bank.core.errors import BankError

    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + 4 * LIMIT_BYTES,) * 2)
    began = time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (int(began + 3 * LIMIT_SEC),) * 2)
    before = _resident()
    try:
        reader.read(path)
        how = "read"
    except BankError as error:
        how = f"refused: {error.line()[:160]}" if "\n" not in error.line() else f"lines: {error.line()[:160]!r}"
    except BaseException as error:
        how = f"{type(error).__name__}: {str(error)[:160]}"
    spent = time.process_time() - began
    out.send((how, spent, _peak() - before))  # type: ignore[attr-defined]


def _resident() -> int:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _peak() -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) << 10 for x in status if x.startswith("VmHWM"))


def _repeated(path: Path, block: bytes) -> None:
    with path.open("wb") as handle:
        for _ in range(HUNDRED // len(block)):
            handle.write(block)


def _gzip(path: Path) -> None:
    """A gigabyte of blanks is a member of a megabyte; four of them."""
    member = gzip.compress(b" " * (1 << 28), 9)
    path.write_bytes(member * 16)


def _zstd(path: Path) -> None:
    import pyarrow as pa

    path.write_bytes(pa.Codec("zstd", compression_level=19).compress(b" " * (1 << 28), asbytes=True) * 64)


def _rows(path: Path, text: str, rows: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    step = 10_000_000 if len(text) < 100 else 50_000
    column = pa.DictionaryArray.from_arrays(pa.nulls(step, pa.int32()).fill_null(0), pa.array([text]))
    table = pa.table({"filepath": column, "label": column})
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for _ in range(rows // step):
            writer.write_table(table, row_group_size=step)


def _vector(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    width = 50_000_000
    values = pa.nulls(width, pa.float32()).fill_null(0.5)
    vector = pa.ListArray.from_arrays(pa.array([0, width], pa.int32()), values)
    table = pa.table({"filepath": ["a"], "embedding": vector})
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for _ in range(10):
            writer.write_table(table)


def fault_of(answer: tuple[str, float, int]) -> str | None:
    """Why that is not good enough."""
    how, seconds, memory = answer
    if not how.startswith(("read", "refused")):
        return how
    if seconds > LIMIT_SEC:
        return f"{how} in {seconds:.1f} s"
    return f"{how} with {memory >> 20} MiB" if memory > LIMIT_BYTES else None


def main() -> int:
    known = {reader.name: reader for reader in readers() if reader.name != "tool arguments"}
    bad = 0
    for name, (reader, write) in bombs().items():
        if len(sys.argv) > 1 and not any(word in name for word in sys.argv[1:]):
            continue
        with tempfile.TemporaryDirectory(prefix="bomb-") as folder:
            path = Path(folder) / known[reader].file
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path)
            size = path.stat().st_size
            answer = tried(known[reader], path)
        fault = fault_of(answer)
        bad += fault is not None
        print(
            f"{'FAULT' if fault else 'ok   '} {name} ({size >> 10} KiB): {answer[0]}; "
            f"{answer[1]:.1f} s, {answer[2] >> 20} MiB",
            flush=True,
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
