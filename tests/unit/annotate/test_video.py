"""Videos: lengths, frames at their times, and everything that can be wrong with a file."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from videos import make_video

from tao_skill_bank.annotate.video import VideoError, frames_at, probe


def corner(jpeg: bytes) -> float:
    image = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"), float)
    return float(image[2:12, 2:12].mean())


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mov", ".mkv"])
def test_the_length_of_every_container_is_known(suffix: str, tmp_path: Path) -> None:
    found = probe(make_video(tmp_path / f"v{suffix}", seconds=3.0, fps=8))
    assert found.duration == pytest.approx(3.0, abs=0.15)
    assert (found.width, found.height) == (64, 48)


def test_a_frame_is_the_picture_that_is_shown_at_its_time(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", seconds=4.0, fps=8)
    found = frames_at(path, [0.0, 1.05, 2.0, 9.0])
    shown = {0.0: 0, 1.05: 8, 2.0: 16, 9.0: 31}
    for time, number in shown.items():
        assert corner(found[time]) == pytest.approx(40 + (number * 7) % 180, abs=6)


def test_frames_are_scaled_to_their_longest_side(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", seconds=1.0, size=(320, 160))
    image = Image.open(io.BytesIO(frames_at(path, [0.5], side=100)[0.5]))
    assert image.size == (100, 50)


def test_pictures_of_a_variable_rate_keep_their_own_times(tmp_path: Path) -> None:
    path = tmp_path / "vfr.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for milliseconds, level in ((0, 40), (100, 80), (3000, 120), (3100, 200)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
            frame.pts, frame.time_base = milliseconds, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    found = frames_at(path, [2.9, 3.05, 3.2])
    assert [round(corner(found[t]), -1) for t in (2.9, 3.05, 3.2)] == [80, 120, 200]


# How a telephone says by which turn its pictures stand upright: the matrix of the track (16.16, the last column 2.30).
TURNS = {
    90: (0, 1, 0, -1, 0, 0, 48, 0),
    180: (-1, 0, 0, 0, -1, 0, 64, 48),
    270: (0, -1, 0, 1, 0, 0, 0, 64),
}


@pytest.mark.parametrize("clockwise", TURNS)
def test_a_turned_recording_is_shown_upright(clockwise: int, tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", seconds=1.0, seed=1)
    data = bytearray(path.read_bytes())
    # In a track header of version 0 the matrix stands 40 bytes behind the box's name and flags.
    place = data.index(b"tkhd") + 4 + 40
    matrix = b"".join((value * 65536).to_bytes(4, "big", signed=True) for value in TURNS[clockwise])
    data[place : place + 36] = matrix + (1 << 30).to_bytes(4, "big")
    path.write_bytes(data)
    found = probe(path)
    upright = Image.open(io.BytesIO(frames_at(path, [0.9])[0.9])).convert("L")
    assert upright.size == (found.width, found.height) == ((48, 64) if clockwise != 180 else (64, 48))
    straight = Image.open(io.BytesIO(frames_at(make_video(tmp_path / "w.mp4", seconds=1.0, seed=1), [0.9])[0.9]))
    back = np.asarray(upright.rotate(clockwise, expand=True), float)
    assert np.abs(back - np.asarray(straight.convert("L"), float)).mean() < 2


def test_a_video_without_pictures_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(VideoError, match="no video stream"):
        probe(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"plain text, renamed" * 20])
def test_a_file_that_is_no_video_is_named_as_such(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=r"bad\.mp4"):
        probe(path)


def test_a_video_cut_off_in_the_middle_gives_what_it_has_or_says_so(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mkv", seconds=6.0, fps=8)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    assert probe(cut).duration > 0
    assert set(frames_at(cut, [0.5, 5.9])) == {0.5, 5.9}


def test_a_missing_video_is_named() -> None:
    with pytest.raises(VideoError, match="no such video"):
        probe(Path("/no/such/video.mp4"))


def test_a_header_that_tells_less_than_there_is_is_not_believed(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.avi", seconds=4.0, fps=8)
    data = bytearray(path.read_bytes())
    # dwLength of the stream's header: eight pictures instead of thirty-two.
    at = data.index(b"strh") + 8 + 32
    data[at : at + 4] = (8).to_bytes(4, "little")
    path.write_bytes(data)
    assert probe(path).duration == pytest.approx(4.0)
