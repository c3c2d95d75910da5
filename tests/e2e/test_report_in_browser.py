"""The pages as a person meets them: in Chromium, from disk, with no network, read by the accessibility checker too."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import chromium
import pytest
from report_runs import RunBuilder

from tao_skill_bank.loop.state import save_state
from tao_skill_bank.metrics import clopper_pearson, confusion_at
from tao_skill_bank.reports.app import app_html, board_html
from tao_skill_bank.reports.compare import compare_runs, write_page
from tao_skill_bank.reports.deft.live import LiveServer
from tao_skill_bank.reports.deft.report import REPORT_FILE, render_report
from tao_skill_bank.reports.deft.status import status_of
from tao_skill_bank.reports.deft.view import RunView
from tao_skill_bank.reports.rca.analysis import make_rca, set_verdict
from tao_skill_bank.tasks.registry import load_state

FLAGS = [*chromium.QUIET, "--disable-gpu", "--disable-component-update"]
HOSTILE = "</script><img src=x onerror=alert(1)>\"' \u202e\u05d0 {{7*7}} 😀" + "long_" * 40
SECTIONS = [
    *("verdict", "far", "causes", "defects", "weakest", "pair", "pool", "gates", "recommendations", "handoff"),
    *("iterations", "timeline", "problem", "dataset", "approach", "final"),
]
PLACES = (".verdict-words", ".verdict-figure", ".figures", ".checks", ".next-list", ".contents", "#far")
SCORES, CURVE = (f"#causes .frame:not([hidden]) {plot}" for plot in (".plot.bare", ".curve-plot"))
pytestmark = [pytest.mark.browser, chromium.IS_THERE]
# The runs of the whole file are made once; pages are opened, never changed on disk.
KINDS: dict[str, dict[str, Any]] = {
    "finished": {"iterations": 3, "skill": 0.6},
    "one iteration without an acceptance set": {"iterations": 1, "acceptance": False},
    "running with only a baseline": {"iterations": 0, "status": "running", "in_progress": "routing"},
    "planned": {"iterations": 0, "status": "planned", "with_baseline": False},
    "stopped at a gate": {"iterations": 1, "status": "stopped", "stop_reason": "silent-drop: nobody takes scratch"},
    "met": {"iterations": 2, "skill": 1.4},
    "20 iterations of 40 labels under 12 lightings": {
        "iterations": 20,
        "labels": [f"kind_{i}" for i in range(40)],
        "lights": [f"Light{i}" for i in range(12)],
        "passes": 20,
        "per_label": 2,
    },
    "no images": {"pictures": False},
    "hostile text": {"labels": [HOSTILE, "scratch"], "summary": HOSTILE, "pictures": False, "skill": 0.5},
    "all scores alike": {"alike": True, "pictures": False},
}


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The run folder of a kind, rendered, made at the first call."""
    made: dict[str, Path] = {}

    def find(kind: str) -> Path:
        if kind not in made:
            made[kind] = RunBuilder(tmp_path_factory.mktemp("run"), **KINDS[kind]).build()
            render_report(made[kind])
        return made[kind]

    return find


class Visit:
    """A page in a fresh context; what it said and asked for is kept."""

    def __init__(
        self, browser: Any, file: Path, *, width: int = 1280, scheme: str = "light", script: bool = True
    ) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
        )
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def quiet(self) -> bool:
        """Nothing on the console, and no request but the file itself and its inlined pictures."""
        own = [url for url in self.asked if not url.startswith("data:")]
        return self.said == [] and len(own) == 1 and own[0].startswith("file:")

    def wider_than_the_window(self) -> list[str]:
        """What sticks out of the page to the right, scrolling tables aside."""
        found: list[str] = self.page.evaluate(
            """() => [...document.querySelectorAll('body *')]
                .filter(e => !e.closest('.scroll') && e.getBoundingClientRect().right > innerWidth + 0.5)
                .map(e => e.outerHTML.slice(0, 120))"""
        )
        return found

    def faults(self, axe: str, contrast: str = "html") -> list[str]:
        """Serious and critical findings of axe, by rule and place; contrast, its slowest rule, of a part only."""
        self.page.evaluate(axe)
        found: list[str] = self.page.evaluate(
            """async part => {
                const ask = (where, more) => axe.run(where, {resultTypes: ['violations'], ...more});
                const all = await ask(document, {rules: {'color-contrast': {enabled: false}}});
                const seen = await ask(part, {runOnly: ['color-contrast']});
                return [...all.violations, ...seen.violations].filter(v => ['serious', 'critical'].includes(v.impact))
                    .flatMap(v => v.nodes.map(n => v.id + ': ' + n.html.slice(0, 140))); }""",
            contrast,
        )
        return found

    def fields(self) -> dict[str, dict[str, str]]:
        """Every figure of the page by its name."""
        found: dict[str, dict[str, str]] = self.page.evaluate(
            "() => Object.fromEntries([...document.querySelectorAll('[data-field]')].map(e => "
            "[e.dataset.field, {...e.dataset, shown: e.textContent}]))"
        )
        return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_is_complete_quiet_accessible_and_fits_a_phone_in_light_and_dark(
    browser: Any, run_of: Callable[[str], Path], axe: str, kind: str
) -> None:
    file = run_of(kind) / REPORT_FILE
    assert file.stat().st_size < 3_000_000
    with Visit(browser, file) as visit:
        assert visit.quiet(), (visit.said, visit.asked)
        ids = visit.page.evaluate("[...document.querySelectorAll('main section[id]')].map(e => e.id)")
        assert [x for x in ids if x in SECTIONS] == SECTIONS
        assert not re.search(r"\b(NaN|undefined|Infinity)\b", visit.page.inner_text("body"))
        bad = visit.page.evaluate(
            "() => [...document.querySelectorAll('svg *')].filter(e => [...e.attributes].some("
            "a => /NaN|Infinity|undefined|^-[0-9.]+%$/.test(a.value) && a.name !== 'y')).map(e => e.outerHTML)"
        )
        assert bad == []
        for scheme, width, ground in (("light", 1280, "rgb(247, 247, 245)"), ("dark", 390, "rgb(16, 18, 20)")):
            visit.page.set_viewport_size({"width": width, "height": 900})
            visit.page.emulate_media(color_scheme=scheme)
            assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
            assert visit.wider_than_the_window() == []
            # Below the verdict colours do not depend on the kind of run, so one of them is read whole in both schemes.
            part = "html" if kind == "finished" else "#verdict"
            assert (scheme == "light" and kind != "finished") or visit.faults(axe, part) == []
        assert visit.said == []


def test_figures_in_the_browser_are_those_on_disk(browser: Any, run_of: Callable[[str], Path]) -> None:
    run = run_of("finished")
    state = load_state(run)
    accepted = json.loads((run / "acceptance/acceptance.json").read_text(encoding="utf-8"))
    log = [json.loads(line) for line in (run / "loop_log.jsonl").read_text(encoding="utf-8").splitlines()]
    expected: dict[str, Any] = {"best.iteration": state.best_iteration}
    for label, it in state.iterations.items():
        e = it.evaluations[0]
        expected |= {
            f"{label}.far_pct": it.far_pct,
            f"{label}.recall_pct": e.recall.value_pct,
            f"{label}.threshold": it.threshold,
            f"{label}.training_rows": it.training_rows,
            f"frame.{label}.far_pct": it.far_pct,
            f"frame.{label}.threshold": it.threshold,
            **{f"frame.{label}.{key}": getattr(e, key) for key in ("tp", "fp", "tn", "fn")},
            f"frame.{label}.precision_pct": 100 * e.tp / (e.tp + e.fp),
        }
        if label != "baseline":
            expected |= {
                f"added.{label}.real": it.mining_mined_count,
                f"added.{label}.synthetic": it.anomalygen_count,
                f"added.{label}.total": it.training_rows,
            }
    for name in ("baseline", "best"):
        expected[f"acceptance.{name}.far_pct"] = accepted[name]["far"]["value_pct"]
        expected[f"acceptance.{name}.recall_pct"] = accepted[name]["recall"]["value_pct"]
        expected[f"acceptance.{name}.fn"] = accepted[name]["fn"]
    for line in log:
        expected[f"stage.{line['seq']}.duration_sec"] = line["duration_sec"]
        expected[f"stage.{line['seq']}.context_tokens"] = line["context_tokens"]
    with Visit(browser, run / REPORT_FILE) as visit:
        fields = visit.fields()
    assert len(expected) > 80
    for name, value in expected.items():
        assert fields[name]["value"] == (value if isinstance(value, str) else json.dumps(value)), name
    intervals = [(e.far, f"{label}.far_pct") for label, it in state.iterations.items() for e in it.evaluations]
    for interval, name in intervals:
        assert fields[f"{name}.interval"]["low"] == repr(interval.low_pct)
        assert fields[f"{name}.interval"]["high"] == repr(interval.high_pct)


def test_scrubbing_shows_one_iteration_after_the_other(browser: Any, run_of: Callable[[str], Path]) -> None:
    with Visit(browser, run_of("finished") / REPORT_FILE) as visit:
        page = visit.page
        slider = page.locator("#scrub")
        shown = "() => [...document.querySelectorAll('.frame:not([hidden])')].map(f => f.dataset.phase)"
        assert page.evaluate(shown) == [load_state(run_of("finished")).best_iteration]
        slider.focus()
        page.keyboard.press("Home")
        seen = [page.evaluate(shown)]
        for _ in range(3):
            page.keyboard.press("ArrowRight")
            seen.append(page.evaluate(shown))
        assert seen == [["baseline"], ["iter1"], ["iter2"], ["iter3"]]
        assert slider.get_attribute("aria-valuetext") == "Iteration 3"
        assert page.inner_text("#scrub-name") == "Iteration 3"


def test_a_threshold_that_is_tried_has_the_errors_and_intervals_of_the_inference(
    browser: Any, run_of: Callable[[str], Path]
) -> None:
    run = run_of("finished")
    view = RunView(run)
    phase = view.best
    assert phase is not None
    assert phase.scored is not None
    with Visit(browser, run / REPORT_FILE) as visit:
        page = visit.page
        data = json.loads(page.inner_text("#explorer-data", timeout=2000) or page.text_content("#explorer-data"))
        at = [p.label for p in view.measured].index(phase.label)
        for place in (0, len(data[at]["t"]) // 3, len(data[at]["t"]) - 1):
            point = confusion_at(phase.scored.scores, phase.scored.is_pass, data[at]["t"][place])
            box = page.locator(f"#try-{phase.label}")
            box.evaluate("(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); }", str(place))
            said = page.locator(f".frame[data-phase={phase.label}] .try-row output").inner_text()
            assert f"{point.fp} of {point.fp + point.tn} PASS flagged" in said
            assert f"{point.fn} of {point.fn + point.tp} defects missed" in said
            found = [float(x) for x in re.search(r"FAR [\d.e-]+ % \(([\d.e-]+)–([\d.e-]+) %\)", said).groups()]  # type: ignore[union-attr]
            low, high = clopper_pearson(point.fp, point.fp + point.tn)
            assert found == pytest.approx([100 * low, 100 * high], rel=0.006, abs=1e-9)


def test_lightings_are_shown_one_at_a_time_and_all_without_a_script(
    browser: Any, run_of: Callable[[str], Path]
) -> None:
    shown = "() => [...document.querySelectorAll('section:has(.lights) .shots')].filter(e => e.offsetHeight > 0).length"
    with Visit(browser, run_of("finished") / REPORT_FILE) as visit:
        assert visit.page.evaluate(shown) == 12
        visit.page.locator(".lights button", has_text="WhiteLight").click()
        assert visit.page.evaluate(shown) == 12
        assert visit.page.locator(".gallery .shots[data-light=WhiteLight]").first.is_visible()
        visit.page.locator(".lights button", has_text="all").click()
        assert visit.page.evaluate(shown) == 24
    with Visit(browser, run_of("finished") / REPORT_FILE, script=False) as visit:
        assert visit.page.locator("section:has(.lights) .shots:visible").count() == 24
        assert visit.page.locator(".frame:visible").count() == 4
        assert visit.page.locator("#scrub:visible, #theme:visible, .try-row:visible").count() == 0


def test_light_and_dark_can_be_switched_by_hand_and_are_kept(browser: Any, run_of: Callable[[str], Path]) -> None:
    with Visit(browser, run_of("finished") / REPORT_FILE) as visit:
        ground = "getComputedStyle(document.body).backgroundColor"
        before = visit.page.evaluate(ground)
        visit.page.keyboard.press("Tab")
        visit.page.locator("#theme").press("Enter")
        assert visit.page.evaluate(ground) == "rgb(16, 18, 20)" != before
        visit.page.reload()
        assert visit.page.evaluate(ground) == "rgb(16, 18, 20)"


def test_every_shape_lies_inside_its_plot(browser: Any, run_of: Callable[[str], Path]) -> None:
    for kind in ("finished", "20 iterations of 40 labels under 12 lightings", "all scores alike"):
        with Visit(browser, run_of(kind) / REPORT_FILE) as visit:
            outside = visit.page.evaluate(
                """() => [...document.querySelectorAll('.field > svg')].flatMap(svg => {
                    const box = svg.getBoundingClientRect();
                    return [...svg.querySelectorAll('rect, line, circle, polyline')].filter(e => {
                        const r = e.getBoundingClientRect();
                        return r.width + r.height > 0 && (r.left < box.left - 8 || r.right > box.right + 8
                            || r.top < box.top - 8 || r.bottom > box.bottom + 8); }).map(e => e.outerHTML); })"""
            )
            assert visit.page.locator(".field svg rect, .field svg circle").count() > 10
            assert outside == []


def test_labels_of_an_axis_do_not_touch_each_other(browser: Any, run_of: Callable[[str], Path]) -> None:
    for kind, width in (("20 iterations of 40 labels under 12 lightings", 1280), ("finished", 390), ("finished", 1280)):
        with Visit(browser, run_of(kind) / REPORT_FILE, width=width) as visit:
            touching = visit.page.evaluate(
                """() => [...document.querySelectorAll('.x-axis, .y-axis')].flatMap(axis => {
                    const boxes = [...axis.children].map(e => [e.textContent, e.getBoundingClientRect()]);
                    const out = [];
                    for (const [i, [name, a]] of boxes.entries()) for (const [other, b] of boxes.slice(i + 1))
                        if (a.width && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3
                            && b.top < a.bottom - 3) out.push(name + ' and ' + other);
                    return out; })"""
            )
            assert touching == []


def test_pictures_are_shown_and_named(browser: Any, run_of: Callable[[str], Path]) -> None:
    with Visit(browser, run_of("finished") / REPORT_FILE) as visit:
        pictures = visit.page.evaluate("[...document.images].map(i => [i.naturalWidth, i.alt])")
        # The 12 weakest, the pair, and the goldens of the 4 that decide, whose captures this run does not have.
        assert len(pictures) == 12 * 4 + 4 + 4 * 2
        assert {width for width, _ in pictures} == {24}
        assert all(alt for _, alt in pictures)
        sample = visit.page.locator(".gallery .sample").first.inner_text()
        assert "score" in sample
        assert "weakness" in sample


def test_the_accessibility_checker_finds_what_it_should(browser: Any, axe: str, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        '<html lang="en"><title>x</title><img src="data:,"><p style="color:#bbb;background:#fff">pale</p>',
        encoding="utf-8",
    )
    with Visit(browser, page) as visit:
        rules = {fault.split(":")[0] for fault in visit.faults(axe)}
    assert {"image-alt", "color-contrast"} <= rules


def test_headings_go_down_one_step_at_a_time_and_charts_say_what_they_show(
    browser: Any, run_of: Callable[[str], Path]
) -> None:
    with Visit(browser, run_of("finished") / REPORT_FILE) as visit:
        levels = visit.page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
        charts = visit.page.evaluate(
            "[...document.querySelectorAll('[role=img]')].map(e => e.getAttribute('aria-label'))"
        )
        assert len(charts) >= 4
        assert all(len(about) > 20 for about in charts)
        tables = visit.page.evaluate("[...document.querySelectorAll('table')].map(t => !!t.caption)")
        assert len(tables) > 6
        assert all(tables)


def test_the_verdict_is_on_the_first_screen_with_why_and_what_next(browser: Any, run_of: Callable[[str], Path]) -> None:
    with Visit(browser, run_of("finished") / REPORT_FILE) as visit:
        for selector in ("#status", ".lede", ".ship", ".figures", ".next-list li >> nth=0"):
            box = visit.page.locator(selector).bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= 900, selector


def test_a_report_prints_baseline_and_best_without_what_only_a_screen_can_use(
    browser: Any, run_of: Callable[[str], Path], tmp_path: Path
) -> None:
    run = run_of("finished")
    with Visit(browser, run / REPORT_FILE, scheme="dark") as visit:
        pdf = visit.page.pdf(path=str(tmp_path / "report.pdf"), format="A4")
        assert pdf.startswith(b"%PDF-")
        visit.page.emulate_media(media="print")
        assert not visit.page.locator(".contents").is_visible()
        assert visit.page.locator("#scrub:visible, #theme:visible").count() == 0
        shown = visit.page.evaluate(
            "[...document.querySelectorAll('.frame')].filter(f => f.offsetHeight).map(f => f.dataset.phase)"
        )
        assert shown == ["baseline", load_state(run).best_iteration]
        assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert visit.page.locator("#final").is_visible()


def test_a_chat_host_shows_the_report_of_the_run_that_was_rendered(
    browser: Any, run_of: Callable[[str], Path], tmp_path: Path
) -> None:
    """The host's side of the protocol, played by a page: handshake, the tool's result, a resource that is read."""
    run = run_of("finished")
    told = {"path": str(run / REPORT_FILE), "status": "not met", "verdict": "not met: because"}
    report = (run / REPORT_FILE).read_text(encoding="utf-8")
    host = tmp_path / "host.html"
    host.write_text(
        f"""<title>host</title><iframe id="app" sandbox="allow-scripts" style="width:1000px;height:800px"></iframe>
        <script>const report = {json.dumps(report).replace("<", chr(92) + "u003c")}, asked = [], answered = [];
        const app = document.getElementById("app");
        const say = m => app.contentWindow.postMessage({{jsonrpc: "2.0", ...m}}, "*");
        addEventListener("message", e => {{
          const {{id, method, params}} = e.data; asked.push(method + " " + ((params || {{}}).uri || ""));
          if (method === undefined) answered.push(e.data);
          if (method === "ui/initialize") say({{id, result: {{protocolVersion: params.protocolVersion,
            hostInfo: {{name: "h", version: "1"}}, hostCapabilities: {{}}, hostContext: {{theme: "dark"}}}}}});
          if (method === "ui/notifications/initialized") say({{method: "ui/notifications/tool-result",
            params: {{content: [], structuredContent: {json.dumps(told)}}}}});
          if (method === "resources/read") say({{id, result: {{contents: [{{uri: params.uri, text: report}}]}}}});
        }});
        app.srcdoc = {json.dumps(app_html()).replace("<", chr(92) + "u003c")};</script>""",
        encoding="utf-8",
    )
    with Visit(browser, host) as visit:
        inside = visit.page.frame_locator("#app")
        assert inside.locator("#status").text_content(timeout=10_000) == load_status(run)
        assert inside.locator(".frame:visible").count() == 1  # the score explorer is alive
        assert inside.locator("html").get_attribute("data-theme") == "dark"
        asked = visit.page.evaluate("asked")
        assert f"resources/read deft-run://{quote(str(run), safe='')}/report" in asked
        assert any(a.startswith("ui/notifications/size-changed") for a in asked)
        visit.page.evaluate("say({id: 'a', method: 'ui/resource-teardown'}); say({id: 'b', method: 'no/such'})")
        visit.page.wait_for_function("answered.length === 2")
        assert visit.page.evaluate("answered.map(m => [m.id, m.error ? m.error.code : m.result])") == [
            ["a", {}],
            ["b", -32601],
        ]
        assert visit.said == []


@pytest.mark.parametrize(
    ("last", "shown"),
    [
        ('{method: "ui/notifications/tool-cancelled", params: {reason: "user"}}', "The tool was cancelled"),
        ('{method: "ui/notifications/tool-result", params: {content: [], isError: true}}', "gave no report"),
        (
            '{method: "ui/notifications/tool-result", params: {content: [], structuredContent: '
            '{path: "/w/run/DEFT_Loop_Report.html", status: "shown", verdict: "shown: it holds"}}}',
            "shown: it holds. /w/run/DEFT_Loop_Report.html",
        ),
    ],
    ids=["cancelled", "failed", "a host that reads no resources"],
)
def test_a_chat_host_without_a_report_shows_one_sentence(browser: Any, tmp_path: Path, last: str, shown: str) -> None:
    host = tmp_path / "host.html"
    host.write_text(
        f"""<title>host</title><iframe id="app" sandbox="allow-scripts"></iframe><script>
        const app = document.getElementById("app"); let modes;
        const say = m => app.contentWindow.postMessage({{jsonrpc: "2.0", ...m}}, "*");
        addEventListener("message", e => {{
          const {{id, method, params}} = e.data;
          if (method === "ui/initialize") {{
            modes = params.appCapabilities.availableDisplayModes; say({{id, result: {{}}}}); }}
          if (method === "ui/notifications/initialized") say({last});
          if (method === "resources/read") say({{id, error: {{code: -32601, message: "no"}}}});
        }});
        app.srcdoc = {json.dumps(app_html()).replace("<", chr(92) + "u003c")};</script>""",
        encoding="utf-8",
    )
    with Visit(browser, host) as visit:
        visit.page.frame_locator("#app").locator("#state", has_text=shown).wait_for(timeout=10_000)
        assert visit.page.evaluate("modes") == ["inline", "fullscreen"]
        assert visit.said == []


def test_the_rca_page_is_complete_quiet_accessible_and_fits_a_phone(
    browser: Any, run_of: Callable[[str], Path], axe: str, tmp_path: Path
) -> None:
    run = run_of("finished")
    state = load_state(run)
    record = state.iterations["baseline"]
    spec = tmp_path / "train.yaml"
    spec.write_text(Path(state.config.specs_file).read_text(encoding="utf-8"), encoding="utf-8")
    found = make_rca(
        tmp_path,
        now=datetime(2026, 9, 1, tzinfo=UTC),
        inference_dir=Path(record.inference_csv or "").parent,
        train_config=spec,
        kpi_media_path=Path(state.config.images_dir),
        check_labels=False,
    )
    image = json.loads((found.folder / "spot_check.json").read_text(encoding="utf-8"))[0]["image"]
    set_verdict(found.folder, image, "edge-case", HOSTILE.replace("\u202e", ""))
    metrics = json.loads((found.folder / "metrics.json").read_text(encoding="utf-8"))
    for scheme, width in (("light", 1280), ("dark", 390)):
        with Visit(browser, found.folder / "RCA_Report.html", width=width, scheme=scheme) as visit:
            assert visit.quiet(), (visit.said, visit.asked)
            assert visit.wider_than_the_window() == []
            assert visit.faults(axe) == []
            fields = visit.fields()
            for key in ("tp", "fp", "tn", "fn"):
                assert int(fields[key]["value"]) == metrics["confusion_matrix"][key]
            assert float(fields["threshold"]["value"]) == metrics["threshold"]
            assert float(fields["far_pct"]["value"]) == pytest.approx(100 * metrics["far"])
            assert "edge case" in visit.page.inner_text("#spot")
            assert not re.search(r"\b(NaN|undefined|Infinity)\b", visit.page.inner_text("body"))


def test_a_comparison_is_quiet_accessible_and_fits_a_phone(
    browser: Any, run_of: Callable[[str], Path], axe: str, tmp_path: Path
) -> None:
    page = write_page(compare_runs([run_of("finished"), run_of("met"), run_of("hostile text")]), tmp_path / "c.html")
    with Visit(browser, page, width=390, scheme="dark") as visit:
        assert visit.quiet(), (visit.said, visit.asked)
        assert visit.wider_than_the_window() == []
        assert visit.faults(axe) == []


def test_a_served_page_loads_itself_again_when_its_run_has_moved_on(browser: Any, tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "live", iterations=1, status="running", pictures=False).build()
    with LiveServer(run) as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.address)
        assert page.inner_text("#status") == "IN PROGRESS"
        state = load_state(run)
        state.status, state.stop_reason = "stopped", "silent-drop: nobody takes scratch"
        save_state(state)
        page.locator("#status", has_text="silent-drop").wait_for(timeout=15_000)
        context.close()


def load_status(run: Path) -> str:
    return status_of(RunView(run)).wording


def test_the_layout_of_a_page_stays_as_it_was_agreed(browser: Any, run_of: Callable[[str], Path]) -> None:
    """Compared by structure, which fonts and versions of a browser do not move: order, columns, shares of the width."""
    with Visit(browser, run_of("finished") / REPORT_FILE) as visit:
        boxes = visit.page.evaluate(
            """names => Object.fromEntries(names.map(s => { const r = document.querySelector(s).getBoundingClientRect();
                return [s, [r.left, r.top, r.width, r.height]]; }))""",
            [*PLACES, SCORES, CURVE],
        )

    def left(name: str) -> float:
        return float(boxes[name][0])

    def top(name: str) -> float:
        return float(boxes[name][1])

    def width(name: str) -> float:
        return float(boxes[name][2])

    assert left(".verdict-words") < left(".verdict-figure")
    assert left(".checks") < left(".next-list")
    assert top(".verdict-words") < top(".figures") < top(".checks") < top("#far")
    assert left(".contents") < left("#far")
    assert abs(width(".verdict-words") - width(".verdict-figure")) < 40
    assert 1.2 < width(SCORES) / width(CURVE) < 1.5
    assert all(b[2] > 100 and b[3] > 40 for b in boxes.values())


def test_a_chat_host_shows_boards_and_its_keys_only_write_labels(browser: Any, tmp_path: Path) -> None:
    told = {
        "workspace": "/w/it's here", "iteration": "iter1", "threshold": 0.5, "pile": "missed", "of": 9,
        "labels": ["PASS", "shift"], "studio": "tao-skills studio /w",
        "boards": [
            {"sample": f"b/C{i}", "label": HOSTILE if i == 2 else "bridge", "score": 0.1 * i, "model": "missed"}
            for i in range(1, 4)
        ],
    }  # fmt: skip
    dot = "data:image/webp;base64,UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="
    result = {"content": [], "structuredContent": told, "_meta": {"tao-skill-bank/pictures": {"b/C1": [dot, dot]}}}
    script = lambda value: json.dumps(value).replace("<", chr(92) + "u003c")  # noqa: E731
    host = tmp_path / "host.html"
    host.write_text(
        f"""<title>host</title><iframe id="app" sandbox="allow-scripts" style="width:390px;height:800px"></iframe>
        <script>
        const app = document.getElementById("app"), asked = [], calls = [];
        const say = m => app.contentWindow.postMessage({{jsonrpc: "2.0", ...m}}, "*");
        addEventListener("message", e => {{
          const {{id, method, params}} = e.data;
          asked.push(method);
          if (method === "ui/initialize") say({{id, result: {{hostContext: {{theme: "dark"}}}}}});
          if (method === "ui/notifications/initialized") say({{method: "ui/notifications/tool-result",
            params: {script(result)}}});
          if (method === "tools/call") {{ calls.push(params);
            say({{id, result: calls.length === 2 ? {{isError: true, content: [{{type: "text", text: "no disk"}}]}}
              : {{content: []}}}}); }}
        }});
        app.srcdoc = {script(board_html())};</script>""",
        encoding="utf-8",
    )
    with Visit(browser, host) as visit:
        inside = visit.page.frame_locator("#app")
        inside.locator("h1", has_text="3 of 9 missed defects").wait_for()
        assert inside.locator(".pair img").count() == 2
        inside.locator("h1").click()
        visit.page.keyboard.press("k")
        inside.locator("#said", has_text="Write your name first").wait_for()
        inside.locator("#who").fill("Ana")
        for key, then in (
            ("k", "label is right"),
            ("x", "Not saved (no disk)"),
            ("p", "it is PASS"),
            ("u", "taken back: b/C3"),  # the last saved here, then the one before it, whatever others said of a board
            ("u", "taken back: b/C1"),
            ("u", "Nothing was said here"),
        ):
            inside.locator("h1").click()
            visit.page.keyboard.press(key)
            inside.locator("#said", has_text=then).wait_for()
            if key == "x":
                typed = inside.locator("#said").inner_text().partition("In a terminal: ")[2]
        options = ["--set", "kpi", "--reason", "data_quality", "--who", "Ana"]
        assert shlex.split(typed) == ["tao-skills", "labels", "drop", told["workspace"], "b/C2", *options]
        calls = visit.page.evaluate("calls")
        assert {call["name"] for call in calls} == {"set_labels"} and {c["arguments"]["who"] for c in calls} == {"Ana"}
        said = [call["arguments"]["words"][0] for call in calls]
        assert [(w["sample"], w.get("label"), w.get("drop"), w.get("undo")) for w in said] == [
            ("b/C1", "bridge", None, None),
            ("b/C2", None, True, None),
            ("b/C3", "PASS", None, None),
            ("b/C3", None, None, True),
            ("b/C1", None, None, True),
        ]
        assert inside.locator("#strip button", has_text="not saved").count() == 1
        assert not [text for text in visit.said if "Content" not in text]
