"""`annotate check` and `annotate export` beside reading and writing the same records: time and memory.

    python benchmarks/checking.py [--quick] [--profile]

1,000 videos with 24 questions each, every part in a process of its own, processor seconds without start-up. The floor
parses the rows of step 3 and their items, and writes them.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

VIDEOS, QUICK = 1000, 60
EACH = 8
PARTS = ("floor", "check", "export")
_WHO = ("a worker", "the driver", "a child", "the guard", "a cyclist", "the courier", "a visitor", "the technician")
_COLOURS = ("red", "blue", "grey", "yellow", "dark green", "white", "orange", "striped")
_THINGS = ("forklift", "cart", "ladder", "box", "van", "pallet", "gate", "bucket", "drone", "bench", "barrier", "crane")
_DOES = ("moves", "lifts", "pushes", "leaves", "opens", "blocks", "turns", "passes", "drops", "carries")
_WHERE = ("beside the rack", "near the door", "behind the column", "on the ramp", "at the crossing", "under the stairs")
_WHEN = (
    "before the light changes",
    "while it rains",
    "after the truck stops",
    "at 0:07",
    "from 5 s to 11 s",
    "at last",
)


def _event(chance: random.Random) -> str:
    words = [chance.choice(part) for part in (_WHO, _DOES, _COLOURS, _THINGS, _WHERE, _WHEN)]
    return f"{words[0]} {words[1]} the {words[2]} {words[3]} {words[4]} {words[5]}"


def _item(kind: str, chance: random.Random) -> dict[str, Any]:
    said, then = _event(chance), _event(chance)
    story = f"In the first pictures {said}. Then {then}, which can be seen until the end."
    if kind == "bcq":
        word, close = chance.choice((("Yes", "so the answer is yes"), ("No", "so the answer is no")))
        return {
            "question": f"Is it true that {said}?",
            "answer": word,
            "explanation": f"It is seen that {then}.",
            "reasoning": f"{story} What is asked can be judged by that, {close}.",
        }
    if kind == "mcq":
        right = chance.randrange(4)
        return {
            "question": f"What happens after {said}?",
            "choices": [_event(chance).capitalize() for _ in range(4)],
            "answer": "ABCD"[right],
            "reasoning": f"{story} The other options do not fit, so option {'ABCD'[right]} is right.",
        }
    return {"question": f"What happens once {said}?", "answer": f"{then.capitalize()}.", "reasoning": story}


def draw(folder: Path, videos: int) -> None:
    """A results folder as step 3 leaves it, and a small file for each video."""
    chance = random.Random(5)
    step = folder / "results/step_3_qa/qa_output.jsonl"
    step.parent.mkdir(parents=True)
    (folder / "videos").mkdir()
    with step.open("w", encoding="utf-8") as handle:
        for number in range(videos):
            video = folder / f"videos/v{number:05d}.mp4"
            video.write_bytes(b"video %d" % number * 100)
            for kind in ("bcq", "mcq", "open_qa"):
                text = json.dumps({"items": [_item(kind, chance) for _ in range(EACH)]})
                row = {"video": str(video), "prompt_key": f"normal_{kind}", "qa_output": text, "video_length": 30.0}
                handle.write(json.dumps(row) + "\n")


def _floor(folder: Path) -> int:
    count = 0
    step = folder / "results/step_3_qa/qa_output.jsonl"
    with step.open(encoding="utf-8") as rows, (folder / "floor.jsonl").open("w", encoding="utf-8") as out:
        for line in rows:
            row = json.loads(line)
            for item in json.loads(row.pop("qa_output"))["items"]:
                out.write(json.dumps({"video": row["video"], **item}, ensure_ascii=False) + "\n")
                count += 1
    return count


def _check(folder: Path) -> int:
    from tao_skill_bank.annotate.api import check_items

    written = check_items(folder / "results")
    return sum(n for task, n in written.items.items() if not task.endswith("_openended")) + written.rejected


def _export(folder: Path) -> int:
    from tao_skill_bank.annotate.export.build import export
    from tao_skill_bank.annotate.export.items import Options

    done = export(folder / "results", Options("swift", folder / "export"))
    return sum(n for counts in done.counts.values() for n in counts.values()) + sum(done.refused.values())


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def part(name: str, folder: Path, profile: bool) -> None:
    """Print what a part takes: its questions, processor seconds, MB over what the process held when it began."""
    work: Callable[[Path], int] = {"floor": _floor, "check": _check, "export": _export}[name]
    if name != "floor":
        # What is imported, and the patterns: start-up, not work.
        from tao_skill_bank.annotate.api import check_items  # noqa: F401
        from tao_skill_bank.annotate.export import build  # noqa: F401
        from tao_skill_bank.annotate.quality.patterns import patterns

        patterns()
    profiler = cProfile.Profile() if profile else None
    before, began = _peak(), time.process_time()
    count = profiler.runcall(work, folder) if profiler else work(folder)
    took = time.process_time() - began
    print(json.dumps({"questions": count, "seconds": took, "mb": _peak() - before}))
    if profiler:
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(25)


def measure(folder: Path, profile: bool = False) -> Iterator[dict[str, Any]]:
    """Each part in a process of its own, in order."""
    for name in PARTS:
        command = [sys.executable, __file__, "--part", name, str(folder), *(["--profile"] if profile else [])]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        yield {"part": name, **json.loads(done.stdout)}


def main() -> int:
    """Draw, measure, print; 0 when every part saw every question."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} videos")
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    parser.add_argument("--part", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        part(given.part[0], Path(given.part[1]), given.profile)
        return 0
    videos = QUICK if given.quick else VIDEOS
    with tempfile.TemporaryDirectory() as name:
        draw(Path(name), videos)
        found = list(measure(Path(name), given.profile))
    floor = found[0]["seconds"]
    print(f"{videos} videos, {found[0]['questions']} questions")
    for one in found:
        ratio = f"{one['seconds'] / floor:.1f} x reading and writing them"
        print(f"{one['part']:<7} {one['seconds']:8.3f} s  {ratio}, {one['mb']:.0f} MB over its start")
    return 0 if len({one["questions"] for one in found}) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
