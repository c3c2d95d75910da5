"""Every reader of the project, with files to begin from and ways to spoil them.

A reader may take a file or refuse it with an error of the project in one line. Anything else (a traceback, five
seconds, a gigabyte, a file that appears) is a fault.

    python tests/fuzz/readers.py [READER …] [--inputs N] [--seed N]
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parent / "support"), str(HERE)]

import tool_arguments  # noqa: E402

from tao_skill_bank.core.errors import BankError  # noqa: E402

LIMIT_SEC = 5.0
LIMIT_BYTES = 1 << 30
HOSTILE = [
    b"",
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r\n",
    b'"',
    b"'",
    b",",
    b"{",
    b"[" * 50,
    b"]}",
    b": ",
    b"- ",
    b"NaN",
    b"Infinity",
    b"1e999",
    b"-0",
    b"99999999999999999999",
    b"null",
    b"true",
    b"../../etc/passwd",
    b"/",
    b"%s%n",
    b"\\u0000",
    b"\\ud800",
    "\u202e\u2066🙂".encode(),
    b"&a [*a]",
    b"!!python/object/apply:os.system ['true']",
    b"<<: *a",
    b"${oc.env:HOME}",
    b"{{7*7}}",
    b"</script>",
]


class TooSlowError(Exception):
    """A reader took longer than the limit."""


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        name: What it is called.
        file: The file's name in its folder.
        read: Reads the file.
        seeds: Contents to begin from: good ones, and ones made to hurt.
        prepare: What is done once before the clock runs.
    """

    name: str
    file: str
    read: Callable[[Path], object]
    seeds: Sequence[bytes]
    prepare: Callable[[], object] = tuple


@dataclass(frozen=True)
class Fault:
    """What a reader did that it must not."""

    reader: str
    number: int
    what: str
    data: bytes


def spoil(seeds: Sequence[bytes], rng: random.Random) -> bytes:
    """One of the seeds with a few random changes: bytes flipped, cut, doubled, moved, replaced by something hostile."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 6)):
        at = rng.randint(0, len(data))
        end = min(len(data), at + rng.choice((1, 2, 4, 16, 256)))
        kind = rng.randrange(7)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at:end]
        elif kind == 2:
            data[at:at] = data[at:end] * rng.randint(1, 4)
        elif kind == 3:
            data[at:end] = rng.choice(HOSTILE)
        elif kind == 4:
            data[at:at] = rng.choice(HOSTILE)
        elif kind == 5:
            other = rng.choice(seeds)
            cut = rng.randint(0, len(other))
            data[at:end] = other[cut : cut + 64]
        else:
            data[at:end] = bytes(rng.randrange(256) for _ in range(end - at))
    return bytes(data)


def fuzz(reader: Reader, inputs: int, seed: int, folder: Path) -> list[Fault]:
    """Give a reader its seeds as they are, then spoiled ones; the faults.

    Args:
        reader: Which.
        inputs: How many in all.
        seed: Decides every input.
        folder: An empty folder; the file is the only thing in it before and after.
    """
    rng = random.Random(f"{seed} {reader.name}")
    path = folder / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {p for p in folder.rglob("*") if p.is_file()} | {path}
    faults: list[Fault] = []
    reader.prepare()
    earlier = signal.signal(signal.SIGALRM, _too_slow)
    try:
        for number in range(inputs):
            data = reader.seeds[number] if number < len(reader.seeds) else spoil(reader.seeds, rng)
            path.write_bytes(data)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if (what := _tried(reader, path)) is not None:
                faults.append(Fault(reader.name, number, what, data[:200]))
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if (after - before) * 1024 > LIMIT_BYTES:
                faults.append(Fault(reader.name, number, f"took {(after - before) >> 10} MiB", data[:200]))
            found = {p for p in folder.rglob("*") if p.is_file()}
            if found != kept:
                faults.append(Fault(reader.name, number, f"left {sorted(found ^ kept)[:2]}", data[:200]))
                for extra in found - kept:
                    extra.unlink()
    finally:
        signal.signal(signal.SIGALRM, earlier)
    return faults


def _tried(reader: Reader, path: Path) -> str | None:
    began = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, LIMIT_SEC)
    try:
        reader.read(path)
    except BankError as error:
        if "\n" in error.line():
            return f"an error of several lines: {error.line()[:120]!r}"
    except TooSlowError:
        return f"took longer than {LIMIT_SEC} s"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:400]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    took = time.monotonic() - began
    return f"took {took:.1f} s" if took > LIMIT_SEC else None


def _too_slow(_signal: int, _frame: FrameType | None) -> None:
    raise TooSlowError


# -- the readers -------------------------------------------------------------------------------------------------------


def readers() -> list[Reader]:
    """All of them."""

    from tao_skill_bank.actions.gap_analysis.config import VlmBcqConfig
    from tao_skill_bank.actions.gap_analysis.vcn_read import read_image_names, read_inference
    from tao_skill_bank.actions.mining.tables import ImageTable
    from tao_skill_bank.actions.visual_changenet.checkpoint import load
    from tao_skill_bank.annotate.listing import read_rows
    from tao_skill_bank.annotate.parse import json_value, parse_label, parse_moment, parse_questions, parse_suitable
    from tao_skill_bank.annotate.prices import load_prices
    from tao_skill_bank.annotate.video import probe
    from tao_skill_bank.bank.skills import load_skill, skill_faults
    from tao_skill_bank.bank.transcripts import read_usage
    from tao_skill_bank.bank.versions import load_versions
    from tao_skill_bank.data.changenet.spec import classify_spec, load_spec, spec_faults
    from tao_skill_bank.data.changenet.tables import read_pairs
    from tao_skill_bank.data.pictures.decode import bomb_warnings_as_errors, load_rgb
    from tao_skill_bank.data.vlm.evaluation import Evaluation
    from tao_skill_bank.loop.log import read_log, read_tail
    from tao_skill_bank.platforms.base import read_records
    from tao_skill_bank.tasks.changenet.generator import read_defect_spec
    from tao_skill_bank.tasks.changenet.routing import route_gaps
    from tao_skill_bank.tasks.registry import load_state

    assert VlmBcqConfig is not None
    pairs = b"input_path,golden_path,label,object_name\na/,g/,PASS,C1\na/,g/,bridge,C2\n"
    scores = b"input_path,golden_path,label,object_name,siamese_score\na/,g/,PASS,C1,0.25\na/,g/,bridge,C2,0.75\n"
    spec = (
        b"task: classify\ntrain: {num_epochs: 1, classify: {loss: ce}}\nmodel:\n"
        b"  backbone: {type: fan_tiny_8_p4_hybrid}"
        b"\n  classify: {difference_module: learnable}\ndataset:\n  classify:\n    image_ext: .png\n"
        b"    input_map: {SolderLight: 0}\n    num_input: 1\n    concat_type: linear\n    batch_size: 4\n"
    )
    aliases = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (c, c, b", ".join([b"*%c" % (c - 1)] * 9)) for c in range(ord("b"), ord("j"))
    )
    item = {"id": "1", "video_id": "v.mp4", "question": "Is it?", "gt": "Yes", "prediction": "no", "answer": "no"}
    array = json.dumps([item, item]).encode()
    line = {
        "seq": 1,
        "ts": "2026-01-01T00:00:00.000000Z",
        "iter": "baseline",
        "stage": "train",
        "status": "ok",
        "summary": "x",
        "duration_sec": 1,
    }
    transcript = {
        "type": "assistant",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "message": {"id": "m", "model": "x", "usage": {"input_tokens": 1, "output_tokens": 2}},
    }
    skill = (
        b"---\nname: some-skill\ndescription: Does a thing. Use when asked.\nmetadata:\n  version: '1'\n---\n\n# A\n"
    )
    versions = b"images:\n  tao_toolkit:\n    pyt: r/x:1\ndigests: {}\n"
    defects = b'{"defect_type": "PCB+bridge", "spatial_dependency": "free"}\n'
    deep = b"[" * 10_000
    nested = b"a: " + b"{a: " * 1000
    long_line = b'{"a": "' + b"x" * (1 << 18) + b'"}\n'

    def image(path: Path) -> None:
        with bomb_warnings_as_errors():
            load_rgb(path, (64, 64))

    def changenet_spec(path: Path) -> None:
        loaded = load_spec(path)
        spec_faults(loaded)
        classify_spec(loaded, path)

    def predictions(path: Path) -> None:
        for _ in Evaluation(path).samples():
            pass

    def model_output(path: Path) -> None:
        text = path.read_bytes().decode("utf-8", "replace")
        json_value(text)
        parse_questions(text)
        parse_suitable(text)
        parse_label(text)
        parse_moment(text)

    def skill_text(path: Path) -> None:
        skill_faults(load_skill(path.parent))

    def log(path: Path) -> None:
        read_tail(path)
        read_log(path)

    def embeddings(path: Path) -> None:
        table = ImageTable(path)
        list(table.vectors())
        table.filepaths()

    def gaps(path: Path) -> None:
        with tempfile.TemporaryDirectory() as out:
            route_gaps(path, Path(out) / "routed", generator_labels=["BRIDGE"])

    return [
        Reader("pairs CSV", "set.csv", read_pairs, [pairs, pairs.replace(b",", b'","'), pairs * 500, b"\n" * 9]),
        Reader("inference CSV", "inf/inference.csv", lambda p: read_inference(p.parent), [scores, scores * 300]),
        Reader("spec YAML", "spec.yaml", changenet_spec, [spec, aliases, spec + aliases, nested]),
        Reader("training config", "train.yaml", read_image_names, [spec, aliases, nested]),
        Reader("predictions JSON", "p.json", predictions, [array, json.dumps([item] * 400, indent=1).encode(), deep]),
        Reader("predictions JSON Lines", "p.jsonl", predictions, [json.dumps(item).encode() + b"\n", long_line]),
        Reader("predictions gzip", "p.json.gz", predictions, [gzip.compress(array), gzip.compress(b" " * (1 << 21))]),
        Reader("loop log", "loop_log.jsonl", log, [json.dumps(line).encode() + b"\n", long_line, deep]),
        Reader("state", "deft_state.json", lambda p: load_state(p.parent), [_state(), deep, long_line]),
        Reader("job record", "jobs/a-0123456789ab.json", lambda p: read_records(p.parent.parent), [_job(), deep]),
        Reader(
            "transcript", "t.jsonl", lambda p: read_usage([p]), [json.dumps(transcript).encode() + b"\n", long_line]
        ),
        Reader("skill", "some-skill/SKILL.md", skill_text, [skill, skill.replace(b"name", b"nam"), b"---\n" + aliases]),
        Reader("versions", "versions.yaml", lambda p: load_versions(p.parent), [versions, aliases, nested]),
        Reader("defect spec", "defect_spec.jsonl", read_defect_spec, [defects, deep, long_line]),
        Reader(
            "annotation rows", "rows.jsonl", lambda p: list(read_rows(p)), [b'{"video_id": "v"}\n', deep, long_line]
        ),
        Reader(
            "prices", "prices.yaml", load_prices, [b"dated: 2026-01-01\nmodels:\n  x: {input: 1, output: 2}\n", aliases]
        ),
        Reader("model output", "answer.txt", model_output, _outputs()),
        Reader("weak samples parquet", "gaps.parquet", gaps, _parquets()),
        Reader("embeddings parquet", "e.parquet", embeddings, _parquets()),
        Reader("image", "i.png", image, _images()),
        Reader("video", "v.mp4", probe, _videos()),
        Reader("checkpoint", "model.pth", load, _checkpoints()),
        Reader("tool arguments", "call", tool_arguments.call_with, tool_arguments.SEEDS, tool_arguments.surface),
    ]


def _state() -> bytes:
    keys = ("specs_file", "training_csv", "validation_csv", "kpi_test_csv", "images_dir")
    config = {"workspace": "/w", **dict.fromkeys(keys, "/w/x")}
    values = {
        "started_at": "2026-01-01T00:00:00.000000Z",
        "kpi_target": "FAR < 1% at recall=99%",
        "results_dir": "/w/r",
    }
    return json.dumps({"version": 3, **values, "max_iterations": 2, "config": config}).encode()


def _job() -> bytes:
    from tao_skill_bank.platforms.base import new_record

    record = new_record(key="a", platform="local", command=["x"], outputs=[], cwd=Path("/"), results_dir=Path("/r"))
    return record.model_dump_json().encode()


def _outputs() -> list[bytes]:
    return [
        b'[{"question": "What?", "choices": {"A": "x", "B": "y"}, "answer": "A", "reasoning": "because"}]',
        b"Q1: What?\nA. x\nB. y\nAnswer: B\nReasoning: since\n",
        b"<think>" * 3000,
        b"{" * 50_000,
        b"Suitable: yes\nTime: 00:01:02.5",
        b"```json\n" + b'{"a": [' * 2000,
        b"A) " * 20_000,
    ]


def _parquets() -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = []
    for table in (
        pa.table({"filepath": ["a.png", "b.png"], "label": ["PASS", "bridge"], "weakness": [0.1, 0.2]}),
        pa.table({"filepath": ["a.png"] * 50, "embedding": [[0.5, 0.5, 0.25]] * 50, "label": ["bridge"] * 50}),
        pa.table({"filepath": [None, "b"], "embedding": [[1.0], [1.0, 2.0]]}),
        pa.table({"label": [1, 2]}),
    ):
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        out.append(buffer.getvalue())
    return out


def _images() -> list[bytes]:
    from PIL import Image

    out = []
    for kind, mode in (("PNG", "RGB"), ("JPEG", "RGB"), ("BMP", "L"), ("TIFF", "I;16"), ("WEBP", "RGBA"), ("GIF", "P")):
        buffer = io.BytesIO()
        Image.new(mode, (40, 30), 7 if mode in ("L", "P", "I;16") else None).save(buffer, kind)
        out.append(buffer.getvalue())
    # 65,000 x 65,000 pixels that say so, and that really unpack.
    for pixels in (b"", zlib.compress(b"\x00" * (1 << 24), 9)):
        head = struct.pack(">IIBBBBB", 65_000, 65_000, 8, 2, 0, 0, 0)
        out.append(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b""))
    return out


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _videos() -> list[bytes]:
    from videos import make_video

    with tempfile.TemporaryDirectory() as folder:
        return [make_video(Path(folder) / "v.mp4", seconds=0.5, fps=4).read_bytes(), b"RIFF\x00\x00\x00\x00AVI LIST"]


def _checkpoints() -> list[bytes]:
    from tao_skill_bank.actions.visual_changenet.checkpoint import Trained, save
    from tao_skill_bank.actions.visual_changenet.network import Architecture, Network

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.pth"
        architecture = Architecture(3)
        trained = Trained(epoch=1, step=1, rows=1, seed=1, batch_size=1, continued_from=None)
        save(path, Network(architecture, seed=1), ["SolderLight"], trained)
        return [path.read_bytes(), b"\x80\x04}\x94\x8c\nstate_dict\x94]\x94s.", b"PK\x03\x04" + b"\x00" * 64]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*")
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    failed = False
    for reader in readers():
        if given.readers and reader.name not in given.readers:
            continue
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            began = time.monotonic()
            faults = fuzz(reader, given.inputs, given.seed, Path(folder))
        failed = failed or bool(faults)
        print(
            f"{reader.name}: {given.inputs} inputs, {len(faults)} faults, {time.monotonic() - began:.0f} s", flush=True
        )
        for fault in faults[:12]:
            print(f"  input {fault.number}: {fault.what}: {fault.data[:100]!r}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
