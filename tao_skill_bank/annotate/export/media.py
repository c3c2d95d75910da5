"""The videos of an export: named, copied or linked into it, or referred to where they are."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from tao_skill_bank.annotate.export.items import Record
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import CHUNK

Media = Literal["reference", "copy", "link"]
FOLDER = "videos"
_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")
_KEY = re.compile(r"[^a-z0-9_-]+")
_DIGITS = 8


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


def frame_rate(video: str) -> float:
    """The average frame rate of a video, in frames a second.

    Raises:
        InputError: It cannot be read.
    """
    from tao_skill_bank.annotate.video import average_rate

    return average_rate(Path(video))
