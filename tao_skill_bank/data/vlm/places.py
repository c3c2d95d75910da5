"""What a `video_id` is: a path to be made absolute, an address, or an id that stays as it is."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError

FOLDERS_REMEMBERED = 100_000
VIDEOS_REMEMBERED = 100_000
_NO_NAMES = ("", ".", "..")
# `dbfs:/x` and `file:/x` are addresses too; one letter before the colon is a drive.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[A-Za-z][A-Za-z0-9+.-]+:/|data:[a-z]+/", re.IGNORECASE)
_OF_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
MEDIA = frozenset(
    (
        *("3gp", "avi", "flv", "gif", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "ogv", "ts", "webm", "wmv"),
        *("bmp", "jpeg", "jpg", "png", "tif", "tiff", "webp"),
    )
)


def has_media_suffix(text: str) -> bool:
    """The name ends as those of videos and pictures do."""
    return text.rpartition(".")[2].lower() in MEDIA and "." in text


def is_address(video_id: str) -> bool:
    """`scheme://…`, `scheme:/…` or `data:video/…`."""
    return _ADDRESS.match(video_id) is not None


class Resolver:
    """`video_id` → absolute path with every symbolic link resolved, where it is a path; each folder is looked up once.

    Addresses, paths of Windows and plain ids stay unchanged. A path is absolute, has a `/` or the suffix of a video or
    picture, or is there below the folder of videos; a stem takes its one file there.

    Attributes:
        windows: How many paths of Windows.
        files: How many different paths, of the first 100,000.
        there: How many of these are files.
        first_missing: The first that is none.
    """

    def __init__(self, videos_dir: Path | None) -> None:
        self._videos = videos_dir
        self._root = guard.real_path(videos_dir) if videos_dir is not None else os.getcwd()
        self._folders: dict[str, tuple[str, bool]] = {}
        self._seen: set[str] = set()
        self._stems: dict[str, str | None] | None = None
        self.addresses = self.windows = self.ids = self.files = self.there = 0
        self.first_missing: str | None = None

    def resolve(self, video_ids: Sequence[str]) -> list[str]:
        """The paths of `video_ids`, in order."""
        folders, paths, seen = self._folders, [], self._seen
        counting = len(seen) < VIDEOS_REMEMBERED
        for video_id in video_ids:
            folder, slash, name = video_id.rpartition("/")
            if ((":" in video_id or "\\" in video_id) and self._is_foreign(video_id)) or (
                not slash and not self._is_file_name(video_id)
            ):
                paths.append(self._unchanged(video_id))
                continue
            # "/x" and "x" both leave the empty text before their last slash; the slash tells them apart.
            known = folders.get(folder or slash) or self._look_up(folder or slash)
            if name in _NO_NAMES:
                path = guard.real_path(os.path.join(self._root, video_id))
            else:
                path = known[0] + name
                path = guard.real_path(path) if known[1] and os.path.islink(path) else path
            paths.append(path)
            if counting and path not in seen:
                self._count(path, known[1])
        return paths

    def said(self) -> str | None:
        """What became of the videos, in one line; None where there was none."""
        parts = []
        if self.files:
            missing = f" (first missing: {self.first_missing})" if self.first_missing is not None else ""
            parts.append(f"{self.there} of {self.files} files exist{missing}")
        if self.addresses:
            parts.append(f"{self.addresses} URL{'s' * (self.addresses != 1)}")
        if self.windows:
            parts.append(f"{self.windows} path{'s' * (self.windows != 1)} of Windows")
        if self.ids:
            parts.append(f"{self.ids} id{'s' * (self.ids != 1)}")
        return "videos: " + ", ".join(parts) if parts else None

    def _is_file_name(self, video_id: str) -> bool:
        """A name without a folder that is a path all the same; a stem is found by `_unchanged`."""
        return has_media_suffix(video_id) or (
            self._videos is not None
            and video_id not in _NO_NAMES
            and "\0" not in video_id
            and guard.is_file(os.path.join(self._root, video_id))
        )

    @staticmethod
    def _is_foreign(video_id: str) -> bool:
        return is_address(video_id) or _OF_WINDOWS.match(video_id) is not None

    def _unchanged(self, video_id: str) -> str:
        """An address or id; but where an id is the stem of one file among the videos, that file."""
        if is_address(video_id):
            self.addresses += 1
            return video_id
        if _OF_WINDOWS.match(video_id):
            self.windows += 1
            return video_id
        file = self._of_stem(video_id)
        if file is not None:
            self._count(file, True)
            return file
        self.ids += bool(video_id)
        return video_id

    def _of_stem(self, stem: str) -> str | None:
        if self._videos is None or stem in _NO_NAMES or "/" in stem or "\\" in stem:
            return None
        if self._stems is None:
            self._stems = {}
            for name in guard.names(self._root) if guard.is_folder(self._root) else ():
                if has_media_suffix(name):
                    key = name.rpartition(".")[0]
                    # None: more than one file has this stem.
                    self._stems[key] = None if key in self._stems else name
        found = self._stems.get(stem)
        return None if found is None else guard.real_path(os.path.join(self._root, found))

    def _count(self, path: str, folder_there: bool) -> None:
        if path in self._seen or len(self._seen) >= VIDEOS_REMEMBERED:
            return
        self._seen.add(path)
        try:
            there = folder_there and "\0" not in path and guard.is_file(path)
        except (InputError, OSError):
            return  # not ours to look at, so nothing is said of it
        self.files += 1
        self.there += there
        if not there and self.first_missing is None:
            self.first_missing = path

    def _look_up(self, folder: str) -> tuple[str, bool]:
        """The resolved folder with a slash behind it, and whether it is there at all."""
        real = guard.real_path(os.path.join(self._root, folder))
        known = (real.rstrip("/") + "/", os.path.isdir(real))
        if len(self._folders) < FOLDERS_REMEMBERED:
            self._folders[folder] = known
        return known
