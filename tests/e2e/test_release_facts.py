"""The facts of every release against the real packages: 200 random specs each, merged by both; and the facts made anew.

Downloads the wheels (about 230 MB), so in `make proof` only. `TAO_WHEELS` may name a folder that has them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import releases
from release_specs import cases, disagreement, our_verdict, real_verdicts

from tao_skill_bank.data.releases.facts import known

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("release", known())
def test_the_real_package_and_ours_give_200_specs_the_same_verdict(release: str, tmp_path: Path) -> None:
    given = os.environ.get("TAO_WHEELS")
    try:
        wheels = Path(given) if given else releases.download(release, tmp_path / "wheels")
    except OSError as error:
        pytest.skip(f"the wheels cannot be had: {error}")
    root = tmp_path / "unpacked"
    found = {name: releases.unpack(wheels, name, release, root) for name in releases.WHEELS}
    drawn = cases(release, 200)
    real = real_verdicts(root, drawn)
    refused = sum(verdict is not None for verdict in real)
    print(f"TAO {release}: {len(drawn)} specs, {refused} refused by the real merge")
    assert 50 < refused < 150
    wrong = [
        (why, case["text"])
        for case, verdict in zip(drawn, real, strict=True)
        if (why := disagreement(our_verdict(release, case), verdict))
    ]
    assert wrong == []
    made = releases.written(releases.facts(release, root, found))
    assert made == (releases.FOLDER / f"{release}.json").read_text(encoding="utf-8"), (
        "make releases writes something else"
    )
