"""The demo workspace of yes/no questions: drawn traffic videos, laid out as a customer's workspace is.

The story it tells: a model that was trained on days alone. The KPI and acceptance sets hold what the cameras really
send, nights and rain among it; the labelled pool holds mostly days, and a few nights and rainy hours to be found.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.extras import pyav

FRAMES, SIDE = 12, 48
DAY, NIGHT, RAIN = "day", "night", "rain"
RED, RIGHT, TOUCH = "red", "right", "touch"
QUESTIONS = {
    RED: "Is one of the vehicles red?",
    RIGHT: "Does a vehicle move from left to right?",
    TOUCH: "Do two vehicles touch?",
}
_PAINTS = ((60, 90, 190), (210, 210, 205), (70, 140, 80), (52, 52, 58), (205, 175, 70))
_RED = (205, 40, 40)
_LANES = (13, 29)
_LONG, _HIGH = 10, 7
Pixels = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """A clip, uint8 [12, 48, 48, 3], and its right answers by question."""

    frames: npt.NDArray[np.uint8]
    truths: dict[str, bool]


@dataclass
class _Vehicle:
    lane: int
    paint: tuple[int, int, int]
    places: list[float]
    way: int
    lit: bool = False


@dataclass(frozen=True)
class _Weather:
    """What differs from night to night and from rain to rain."""

    light: float
    glare: float
    glare_at: float
    glare_way: float
    glare_wide: float
    glare_row: float
    lamp: float
    streaks: int
    streak: float

    @classmethod
    def of(cls, rng: np.random.Generator) -> _Weather:
        """One night, and one rain."""
        return cls(
            light=rng.uniform(0.38, 0.6),
            glare=rng.uniform(60, 130),
            glare_at=rng.uniform(4, 44),
            glare_way=float(rng.choice([-1.0, 1.0])) * rng.uniform(1.0, 3.2),
            glare_wide=rng.uniform(5, 9),
            glare_row=rng.uniform(13, 30),
            lamp=rng.uniform(170, 240),
            streaks=int(rng.integers(5, 14)),
            streak=rng.uniform(45, 75),
        )


def draw(rng: np.random.Generator, condition: str) -> Scene:
    """One clip; the generator decides everything."""
    truths = {name: bool(rng.random() < 0.5) for name in QUESTIONS}
    vehicles = _vehicles(rng, truths)
    road = _road(rng)
    frames = []
    weather = _Weather.of(rng)
    for step in range(FRAMES):
        picture = road.copy()
        for vehicle in vehicles:
            _car(picture, vehicle, vehicle.places[step])
        if condition == NIGHT:
            picture = _night(rng, picture, vehicles, step, weather)
        elif condition == RAIN:
            picture = _rain(rng, picture, weather)
        else:
            picture = picture + rng.normal(0.0, 2.0, picture.shape)
        frames.append(np.clip(picture, 0, 255).astype(np.uint8))
    return Scene(np.stack(frames), truths)


def _vehicles(rng: np.random.Generator, truths: dict[str, bool]) -> list[_Vehicle]:
    way = 1 if truths[RIGHT] else -1
    lane = int(rng.integers(2))
    length = rng.uniform(18, 26)
    start = rng.uniform(1, 4) if way > 0 else SIDE - _LONG - rng.uniform(1, 4)
    end = start + way * length
    touches = truths[TOUCH]
    second = touches or rng.random() < 0.75
    places = [start + way * length * step / (FRAMES - 1) for step in range(FRAMES)]
    first = _Vehicle(lane, _paint(rng), places, way)
    found = [first]
    if second:
        if touches:
            still, other = end + way * _LONG, lane
        elif rng.random() < 0.5:
            still, other = end + way * (_LONG + rng.uniform(5, 9)), lane
        else:
            still, other = rng.uniform(6, SIDE - _LONG - 6), 1 - lane
        still = float(np.clip(still, -2, SIDE - _LONG + 2))
        found.append(_Vehicle(other, _paint(rng), [still] * FRAMES, 0))
        if touches:
            # It arrives a little before the end, and stays.
            arrives = int(rng.integers(FRAMES - 4, FRAMES - 1))
            goal = still - way * _LONG
            first.places = [start + (goal - start) * min(1.0, step / arrives) for step in range(FRAMES)]
    for vehicle in found:
        vehicle.lit = bool(rng.random() < 0.6)
    if truths[RED]:
        found[int(rng.integers(len(found)))].paint = _shade(rng, _RED)
    return found


def _paint(rng: np.random.Generator) -> tuple[int, int, int]:
    return _shade(rng, _PAINTS[int(rng.integers(len(_PAINTS)))])


def _shade(rng: np.random.Generator, paint: tuple[int, int, int]) -> tuple[int, int, int]:
    shade = rng.uniform(0.85, 1.15)
    red, green, blue = (int(min(255, value * shade)) for value in paint)
    return red, green, blue


def _road(rng: np.random.Generator) -> Pixels:
    picture = np.empty((SIDE, SIDE, 3))
    picture[:] = rng.uniform(120, 150)
    picture[:8] = np.array((120, 150, 110)) * rng.uniform(0.85, 1.1)
    picture[42:] = np.array((120, 150, 110)) * rng.uniform(0.85, 1.1)
    picture[24:26, ::6] = 215
    return picture


def _car(picture: Pixels, vehicle: _Vehicle, at: float) -> None:
    top = _LANES[vehicle.lane]
    left = round(at)
    _fill(picture, top, left, _HIGH, _LONG, vehicle.paint)
    glass = tuple(0.45 * value for value in vehicle.paint)
    _fill(picture, top + 1, left + 3, _HIGH - 2, 4, glass)


def _fill(picture: Pixels, top: int, left: int, high: int, long: int, paint: tuple[float, ...]) -> None:
    picture[top : top + high, max(0, left) : max(0, left + long)] = paint


def _night(rng: np.random.Generator, picture: Pixels, vehicles: list[_Vehicle], step: int, weather: _Weather) -> Pixels:
    dark: Pixels = picture * weather.light * np.array((1.12, 0.95, 0.72))
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    at = weather.glare_at + weather.glare_way * step
    lamp = np.exp(-(((columns - at) / weather.glare_wide) ** 2 + ((rows - weather.glare_row) / 6.0) ** 2))
    dark += lamp[..., None] * weather.glare * np.array((1.0, 0.93, 0.72))
    for vehicle in vehicles:
        if not vehicle.lit:
            continue
        place, top = vehicle.places[step], _LANES[vehicle.lane]
        tail = round(place if vehicle.way >= 0 else place + _LONG - 2)
        for row in (top, top + _HIGH - 2):
            _fill(dark, row, tail, 2, 2, (weather.lamp, 30, 26))
    dark += rng.normal(0.0, 3.0, dark.shape)
    return dark


def _rain(rng: np.random.Generator, picture: Pixels, weather: _Weather) -> Pixels:
    wet: Pixels = picture * 0.72 * np.array((0.84, 0.97, 1.16)) + 14
    for _ in range(weather.streaks):
        column, row, long = int(rng.integers(SIDE)), int(rng.integers(-4, SIDE)), int(rng.integers(5, 11))
        wet[max(0, row) : max(0, row + long), column] += weather.streak
    wet += rng.normal(0.0, 2.5, wet.shape)
    return wet


_RATE = 8
# Without mbtree: its look ahead reads memory that nobody wrote on frames this small, so equal frames gave other bytes.
_CODEC = {"crf": "6", "preset": "veryfast", "threads": "1", "mbtree": "0"}
MEASURED = ((DAY, 0.40), (NIGHT, 0.35), (RAIN, 0.25))
POOL = ((DAY, 0.80), (NIGHT, 0.11), (RAIN, 0.09))


@dataclass(frozen=True)
class Sizes:
    """How many videos each set has."""

    base: int = 120
    kpi: int = 120
    acceptance: int = 120
    pool: int = 400
    pool_videos: int = 60


def make_vlm_workspace(root: Path, seed: int, sizes: Sizes | None = None) -> Path:
    """Draw it. The same seed gives the same bytes.

    Raises:
        MissingExtraError: PyAV is not installed.
    """
    sizes = sizes or Sizes()
    rng = np.random.default_rng(seed)
    plan: list[tuple[str, int, Sequence[tuple[str, float]], bool]] = [
        ("base", sizes.base, ((DAY, 1.0),), True),
        ("kpi", sizes.kpi, MEASURED, True),
        ("acceptance", sizes.acceptance, MEASURED, True),
        ("pool", sizes.pool, POOL, True),
        ("pool_videos", sizes.pool_videos, POOL, False),
    ]
    for name, number, mix, labelled in plan:
        if not number:
            continue
        records: list[dict[str, Any]] = []
        for place, condition in enumerate(_conditions(rng, number, mix)):
            scene = draw(rng, condition)
            video = f"{name[0] if labelled else 'u'}{place:04d}.mp4"
            folder = root / name / "media" if labelled else root / name
            write_video(folder / video, scene.frames)
            records += [_record(name, place, video, question, scene.truths[question]) for question in QUESTIONS]
        if labelled:
            fsio.write_text(root / name / "annotations.json", json.dumps(records, indent=1) + "\n")
    return root


def write_video(path: Path, frames: npt.NDArray[np.uint8]) -> None:
    """Frames as an mp4, uint8 [n, h, w, 3].

    Raises:
        MissingExtraError: PyAV is not installed.
    """
    av = pyav()
    guard.make_folder(path.parent)
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream("libx264", rate=_RATE, options=_CODEC)
        # Colour at full size: a vehicle is a few pixels high.
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv444p"
        stream.thread_count = 1
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def _conditions(rng: np.random.Generator, number: int, mix: Sequence[tuple[str, float]]) -> list[str]:
    found = [name for name, share in mix for _ in range(round(number * share))]
    found = (found + [mix[0][0]] * number)[:number]
    rng.shuffle(found)
    return found


def _record(name: str, place: int, video: str, question: str, truth: bool) -> dict[str, Any]:
    return {
        "id": f"{name[0]}{place:04d}-{question}",
        "video": video,
        "conversations": [
            {"from": "human", "value": f"<video>\n{QUESTIONS[question]} Answer with yes or no."},
            {"from": "gpt", "value": "Yes" if truth else "No"},
        ],
    }
