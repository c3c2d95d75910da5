"""What a call looks at: a video or a part of it, as the endpoint takes it, decoded and uploaded at most once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tao_skill_bank.annotate import video as av_video
from tao_skill_bank.annotate.config import Workflow
from tao_skill_bank.annotate.endpoints.base import Clip, Frame, Upload
from tao_skill_bank.annotate.endpoints.endpoint import Endpoint
from tao_skill_bank.annotate.gate import Gate, Priority
from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.video import FRAME_SIDE, Probe, VideoError
from tao_skill_bank.core.clock import SystemClock
from tao_skill_bank.core.seal import Identity
from tao_skill_bank.core.threads import ThreadPool

_DECODERS = 2


@dataclass(frozen=True)
class View:
    """A part of a video as it is shown to a model: `times` are those of its frames, none for a native clip.

    `labelled`: frames are shown with their times.
    """

    sha256: str
    times: tuple[float, ...] = ()
    start: float | None = None
    end: float | None = None
    labelled: bool = True

    @property
    def descriptor(self) -> dict[str, Any]:
        """What of it belongs to a call's key."""
        if self.times:
            shown = {"sha256": self.sha256, "frames": list(self.times), "side": FRAME_SIDE}
            return shown if self.labelled else shown | {"labelled": False}
        return {"sha256": self.sha256, "start": self.start, "end": self.end}


class Library:
    """The videos of a run: probes, digests, uploads, decoders. Work on files happens in a few threads."""

    def __init__(
        self, journal: Journal, gate: Gate, vlm: Endpoint, workflow: Workflow, known: Mapping[str, Identity | None]
    ) -> None:
        self.journal = journal
        self.gate = gate
        self.vlm = vlm
        self.workflow = workflow
        self._listed = known
        self._threads = ThreadPool(_DECODERS, thread_name_prefix="video")
        self._uploads: dict[str, asyncio.Future[Upload]] = {}
        self._in_threads = 0

    @property
    def busy(self) -> bool:
        """Whether a file is being worked on."""
        return self._in_threads > 0

    async def open(self, path: str) -> Video:
        """Probe and digest a video; both are remembered as long as the file does not change.

        Raises:
            VideoError: It cannot be used, or is not the file that was listed.
        """
        file, listed = Path(path), self._listed.get(path)
        try:
            stat = file.stat()
        except OSError as error:
            raise VideoError(error.strerror or "cannot be read", where=path, fix="check the path") from None
        known = self.journal.media(path, stat.st_size, stat.st_mtime_ns)
        if known is None:
            probed = await self.in_thread(av_video.probe, file, listed)
            digest = await self.in_thread(_sha256, file, listed)
            self.journal.put_media(path, stat.st_size, stat.st_mtime_ns, digest, probed.plain())
        else:
            digest, values = known
            probed = Probe(**values)
        if listed is None:
            raise VideoError("was not there when the run was listed", where=path, fix="start the run again")
        return Video(self, file, listed, digest, probed)

    async def in_thread(self, function: Any, *args: Any) -> Any:
        """Run a blocking function beside the calls."""
        self._in_threads += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)
        finally:
            self._in_threads -= 1

    async def uploaded(self, file: Path, listed: Identity, sha256: str, priority: Priority) -> Upload:
        """A video as the endpoint holds it; uploaded once for all calls and all runs, as long as it lives there."""
        now = SystemClock().now().timestamp()
        known = self.journal.upload(sha256, self.vlm.name, now)
        if known is not None:
            return Upload(uri=known[0], mime=known[1], expires=now)
        pending = self._uploads.get(sha256)
        if pending is None:
            pending = asyncio.ensure_future(self._upload(file, listed, sha256, priority))
            self._uploads[sha256] = pending
            pending.add_done_callback(lambda _: self._uploads.pop(sha256, None))
        return await asyncio.shield(pending)

    def forget_upload(self, sha256: str) -> None:
        """The endpoint does not know it any more."""
        self.journal.drop_upload(sha256, self.vlm.name).result()

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _upload(self, file: Path, listed: Identity, sha256: str, priority: Priority) -> Upload:
        async with self.gate.slot(self.gate.lane(self.vlm.name), priority):
            with av_video.readable(file, listed) as handle:
                async with asyncio.timeout(max(self.vlm.timeout, 60.0)):
                    upload = await self.vlm.upload(file.name, handle)
        await asyncio.wrap_future(
            self.journal.put_upload(sha256, self.vlm.name, upload.uri, upload.mime, upload.expires)
        )
        return upload


class Video:
    """One video of the run: its views, and its frames, decoded in one pass when the first of them is needed."""

    def __init__(self, library: Library, file: Path, listed: Identity, sha256: str, probe: Probe) -> None:
        self.library = library
        self.file = file
        self.listed = listed
        self.sha256 = sha256
        self.duration = probe.duration
        self._planned: set[float] = set()
        self._frames: dict[float, bytes] = {}
        self._decoding = asyncio.Lock()

    def whole(self) -> View:
        """The video: native where the endpoint takes videos, frames where it does not or the video is long."""
        flow = self.library.workflow
        if self.duration > flow.long_video_threshold_sec:
            return self._frames_view(0.0, self.duration, flow.frames(self.duration))
        return View(self.sha256) if self.library.vlm.takes_video else self._span_frames(0.0, self.duration)

    def span(self, start: float, end: float) -> View:
        """A part of the video: by offsets of the upload, or as frames."""
        if self.library.vlm.takes_video:
            return View(self.sha256, start=start, end=end)
        return self._span_frames(start, end)

    async def shown(self, view: View, priority: Priority) -> tuple[tuple[Frame, ...], Clip | None]:
        """A view as a call takes it: frames with their times, or a clip of the upload."""
        if view.times:
            self._planned.update(view.times)
            return tuple([Frame(t, await self._frame(t)) for t in view.times]), None
        upload = await self.library.uploaded(self.file, self.listed, self.sha256, priority)
        return (), Clip(upload.uri, upload.mime, view.start, view.end)

    def release(self) -> None:
        """Drop the decoded frames; a view that is shown later decodes its own."""
        self._frames.clear()
        self._planned.clear()

    def _span_frames(self, start: float, end: float) -> View:
        return self._frames_view(start, end, self.library.workflow.frames_of_piece(end - start))

    def _frames_view(self, start: float, end: float, number: int) -> View:
        times = av_video.spread(start, end, number)
        self._planned.update(times)
        return View(self.sha256, times=times)

    async def _frame(self, time: float) -> bytes:
        async with self._decoding:
            if time not in self._frames:
                wanted = self._planned - self._frames.keys()
                decode = partial(av_video.frames_at, self.file, wanted, known=self.listed)
                self._frames.update(await self.library.in_thread(decode))
            return self._frames[time]


def _sha256(file: Path, listed: Identity | None) -> str:
    with av_video.readable(file, listed) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
