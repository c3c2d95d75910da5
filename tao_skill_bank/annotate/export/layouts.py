"""The six layouts: how the records of a split stand on disk for the trainers that read them."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tarfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from tao_skill_bank.annotate.export.items import Answers, Media, Options, Record
from tao_skill_bank.annotate.output import FORMAT
from tao_skill_bank.annotate.questions import TASKS
from tao_skill_bank.annotate.video import average_rate
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import CHUNK

FOLDER = "videos"
_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")
_KEY = re.compile(r"[^a-z0-9_-]+")
_DIGITS = 8
_BLOCK = 512
_MOST_VIDEOS, _MOST_BYTES = 1000, 1 << 30
HF_SPLITS = {"train": "train", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Job:
    """What is written.

    Attributes:
        at: The folder that is being written. `final`: where it will stand, absolute.
        splits: Split → its records.
        tags: For the head of TAO's files.
    """

    at: Path
    final: Path
    name: str
    splits: Mapping[str, Sequence[Record]]
    videos: Videos
    options: Options
    root: Path | None
    date: str
    license: str
    description_extra: str
    tags: Sequence[str] = ()


def write_tao(job: Job) -> None:
    """`SPLIT/TASK.json` in the envelope `tao-vl-reason-v1.0`."""
    for split, records in job.splits.items():
        folder = job.at / split
        own = job.videos.how != "reference"
        for task in TASKS:
            items = [
                {
                    "video_id": f"{FOLDER}/{job.videos.name(r.video)}" if own else r.video_id,
                    "question": r.question,
                    "answer": r.answer,
                    "reasoning": r.reasoning,
                    "item_index": r.id,
                }
                for r in records
                if r.task == task
            ]
            if not items:
                continue
            description = f"{TASKS[task]} {job.description_extra}".strip()
            metadata: dict[str, Any] = {"type": "annotation", "task": task, "date": job.date}
            metadata |= {"description": description, "license": job.license}
            if job.tags:
                metadata["tags"] = list(job.tags)
            root = None if own or job.root is None else str(job.root)
            _json(folder / f"{task}.json", {"format": FORMAT, "metadata": metadata, "media_root": root, "items": items})
        _place_all(job, records, folder / FOLDER)


def write_llava(job: Job) -> None:
    """`SPLIT/annotations.json` with two turns a record; `video_fps` is what the probe says."""
    rates: dict[str, float] = {}
    for split, records in job.splits.items():
        folder = job.at / split
        found = []
        for record in records:
            if record.video not in rates:
                rates[record.video] = average_rate(Path(record.video))
            turns = [
                {"from": "human", "value": f"<video>\n{record.question}"},
                {"from": "gpt", "value": record.said(job.options.answers)},
            ]
            video = {"id": record.id, "video": _named(job, record), "video_fps": rates[record.video]}
            found.append({**video, "conversations": turns})
        _json(folder / "annotations.json", found)
        _place_all(job, records, folder / FOLDER)
        if job.options.tar:
            _videos_tar(job, records, folder / "videos.tar.gz")


def write_sharegpt(job: Job) -> None:
    """`NAME_SPLIT.json` and LLaMA-Factory's `dataset_info.json`."""
    info = {}
    for split, records in job.splits.items():
        name = f"{job.name}_{split}"
        _json(job.at / f"{name}.json", [_messages(job, record, _named(job, record)) for record in records])
        info[name] = {
            "file_name": f"{name}.json",
            "formatting": "sharegpt",
            "columns": {"messages": "messages", "videos": "videos"},
            "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
        }
        _place_all(job, records, job.at / FOLDER)
    _json(job.at / "dataset_info.json", info)


def write_swift(job: Job) -> None:
    """`SPLIT.jsonl` of the same records, with absolute paths of videos."""
    for split, records in job.splits.items():
        lines = []
        for record in records:
            video = _named(job, record)
            absolute = video if job.videos.how == "reference" else str(job.final / video)
            lines.append(_messages(job, record, absolute))
        _lines(job.at / f"{split}.jsonl", lines)
        _place_all(job, records, job.at / FOLDER)


def write_hf(job: Job) -> None:
    """`data/SPLIT.jsonl` (or parquet); the card carries what `load_dataset` reads."""
    for split, records in job.splits.items():
        rows = []
        for record in records:
            row = {"id": record.id, "task": record.task, "video_id": record.video_id}
            rows.append({**row, **_messages(job, record, _named(job, record))})
        path = job.at / "data" / HF_SPLITS[split]
        if job.options.parquet:
            _parquet(path.with_suffix(".parquet"), rows)
        else:
            _lines(path.with_suffix(".jsonl"), rows)
        _place_all(job, records, job.at / FOLDER)


def write_webdataset(job: Job) -> None:
    """`SPLIT-000000.tar`: for each video a `KEY.json` with its items and, unless referred to, the video itself."""
    for split, records in job.splits.items():
        of_video: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            of_video[record.video].append(record)
        number = -1
        held, size = _MOST_VIDEOS, 0
        with ExitStack() as stack:
            for video, mine in of_video.items():
                about = {"video": mine[0].video_id, "items": _items(mine, job.options.answers)}
                body = json.dumps(about, ensure_ascii=False).encode()
                film = 0 if job.videos.how == "reference" else _size(video)
                needs = _padded(len(body)) + (_padded(film) if film else 0)
                if held == _MOST_VIDEOS or size + needs > _MOST_BYTES:
                    stack.close()
                    number, held, size = number + 1, 0, 0
                    path = job.at / f"{split}-{number:06d}.tar"
                    raw = stack.enter_context(_new(path))
                    tar = stack.enter_context(tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT))
                key = job.videos.key(video)
                _member(tar, f"{key}.json", io.BytesIO(body), len(body))
                if film:
                    with guard.open_read(Path(video)) as handle:
                        _member(tar, f"{key}{Path(video).suffix.lower()}", handle, film)
                held, size = held + 1, size + needs


def _items(records: Sequence[Record], answers: Answers) -> list[dict[str, str]]:
    return [
        {"id": r.id, "task": r.task, "question": r.question, "answer": r.said(answers), "reasoning": r.reasoning}
        for r in records
    ]


LAYOUTS: dict[str, Callable[[Job], None]] = {
    "tao": write_tao,
    "llava": write_llava,
    "sharegpt": write_sharegpt,
    "swift": write_swift,
    "hf": write_hf,
    "webdataset": write_webdataset,
}


def _messages(job: Job, record: Record, video: str) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": f"<video>{record.question}"},
            {"role": "assistant", "content": record.said(job.options.answers)},
        ],
        "videos": [video],
    }


def _named(job: Job, record: Record) -> str:
    """A video as a record names it: in the export or its archive, or where it is."""
    if job.videos.how == "reference" and not job.options.tar:
        return os.path.abspath(record.video)
    return f"{FOLDER}/{job.videos.name(record.video)}"


def _place_all(job: Job, records: Sequence[Record], folder: Path) -> None:
    for video in dict.fromkeys(record.video for record in records):
        job.videos.place(video, folder)


@contextmanager
def _new(path: Path) -> Iterator[BinaryIO]:
    """A new file of the export; the folders that lead to it are made."""
    with guard.open_write(path, "xb", make=True) as raw, io.BufferedWriter(cast(io.RawIOBase, raw)) as handle:
        yield handle


def _json(path: Path, value: Any) -> None:
    with _new(path) as handle:
        handle.write((json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def _lines(path: Path, rows: Sequence[Any]) -> None:
    with _new(path) as handle:
        handle.writelines((json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode() for row in rows)


def _parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.string()
    messages = pa.list_(pa.struct([("role", text), ("content", text)]))
    schema = pa.schema(
        [("id", text), ("task", text), ("video_id", text), ("messages", messages), ("videos", pa.list_(text))]
    )
    with _new(path) as handle:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), handle)


def _videos_tar(job: Job, records: Sequence[Record], path: Path) -> None:
    """An archive of the videos without any time in it: equal videos, equal bytes."""
    import gzip

    with (
        _new(path) as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0, compresslevel=1) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for video in dict.fromkeys(record.video for record in records):
            size = _size(video)
            with guard.open_read(Path(video)) as handle:
                _member(tar, f"{FOLDER}/{job.videos.name(video)}", handle, size)


def _member(tar: tarfile.TarFile, name: str, handle: Any, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, 0, 0o644
    tar.addfile(info, handle)


def _size(video: str) -> int:
    try:
        with guard.open_read(Path(video)) as handle:
            return os.fstat(handle.fileno()).st_size
    except OSError as error:
        raise unreadable(video, error) from None


def _padded(size: int) -> int:
    return _BLOCK + -(-size // _BLOCK) * _BLOCK


class Videos:
    """The videos of the records of an export, each under one name.

    Attributes:
        how: Whether they are copied, linked, or referred to.
    """

    def __init__(self, records: Iterable[Record], how: Media) -> None:
        self.how = how
        self._content = {record.video: record.content for record in records}
        stems = {video: _plain_name(Path(video)) for video in self._content}
        often = Counter(name.lower() for name in stems.values())
        self._names = {
            video: self._told_apart(video, name) if often[name.lower()] > 1 else name for video, name in stems.items()
        }

    def name(self, video: str) -> str:
        """Its file name in the export: its own, with a part of its digest where two are called alike."""
        return self._names[video]

    def key(self, video: str) -> str:
        """A name of small letters, digits, `_` and `-`, unique in the export."""
        stem = _KEY.sub("-", Path(video).stem.lower()).strip("-") or "video"
        return f"{stem[:60]}-{self._content[video][:_DIGITS]}"

    def place(self, video: str, folder: Path) -> None:
        """Copy or link a video into `folder`; nothing where videos are referred to.

        Raises:
            InputError: It cannot be read.
        """
        if self.how == "reference":
            return
        target = folder / self.name(video)
        if guard.exists(target):
            return
        guard.make_folder(folder)
        try:
            with guard.open_read(Path(video)) as source:
                if self.how == "link":
                    with guard.place(target) as at:
                        os.symlink(os.path.abspath(video), at.name, dir_fd=at.fd)
                    return
                with guard.open_write(target, "xb") as copy:
                    shutil.copyfileobj(source, copy, CHUNK)
        except OSError as error:
            raise unreadable(video, error) from None

    def _told_apart(self, video: str, name: str) -> str:
        stem, suffix = os.path.splitext(name)
        return f"{stem}-{self._content[video][:_DIGITS]}{suffix}"


def _plain_name(path: Path) -> str:
    """A file name that every tool can carry."""
    return (_PLAIN.sub("_", path.stem).strip("._") or "video") + _PLAIN.sub("", path.suffix)


def unreadable(video: str, error: OSError) -> InputError:
    """A video that an export needs and cannot read."""
    return InputError(
        error.strerror or "cannot be read", where=video, fix="bring the video back, or use --media reference"
    )
