"""Drawn traffic: one or two vehicles on a road by day, by night and in rain, and what is true of them.

Night is dark and warm, with noise, with the glare of headlights that wanders and red tail lights on cars of any colour;
rain is cold, with streaks that move where nothing else does. A model that has seen days alone takes the lights for red
cars and the glare and the streaks for motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
