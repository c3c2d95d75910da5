"""What a label says: a good part, a defect, or something that is neither until somebody decides.

TAO knows one word for a good part, `PASS`, and trains everything else as a defect. Plants write `OK`, `Good`, `normal`
or `0`: such a label is refused wherever labels are read, and never made a defect by lower-casing it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.text import plural

PASS = "PASS"
_GOOD = ("pass", "passed", "ok", "okay", "good", "normal", "accept", "accepted", "acceptable", "healthy", "intact")
_BAD = (
    *("defect", "defective", "fault", "faulty", "error", "issue", "problem", "flaw", "failure", "fail", "failed"),
    *("anomaly", "anomalies", "anomalous", "abnormal", "abnormality", "damage", "damaged", "bad", "reject", "rejected"),
    *("ng", "nok"),
)
_NOUNS = ("", "part", "parts", "board", "boards", "unit", "sample", "image", "pcb", "piece")
GOOD_WORDS = frozenset(
    (
        *(word + noun for word in _GOOD for noun in _NOUNS),
        *("io", "gut", "conforming", "compliant", "undamaged", "clean", "negative"),
        *(
            no + what + s + found
            for no in ("no", "non", "not", "nota", "notan", "without", "zero")
            for what in _BAD
            for s in ("", "s")
            for found in ("", "found", "seen", "detected")
        ),
        *(what + free for what in _BAD for free in ("free", "less")),
        *(
            where + what
            for where in ("in", "within")
            for what in ("spec", "specs", "specification", "tolerance", "limits")
        ),
        *("flawless", "conform", "conforms", "fine", "fehlerfrei", "ohnebefund", "bon", "bonne", "bueno", "conforme"),
        *(
            f"{way}{what}{s}"
            for way in ("false", "pseudo")
            for what in ("call", "alarm", "defect", "error")
            for s in ("", "s")
        ),
        *("合格", "合格品", "良品", "良", "正常", "正常品", "无缺陷", "양품", "정상"),
    )
)
"""Words for a good part, as `key` writes them: `io` is the German `i.O.`, a false call a good part that was flagged."""
EITHER_WORDS = frozenset(("false", "no", "none", "na", "nan", "null", "nil", ""))
"""What stands in a column of defects where there is none, as `key` writes it; it may also mean that nobody looked."""
_SHORTEST = 5
_MOST_LABELS = 2000


def key(label: str) -> str:
    """A label's letters and digits alone, in one case: equal for `Pin Hole`, `pin-hole` and `pin_hole`."""
    text = unicodedata.normalize("NFKC", label).casefold()
    return "".join(c for c in text if c.isalnum())


def is_pass(label: str) -> bool:
    """The label is `PASS`, in any case and with any spaces around it."""
    return label.strip().upper() == PASS


def says_good(label: str) -> bool:
    """The label is a word for a good part: `PASS`, `ok`, `Good`, `no defect` …; not `0`, which may be a class."""
    return key(label) in GOOD_WORDS


def may_be_good(label: str) -> bool:
    """The label is zero, `False`, `none` …: good, the first class of defects, or nobody's judgment."""
    try:
        return float(label) == 0.0
    except ValueError:
        return bool(label.strip()) and key(label) in EITHER_WORDS


def label_fault(label: str) -> str | None:
    """What is wrong with a label, and what to write instead; None where TAO reads it as it is meant."""
    text = label.strip()
    if label == PASS:
        return None
    if is_pass(label):
        return f"is {label!r}, which TAO trains as a defect (write {PASS})"
    if says_good(label):
        return f"is {label!r}, a word for a good part, which TAO trains as a defect (write {PASS})"
    if may_be_good(text):
        meant = f"write {PASS} where {text} means good, else the defect's name"
        return f"is {label!r}, which TAO trains as a defect ({meant})"
    if label != text.lower():
        return f"is {label!r} (write {text.lower()!r}: defect names are lower-case, without spaces around)"
    return None


def judged_as_defect(labels: Iterable[str]) -> set[str]:
    """Of some labels those that read as good and that whatever judges scores would count as defects."""
    return {x for x in labels if not is_pass(x) and (says_good(x) or may_be_good(x))}


def not_judged(path: Path, row: int, label: str, rows: int) -> InputError:
    """Why the scores of a file are not judged: a good part that would count as a defect.

    `row` is the first of `rows` such rows, counted from 0.
    """
    others = f" (and {rows - 1} more rows)" if rows > 1 else ""
    return InputError(
        f"label {label!r} reads as a good part, and everything but {PASS} is judged as a defect{others}",
        where=f"{path} row {row + 1}",
        fix=f"write {PASS} there for good parts, else the defect's name",
    )


def near_misses(counts: Mapping[str, int]) -> list[str]:
    """A line for every two defect names that are probably one: `'pin hole' (3 rows) beside 'pin-hole' (40 rows)`.

    Two names are near where only case, spaces and punctuation tell them apart, or one slip of the pen within a word of
    at least five letters. `crack_a` and `crack_b`, `short1` and `short2` are two names.
    """
    names = sorted({label.strip() for label in counts if label.strip() and not is_pass(label)})
    keys = {name: key(name) for name in names}
    groups: dict[str, set[str]] = {}
    for name in names[:_MOST_LABELS]:
        text = keys[name]
        for reduced in {text, *(text[:i] + text[i + 1 :] for i in range(len(text)))} if text else ():
            groups.setdefault(reduced, set()).add(name)
    pairs = {
        pair
        for group in groups.values()
        for pair in combinations(sorted(group), 2)
        if keys[pair[0]] == keys[pair[1]] or _one_slip(keys[pair[0]], keys[pair[1]])
    }
    rows = {name: sum(n for label, n in counts.items() if label.strip() == name) for name in names}
    return [f"{a!r} ({plural(rows[a], 'row')}) beside {b!r} ({plural(rows[b], 'row')})" for a, b in sorted(pairs)]


def _one_slip(first: str, second: str) -> bool:
    """One letter left out, added, changed or swapped with its neighbour; ends and digits may tell names apart."""
    short, long = sorted((first, second), key=len)
    if len(short) < _SHORTEST or [c for c in short if c.isdigit()] != [c for c in long if c.isdigit()]:
        return False
    at = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        plural = at == len(short) and long[at:] == "s"
        return plural or (0 < at < len(short) and short[at:] == long[at + 1 :])
    swapped = short[at : at + 2] == long[at : at + 2][::-1] and short[at + 2 :] == long[at + 2 :]
    changed = 0 < at < len(short) - 1 and short[at + 1 :] == long[at + 1 :]
    return swapped or changed
