#!/usr/bin/env python3
"""Make the pictures of README and docs from a real run: `python scripts/make_pictures.py [RUN]`.

Without a run folder it runs the demo first. Needs Chromium and playwright; a picture is at most 1,280 pixels wide and
has few colours, so that all of them together stay small.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
IMAGES = ROOT / "docs/images"
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--force-color-profile=srgb"]
WIDTH = 1280


def main() -> int:
    """Write every picture; prints what was written and its size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, help="A finished run folder.  [default: the demo is run]")
    parser.add_argument("--to", type=Path, default=IMAGES, help="Folder of the pictures.")
    given = parser.parse_args()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("playwright is not installed; pip install playwright", file=sys.stderr)
        return 2
    if not CHROMIUM.exists():
        print(f"no Chromium at {CHROMIUM}; apt-get install chromium", file=sys.stderr)
        return 2
    given.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as running:
        run = given.run or demo(Path(scratch) / "demo")
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        made = {**pictures(browser, run, Path(scratch)), **studio_pictures(browser, run)}
        for name, png in made.items():
            path = given.to / name
            path.write_bytes(small(png))
            shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
            print(f"{shown}: {path.stat().st_size // 1000} kB")
        browser.close()
    return 0


def demo(folder: Path) -> Path:
    """The demo's run folder."""
    import subprocess

    command = [sys.executable, "-m", "tao_skill_bank.cli", "demo", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip().splitlines()[-1]).parent


def pictures(browser: Any, run: Path, scratch: Path) -> dict[str, bytes]:
    """Picture name → PNG."""
    from tao_skill_bank.reports.deft.report import REPORT_FILE, render_report

    render_report(run)
    found: dict[str, bytes] = {}
    for scheme in ("light", "dark"):
        page = browser.new_page(viewport={"width": WIDTH, "height": 960}, color_scheme=scheme)
        page.goto((run / REPORT_FILE).as_uri())
        found[f"report-{scheme}.png"] = page.locator("#verdict").screenshot()
        if scheme == "light":
            whole, figures = page.locator("#verdict").bounding_box(), page.locator(".figures").bounding_box()
            # README's first screen has room for the upper half.
            whole["height"] = figures["y"] + figures["height"] - whole["y"]
            found["report-verdict.png"] = page.screenshot(clip=whole)
            for section in ("causes", "defects", "weakest", "pool"):
                found[f"report-{section}.png"] = page.locator(f"#{section}").screenshot()
        page.close()
    phone = browser.new_page(viewport={"width": 390, "height": 844}, device_scale_factor=2)
    phone.goto((run / REPORT_FILE).as_uri())
    found["report-phone.png"] = phone.screenshot()
    phone.close()
    shown = scratch / "watch.html"
    shown.write_text(terminal(run), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1040, "height": 600}, device_scale_factor=1)
    page.goto(shown.as_uri())
    found["watch.png"] = page.locator("pre").screenshot()
    page.close()
    return found


def studio_pictures(browser: Any, run: Path) -> dict[str, bytes]:
    """The page that people work in, view by view."""
    import threading

    from tao_skill_bank.studio.serve import served

    views = {
        "samples": (f"#/samples?run={run.name}&set=kpi&pile=all", ".grid .cell .there", "light"),
        "board": (f"#/board?run={run.name}&set=kpi&row=120", ".mini .there", "dark"),
        "labels": (f"#/labels?run={run.name}", ".suspect .there", "light"),
        "plan": (f"#/plan?like={run.name}", ".approve", "light"),
        "run": (f"#/run/{run.name}", ".claims", "dark"),
    }
    page = served(run.parent.parent)
    thread = threading.Thread(target=page.run, daemon=True)
    thread.start()
    found = {}
    for name, (place, there, scheme) in views.items():
        tab = browser.new_page(viewport={"width": WIDTH, "height": 800}, color_scheme=scheme)
        tab.goto(page.url(place))
        tab.get_by_label("Your name").fill("Ana")
        tab.wait_for_selector(there, timeout=120000)
        tab.wait_for_load_state("networkidle")
        found[f"studio-{name}.png"] = tab.screenshot()
        tab.close()
    page.server.should_exit = True
    thread.join(20)
    return found


def terminal(run: Path) -> str:
    """`tao-skills deft watch` as a page, as a terminal of 110 by 30 shows it."""
    from rich.console import Console

    from tao_skill_bank.commands.watch import Screen

    screen = Screen(run)
    screen.read()
    console = Console(
        record=True, width=110, height=28, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(screen)
    body = console.export_html(inline_styles=True, code_format="{code}")
    style = "margin:0;padding:20px 26px;background:#16191c;color:#e4e6e8;display:inline-block;font:14px/1.45 monospace"
    return f'<!doctype html><meta charset="utf-8"><body style="margin:0"><pre style="{style}">{body}</pre>'


def small(png: bytes) -> bytes:
    """The picture with at most 256 colours."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    out = io.BytesIO()
    image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main())
