"""Pictures of printed-circuit-board parts, drawn rather than photographed: what the demo workspace is made of.

A scene is drawn once and lit twice. `WhiteLight` is a diffuse lamp overhead: parts look as they do to the eye.
`SolderLight` is a coloured ring, red high and blue low, so that the slope of solder shows as a hue: flat is red,
steep is blue. All geometry is anti-aliased signed distance on a 64 x 64 grid; nothing here reads a clock or a file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

SIZE = 64
LIGHTS: tuple[str, ...] = ("SolderLight", "WhiteLight")
DEFECTS: tuple[str, ...] = (
    "missing",
    "bridge",
    "shift",
    "excess_solder",
    "insufficient_solder",
    "tombstone",
    "scratch",
)

Array = npt.NDArray[np.float32]
Colours = tuple[tuple[int, int, int], tuple[int, int, int]]  # one RGB triple a light, in the order of LIGHTS

# (SolderLight, WhiteLight)
_MASK: dict[str, Colours] = {"green": ((13, 40, 38), (25, 94, 60)), "blue": ((14, 26, 58), (24, 62, 112))}
_TRACE: dict[str, Colours] = {"green": ((18, 54, 48), (44, 122, 78)), "blue": ((20, 38, 78), (40, 88, 146))}
_PAD: Colours = ((150, 74, 62), (198, 196, 188))
_BARE: Colours = ((88, 52, 40), (170, 122, 74))  # copper that solder never wetted
_SILK: Colours = ((148, 158, 168), (228, 230, 222))
_METAL: Colours = ((172, 92, 78), (206, 206, 202))
_LEAD: Colours = ((120, 126, 150), (190, 192, 194))
_BODIES: dict[str, Colours] = {
    "R": ((26, 25, 32), (38, 38, 42)),
    "C": ((104, 72, 56), (176, 140, 104)),
    "D": ((42, 36, 40), (62, 56, 54)),
    "U": ((20, 20, 26), (34, 35, 38)),
}
_MARK: Colours = ((118, 122, 134), (206, 208, 206))
_RAMP = np.array([[214, 62, 48], [176, 132, 44], [58, 158, 84], [44, 84, 190]], dtype=np.float32)  # flat to steep

# Five rows a letter, each an octal digit of three dots.
_FONT = {
    "0": "75557", "1": "26227", "2": "71747", "3": "71717", "4": "55711", "5": "74717", "6": "74757", "7": "71222",
    "8": "75757", "9": "75717", "A": "25755", "B": "65656", "C": "74447", "D": "65556", "K": "55655", "L": "44447",
    "R": "65655", "U": "55557", "X": "55255",
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A place on a board design: what sits there and how its surroundings look. The same for golden and test."""

    kind: str  # R resistor, C capacitor, D diode, U chip
    name: str
    mask: str
    turned: bool
    length: float
    width: float
    marking: str
    seed: int


@dataclass(frozen=True)
class Capture:
    """How one picture was taken: the camera, the lamp, and what production left on the board."""

    dx: float = 0.0
    dy: float = 0.0
    turn: float = 0.0
    gain: float = 1.0
    warmth: float = 0.0
    noise: float = 2.0
    haze: float = 0.0
    fillet: float = 1.0
    flux: float = 0.0
    specks: int = 0
    marking: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class Defect:
    """What is wrong with a part; `severity` 0 is barely visible, 1 is plain."""

    kind: str
    severity: float
    seed: int


def _box(u: Array, v: Array, at: tuple[float, float], half: tuple[float, float], turn: float = 0.0) -> Array:
    """Signed distance to a slightly rounded rectangle, negative inside."""
    du, dv = u - np.float32(at[0]), v - np.float32(at[1])
    if turn:
        c, s = np.float32(math.cos(turn)), np.float32(math.sin(turn))
        du, dv = du * c + dv * s, dv * c - du * s
    radius = np.float32(min(1.2, *half))
    du, dv = np.abs(du) - np.float32(half[0]) + radius, np.abs(dv) - np.float32(half[1]) + radius
    outside = np.hypot(np.maximum(du, 0), np.maximum(dv, 0))
    distance: Array = outside + np.minimum(np.maximum(du, dv), 0) - radius
    return distance


def _ellipse(u: Array, v: Array, at: tuple[float, float], half: tuple[float, float]) -> Array:
    """About the signed distance to an ellipse: exact on its outline."""
    rho = np.hypot((u - np.float32(at[0])) / np.float32(half[0]), (v - np.float32(at[1])) / np.float32(half[1]))
    distance: Array = (rho - 1) * np.float32(min(half))
    return distance


class _Canvas:
    """Both lightings of one scene, float32 [2, SIZE, SIZE, 3] in 0..255, painted back to front."""

    def __init__(self, part: Part, capture: Capture) -> None:
        axis = np.arange(SIZE, dtype=np.float32) - np.float32((SIZE - 1) / 2)
        y, x = np.meshgrid(axis, axis, indexing="ij")
        x, y = x - np.float32(capture.dx), y - np.float32(capture.dy)
        c, s = np.float32(math.cos(capture.turn)), np.float32(math.sin(capture.turn))
        x, y = x * c + y * s, y * c - x * s
        self.x, self.y = x, y
        self.u, self.v = (y, -x) if part.turned else (x, y)
        self.pixels = np.empty((2, SIZE, SIZE, 3), dtype=np.float32)
        self.pixels[:] = np.array(_MASK[part.mask], dtype=np.float32)[:, None, None, :]

    def paint(self, distance: Array, colours: Colours | Array, opacity: float = 1.0, soft: float = 1.0) -> None:
        """Cover what is inside `distance` by a colour a light, or by pixels of the canvas' own shape."""
        cover = np.clip(np.float32(0.5) - distance / np.float32(soft), 0, 1) * np.float32(opacity)
        rows, columns = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
        if not len(rows):
            return
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]  # most shapes touch a small part only
        pixels = self.pixels[:, *part]
        if isinstance(colours, np.ndarray):
            target = colours[:, *part]
        else:
            target = np.array(colours, dtype=np.float32)[:, None, None, :]
        pixels += cover[part][None, :, :, None] * (target - pixels)

    def solder(self, distance: Array, height: float) -> None:
        """A solder surface: `distance` shapes it and `height` says how steeply it rises from its edge."""
        depth = np.clip(-distance / np.float32(max(height, 0.5)), 0, 1)
        slope = (1 - depth) * np.float32(3)
        low = np.minimum(slope.astype(np.int32), 2)
        part = (slope - low)[..., None]
        ring = _RAMP[low] * (1 - part) + _RAMP[low + 1] * part
        lit = np.float32(118) + np.float32(112) * depth ** np.float32(1.6)
        white = np.stack([lit, lit, lit * np.float32(0.97)], axis=-1)
        self.paint(distance, np.stack([ring, white]).astype(np.float32))

    def text(self, text: str, at: tuple[float, float], scale: float, colours: Colours, *, by_part: bool) -> None:
        """Small capitals with their top left at `at`, along the part or along the picture."""
        bitmap = np.zeros((7, 4 * len(text) + 3), dtype=np.float32)
        for i, letter in enumerate(text):
            for row, bits in enumerate(map(int, _FONT[letter])):
                for column in range(3):
                    bitmap[row + 1, 4 * i + column + 1] = (bits >> (2 - column)) & 1
        h, w = self.u if by_part else self.x, self.v if by_part else self.y
        column_at = np.clip((h - np.float32(at[0])) / np.float32(scale) + 1, 0, bitmap.shape[1] - 1.01)
        row_at = np.clip((w - np.float32(at[1])) / np.float32(scale) + 1, 0, bitmap.shape[0] - 1.01)
        ci, ri = column_at.astype(np.int32), row_at.astype(np.int32)
        fc, fr = column_at - ci, row_at - ri
        top = bitmap[ri, ci] * (1 - fc) + bitmap[ri, ci + 1] * fc
        low = bitmap[ri + 1, ci] * (1 - fc) + bitmap[ri + 1, ci + 1] * fc
        self.paint(np.float32(0.5) - (top * (1 - fr) + low * fr), colours, opacity=0.9)


def _surroundings(canvas: _Canvas, part: Part) -> None:
    """Solder-mask texture, copper under it, vias and the silkscreen."""
    rng = np.random.default_rng(part.seed)
    weave = np.sin(canvas.x * np.float32(1.7)) * np.sin(canvas.y * np.float32(1.7)) * np.float32(1.6)
    waves = rng.uniform(-0.22, 0.22, size=(4, 2)).astype(np.float32)
    for wx, wy in waves:
        weave = weave + np.sin(canvas.x * wx + canvas.y * wy) * np.float32(1.3)
    canvas.pixels += weave[None, :, :, None]
    trace = _TRACE[part.mask]
    for _ in range(int(rng.integers(2, 5))):
        offset = float(rng.uniform(-28, 28))
        if rng.random() < 0.5:
            canvas.paint(_box(canvas.x, canvas.y, (offset, 0), (float(rng.uniform(0.8, 2.2)), 60)), trace, 0.85)
        else:
            canvas.paint(_box(canvas.x, canvas.y, (0, offset), (60, float(rng.uniform(0.8, 2.2)))), trace, 0.85)
    for side in (-1, 1):
        canvas.paint(_box(canvas.u, canvas.v, (side * 32.0, float(rng.uniform(-3, 3))), (14, 2.2)), trace, 0.9)
    for _ in range(int(rng.integers(1, 3))):
        at = (float(rng.choice([-26, 26])), float(rng.uniform(-26, 26)))
        canvas.paint(_ellipse(canvas.x, canvas.y, at, (3.1, 3.1)), _PAD, 0.85)
        canvas.paint(_ellipse(canvas.x, canvas.y, at, (1.4, 1.4)), ((10, 12, 16), (22, 24, 24)))
    half_u, half_v = part.length / 2 + 8.5, part.width / 2 + 4.5
    if part.kind in "RCD":
        for side in (-1, 1):
            canvas.paint(_box(canvas.u, canvas.v, (0, side * half_v), (half_u - 8, 0.55)), _SILK, 0.85)
    else:
        canvas.paint(_ellipse(canvas.u, canvas.v, (-half_u + 9, half_v + 4), (1.3, 1.3)), _SILK, 0.9)
    canvas.text(part.name, (-29.0, -30.0), 1.25, _SILK, by_part=False)


def _pads(part: Part) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Centre and half size of each pad, in part coordinates (u along the part)."""
    if part.kind == "U":
        pitch = part.length / 4
        return [
            ((pitch * (i - 1.5), side * (part.width / 2 + 4.6)), (pitch * 0.27, 4.4))
            for side in (-1, 1)
            for i in range(4)
        ]
    return [((side * (part.length / 2 + 1.2), 0.0), (4.6, part.width / 2 + 1.0)) for side in (-1, 1)]


def _solder_joints(canvas: _Canvas, part: Part, amounts: list[float]) -> None:
    """Pads, and the solder on them; an amount of 1 is a good joint, 0 a bare pad."""
    for (at, half), amount in zip(_pads(part), amounts, strict=True):
        canvas.paint(_box(canvas.u, canvas.v, at, half), _PAD if amount > 0.05 else _BARE)
        if amount <= 0.05:
            continue
        grow = 0.72 + 0.28 * min(amount, 1.0) + max(amount - 1.0, 0.0) * 0.55
        shape = (half[0] * grow, half[1] * grow)
        swollen = amount > 1.25
        distance = _ellipse(canvas.u, canvas.v, at, (shape[0] * 1.12, shape[1] * 1.06)) if swollen else None
        canvas.solder(_box(canvas.u, canvas.v, at, shape) if distance is None else distance, 2.2 + 1.4 * amount)


def _two_terminal(canvas: _Canvas, part: Part, place: tuple[float, float, float], marking: str) -> None:
    du, dv, turn = place
    u, v = canvas.u, canvas.v
    half = (part.length / 2, part.width / 2)
    canvas.paint(_box(u, v, (du + 1.0, dv + 1.4), half, turn), ((6, 10, 12), (10, 26, 18)), 0.5, soft=2.4)
    canvas.paint(_box(u, v, (du, dv), half, turn), _METAL)
    body = (part.length / 2 - (3.0 if part.kind != "D" else 1.8), part.width / 2)
    canvas.paint(_box(u, v, (du, dv), body, turn), _BODIES[part.kind])
    sheen: Colours = ((44, 42, 52), (64, 64, 70)) if part.kind != "C" else ((132, 96, 76), (204, 170, 134))
    canvas.paint(_box(u, v, (du, dv - part.width / 4), (body[0] - 1, part.width / 10), turn), sheen, 0.55, soft=2.0)
    if part.kind == "D":
        canvas.paint(_box(u, v, (du - body[0] * 0.6, dv), (1.3, body[1] - 0.4), turn), _MARK, 0.85)
    elif part.kind == "R":
        canvas.text(marking, (du - 2.0 * len(marking) * 0.92, dv - 2.2), 0.95, _MARK, by_part=True)


def _chip(canvas: _Canvas, part: Part, place: tuple[float, float, float], marking: str) -> None:
    du, dv, turn = place
    u, v = canvas.u, canvas.v
    pitch = part.length / 4
    for side in (-1, 1):
        for i in range(4):
            c, s = math.cos(turn), math.sin(turn)
            lu, lv = pitch * (i - 1.5), side * (part.width / 2 + 1.8)
            at = (du + lu * c - lv * s, dv + lu * s + lv * c)
            canvas.paint(_box(u, v, at, (pitch * 0.2, 3.0), turn), _LEAD)
    half = (part.length / 2 + 1.0, part.width / 2)
    canvas.paint(_box(u, v, (du + 0.8, dv + 1.2), half, turn), ((6, 8, 10), (10, 22, 18)), 0.5, soft=2.4)
    canvas.paint(_box(u, v, (du, dv), half, turn), _BODIES["U"])
    canvas.paint(_box(u, v, (du, dv - half[1] + 1.6), (half[0] - 1, 0.8), turn), ((40, 40, 50), (62, 64, 68)), 0.6)
    canvas.paint(_ellipse(u, v, (du - half[0] + 3.2, dv + half[1] - 3.2), (1.5, 1.5)), ((46, 46, 54), (74, 76, 80)))
    canvas.text(marking, (du - 2.0 * len(marking) * 1.05, dv - 2.6), 1.05, _MARK, by_part=True)


def _bridge(canvas: _Canvas, part: Part, defect: Defect, rng: np.random.Generator) -> None:
    thickness = 0.9 + 2.0 * defect.severity
    if part.kind == "U":
        pitch = part.length / 4
        gap, side = int(rng.integers(0, 3)), int(rng.choice([-1, 1]))
        at = (pitch * (gap - 1.0), side * (part.width / 2 + 4.4 + float(rng.uniform(-1.2, 2.4))))
        distance = _ellipse(canvas.u, canvas.v, at, (pitch * 0.62, thickness))
    else:
        side = int(rng.choice([-1, 1]))
        at = (float(rng.uniform(-1, 1)), side * (part.width / 2 + 0.9 + thickness * 0.5))
        distance = _box(canvas.u, canvas.v, at, (part.length / 2 + 1.5, thickness), float(rng.uniform(-0.04, 0.04)))
        distance = distance + np.sin(canvas.u * np.float32(0.8)) * np.float32(0.45)
    canvas.solder(distance, thickness * 1.4)


def _scratch(canvas: _Canvas, part: Part, defect: Defect, rng: np.random.Generator) -> None:
    at = (float(rng.uniform(-part.length / 4, part.length / 4)), float(rng.uniform(-part.width / 4, part.width / 4)))
    turn = float(rng.uniform(0, math.pi))
    reach = 8.0 + 12.0 * defect.severity
    c, s = np.float32(math.cos(turn)), np.float32(math.sin(turn))
    along = (canvas.u - np.float32(at[0])) * c + (canvas.v - np.float32(at[1])) * s
    bent_v = canvas.v + np.sin(along * np.float32(0.35)) * np.float32(0.9)
    bright: Colours = ((132, 140, 160), (216, 218, 212))
    distance = _box(canvas.u, bent_v, at, (reach, 0.42 + 0.45 * defect.severity), turn)
    canvas.paint(distance, bright, 0.5 + 0.45 * defect.severity)


def _production(canvas: _Canvas, capture: Capture, rng: np.random.Generator) -> None:
    """What good boards carry too: flux residue and dust."""
    if capture.flux > 0:
        at = (float(rng.uniform(-14, 14)), float(rng.uniform(-14, 14)))
        half = (float(rng.uniform(8, 15)), float(rng.uniform(6, 11)))
        stain: Colours = ((62, 58, 46), (134, 132, 92))
        canvas.paint(_ellipse(canvas.x, canvas.y, at, half), stain, 0.34 * capture.flux, soft=7.0)
    for _ in range(capture.specks):
        at = (float(rng.uniform(-28, 28)), float(rng.uniform(-28, 28)))
        size = float(rng.uniform(0.5, 1.1))
        canvas.paint(_ellipse(canvas.x, canvas.y, at, (size, size)), ((150, 156, 164), (212, 212, 206)), 0.8)


def _camera(pixels: Array, capture: Capture, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Lens blur, lamp, colour of the lamp, haze, sensor noise; then 8 bits."""
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    rows = padded[:, :-2] * np.float32(0.18) + padded[:, 1:-1] * np.float32(0.64) + padded[:, 2:] * np.float32(0.18)
    soft = rows[:, :, :-2] * np.float32(0.18) + rows[:, :, 1:-1] * np.float32(0.64) + rows[:, :, 2:] * np.float32(0.18)
    tint = np.array([1 + capture.warmth, 1.0, 1 - capture.warmth], dtype=np.float32) * np.float32(capture.gain)
    axis = np.linspace(-1, 1, SIZE, dtype=np.float32)
    falloff = 1 - np.float32(0.07) * (axis[:, None] ** 2 + axis[None, :] ** 2)
    lit = soft * tint * falloff[None, :, :, None]
    lit = lit + (np.float32(120) - lit) * np.float32(capture.haze)
    grain = rng.standard_normal(lit.shape[:3], dtype=np.float32)[..., None] * np.float32(capture.noise)
    image: npt.NDArray[np.uint8] = np.clip(np.rint(lit + grain), 0, 255).astype(np.uint8)
    return image


def draw(part: Part, capture: Capture, defect: Defect | None = None) -> npt.NDArray[np.uint8]:
    """One part, both lightings.

    Returns:
        uint8 [2, 64, 64, 3], RGB, in the order of `LIGHTS`; the same for the same arguments.
    """
    rng = np.random.default_rng([part.seed, capture.seed, 11])
    fault = np.random.default_rng([part.seed, defect.seed if defect else 0, 13])
    kind = defect.kind if defect else ""
    severity = defect.severity if defect else 0.0
    canvas = _Canvas(part, capture)
    _surroundings(canvas, part)

    count = len(_pads(part))
    amounts = [capture.fillet * float(rng.uniform(0.94, 1.06)) for _ in range(count)]
    place = (float(rng.normal(0, 0.35)), float(rng.normal(0, 0.35)), float(rng.normal(0, 0.012)))
    hit = int(fault.integers(count))
    if kind == "missing":
        amounts = [0.85 * a for a in amounts]
    elif kind == "excess_solder":
        amounts[hit] = 1.35 + 0.75 * severity
        if part.kind == "U":
            amounts[hit] += 0.5
    elif kind == "insufficient_solder":
        amounts[hit] = 0.0 if severity > 0.4 else 0.02
    elif kind == "tombstone":
        amounts = [1.25, 0.5] if hit == 0 else [0.5, 1.25]
    elif kind == "shift":
        sign_u, sign_v = fault.choice([-1.0, 1.0], size=2)
        reach = 2.2 + 4.0 * severity
        place = (place[0] + sign_u * reach * 0.6, place[1] + sign_v * reach, sign_u * (0.05 + 0.16 * severity))
    _solder_joints(canvas, part, amounts)

    marking = capture.marking or part.marking
    standing = part
    if kind == "tombstone":
        side = -1.0 if hit == 0 else 1.0
        shown = 0.78 - 0.34 * severity
        standing = replace(part, length=part.length * shown)
        place = (place[0] + side * part.length * (1 - shown) / 2 + side, place[1], place[2] + 0.05 * side)
    if kind != "missing":
        (_chip if part.kind == "U" else _two_terminal)(canvas, standing, place, marking)
    if kind == "excess_solder":
        (at, half) = _pads(part)[hit]
        inward = (at[0] * 0.84, at[1]) if part.kind != "U" else (at[0], at[1] * 0.9)
        shape = (half[0] * (0.75 + 0.4 * severity), half[1] * (0.6 + 0.3 * severity))
        canvas.solder(_ellipse(canvas.u, canvas.v, inward, shape), 3.2)
    if kind == "bridge" and defect is not None:
        _bridge(canvas, part, defect, fault)
    if kind == "scratch" and defect is not None:
        _scratch(canvas, part, defect, fault)
    _production(canvas, capture, rng)
    return _camera(canvas.pixels, capture, rng)
