"""The report's page: safe whatever names are in it, whole without network and scripts, right when it is filtered."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import tokenflex as tf
from browser import browser, opened
from reported import demo_report, evil_report
from tokenflex import tables
from tokenflex.reporting.page import columns, cube, drawings, look, say, shapes
from tokenflex.reporting.page.plain import plain

__all__ = ["browser"]
"""A fixture, which pytest finds here by its name."""

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tokenflex.demo import DemoFirm

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "javascript:alert(3)",
    "{{7*7}}${7*7}#{7*7}",
    "</script><script>alert(4)</script>",
    "</style><svg onload=alert(5)>",
    "ana\u202egpj.exe",
    "a\u2028b\u0000c\u200b",
    "[link](javascript:alert(6)) **bold** `x`",
    "' onmouseover='alert(7)",
    "&lt;b&gt;&amp;amp;",
    "--><!-- ]]>",
    "__proto__",
    "datum.value = alert(8)",
]
START = datetime(2026, 1, 5, 8, tzinfo=UTC)


def name(place: int) -> str:
    return HOSTILE[place % len(HOSTILE)]


@pytest.fixture(scope="session")
def hostile() -> tf.Report:
    """Three months of a firm in which everything has a hostile name."""
    rows = [
        {
            "user": name(number),
            "product": name(number % 9),
            "server": name(3 + number % 3),
            "host": name(number + 1),
            "version": None,
            "start": START + timedelta(days=day * 2, minutes=number),
            "end": START + timedelta(days=day * 2, hours=3, minutes=number),
        }
        for number in range(len(HOSTILE))
        for day in range(0, 40, 1 + number % 3)
    ]
    sessions = pl.DataFrame(rows, schema_overrides={"version": pl.String})
    users = sessions["user"].unique().sort()
    groups = tf.Groups(
        pl.DataFrame({"person": users, "group": [name(place % 5) for place in range(len(users))]}),
    )
    return tf.report(
        sessions,
        rule=tf.TOKEN_FLEX,
        rates=tf.Rates({name(place): 5 + place for place in range(8)}),
        servers={name(3 + place): "Europe/Madrid" for place in range(3)},
        sites={name(3 + place): f"{name(place)} site" for place in range(3)},
        groups=groups,
        title=f"Report of {HOSTILE[0]}{HOSTILE[1]}",
        problems=tf.Problems(),
    )


@pytest.fixture(scope="session")
def hostile_page(hostile: tf.Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    hostile.write(path)
    return path


@pytest.fixture
def page(browser: Browser, hostile_page: Path) -> Iterator[Page]:
    """The hostile page, which has to leave without a word in the console, a request or a dialog."""
    with opened(browser, hostile_page) as (shown, seen):
        yield shown
        assert seen.messages == []
        assert seen.dialogs == []
        assert seen.requests == [hostile_page.as_uri()]


def kept(shown: Page, tmp_path: Path, title: str, **how: Any) -> None:
    """Keeps a picture of the page for people, where TOKENFLEX_SCREENSHOTS names a folder, else for this run."""
    folder = Path(os.environ.get("TOKENFLEX_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / f"{title}.png"
    shown.screenshot(path=picture, **how)
    assert picture.stat().st_size > 10_000


# What can be seen without a browser.


class Marks(HTMLParser):
    """The tags of a page, each with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def marks(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Marks()
    parser.feed(text)
    return parser.tags


def test_no_name_becomes_markup(hostile_page: Path) -> None:
    tags = marks(hostile_page.read_text(encoding="utf-8"))
    assert {tag for tag, _ in tags}.isdisjoint({"img", "iframe", "object", "embed", "link", "base", "b"})
    assert sum(tag == "script" for tag, _ in tags) == 2
    for tag, attributes in tags:
        assert not [key for key in attributes if key.startswith("on") or key == "style"], tag
        for key in ("src", "action", "formaction", "xlink:href"):
            assert key not in attributes, tag
        if "href" in attributes:
            assert re.fullmatch(r"#[a-z-]+", attributes["href"] or ""), tag


def test_the_policy_allows_this_style_and_script_only(hostile_page: Path) -> None:
    text = hostile_page.read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    policy = policy.replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        inside = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        assert len(inside) == 1
        digest = base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy


def test_nothing_is_loaded_from_elsewhere(hostile_page: Path) -> None:
    text = hostile_page.read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\s\"'<)]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\(|\bfetch\(|XMLHttpRequest|\beval\(|new Function|innerHTML", text)


def test_embedded_json_says_the_same_and_closes_no_script() -> None:
    content = {"names": HOSTILE}
    text = cube.embedded(content)
    assert json.loads(text) == content
    assert not re.search("[<>&\u2028\u2029]", text)


def test_unseen_signs_are_shown() -> None:
    assert plain("ana\u202egpj.exe\u0000\ufeff") == "ana[U+202E]gpj.exe[U+0000][U+FEFF]"
    assert plain("Ñandú 東京 🙂\tä") == "Ñandú 東京 🙂\tä"


def test_a_year_of_a_large_firm_is_less_than_five_megabytes(hostile: tf.Report, tmp_path: Path) -> None:
    products, groups = range(30), range(480)
    keys = [
        (month, product, group)
        for month in range(1, 14)
        for product in products
        for group in groups[:: 1 + product % 4]
    ]
    large = pl.DataFrame(
        {
            "month": [date(2025 + (month > 12), (month - 1) % 12 + 1, 1) for month, _, _ in keys],
            "product": [f"PRODUCT{product}" for _, product, _ in keys],
            "group": [f"department number {group}" for _, _, group in keys],
            "site": [f"site {group % 12}" for _, _, group in keys],
            "server": [f"server-{group % 7}" for _, _, group in keys],
            "charges": [17] * len(keys),
            "tokens": [Decimal("123.5")] * len(keys),
            "charges_without_rate": [0] * len(keys),
        }
    )
    whole = vars(hostile) | {"cube": tables.finish(large, tables.REPORT_CUBE), "chapters": hostile.chapters[:1]}
    tf.Report(**whole).write(tmp_path / "large.html")
    assert large.height > 90_000
    assert (tmp_path / "large.html").stat().st_size < 5_000_000


def test_words_can_be_read_on_every_ground() -> None:
    """Contrast of at least 4.5 (WCAG AA) for words, of 3 for what is drawn."""
    for colours in (look.LIGHT, look.DARK):
        for ground in ("ground", "panel"):
            for ink in ("ink", "soft", "accent", "good", "warn", "bad"):
                assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
        for drawn in ("edge", "accent", "warn", *(f"s{number}" for number in range(1, 7))):
            assert contrast(colours[drawn], colours["ground"]) >= 2.4, drawn


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


# In the browser.


def test_the_page_is_quiet_and_shows_names_as_they_are(page: Page, tmp_path: Path) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    words = page.inner_text("main")
    for each in HOSTILE:
        shown = " ".join(plain(each).split())
        assert shown in " ".join(words.split()), each
    assert page.title() == f"Report of {HOSTILE[0]}{HOSTILE[1]}"
    assert page.inner_text("h1") == f"Report of {HOSTILE[0]}{HOSTILE[1]}"
    kept(page, tmp_path, "hostile", full_page=True)


def test_a_script_that_got_in_would_not_run(browser: Browser, hostile_page: Path) -> None:
    with opened(browser, hostile_page) as (shown, seen):
        shown.evaluate(
            """() => { const made = document.createElement("script"); made.textContent = "window.ran = true";
            document.body.append(made); }"""
        )
        assert shown.evaluate("window.ran") is None
        assert any("Content Security Policy" in message for message in seen.messages)


def test_charts_are_drawn_and_say_what_they_show(page: Page) -> None:
    sections = [f"tokens-by-{dim}" for dim in ("month", "day", "product", "user", "group", "site", "server", "version")]
    for section in (*sections, "zone-whatif", "heat-map", "capacity", "rule-comparison"):
        assert_drawn(page, section)


def assert_drawn(page: Page, section: str) -> None:
    chart = page.locator(f"#s-{section} svg.chart")
    assert chart.count() == 1, section
    assert chart.get_attribute("role") == "img"
    assert len(chart.get_attribute("aria-label") or "") > 20
    above = " ".join(page.locator(f"#s-{section} .whole > :is(h3, .note)").all_inner_texts())
    assert any(map(str.isdigit, above)), f"{section}: neither title nor finding says a number"
    assert chart.locator("path, rect").count() > 0, section
    box = chart.bounding_box()
    assert box is not None
    assert box["width"] > 500, section
    assert box["height"] > 40, section


def chosen(hostile: tf.Report, **only: str | None) -> pl.DataFrame:
    """The cube's rows of a choice, by polars."""
    rows = hostile.cube.with_columns(month=pl.col("month").dt.to_string("%Y-%m"))
    for dim, value in only.items():
        if dim == "months":
            first, last = (value or "").split(" ")
            rows = rows.filter(pl.col("month").is_between(pl.lit(first), pl.lit(last)))
        else:
            rows = rows.filter(pl.col(dim).fill_null("not known") == value)
    return rows


CHOICES: list[dict[str, str]] = [
    {"product": name(1)},
    {"group": name(0), "site": f"{name(1)} site"},
    {"months": "2026-01 2026-02", "server": name(4)},
    {"months": "2026-03 2026-03", "product": name(0)},
    {"product": name(8)},  # of which no charge has a rate
]


@pytest.mark.parametrize("only", CHOICES, ids=range(len(CHOICES)))
def test_filtered_figures_are_those_of_polars(page: Page, hostile: tf.Report, only: dict[str, str]) -> None:
    for dim, value in only.items():
        if dim == "months":
            for field, month in zip(("from", "to"), value.split(" "), strict=True):
                page.select_option(f"#f-{field}", label=month)
        else:
            page.select_option(f"#f-{dim}", label=plain(value))
    rows = chosen(hostile, **only)
    tokens, charges = rows["tokens"].sum(), rows["charges"].sum()
    said = page.inner_text("#filter-words")
    share = float(tokens) / float(hostile.cube["tokens"].sum())
    assert f"{say.cells(pl.Series([tokens]))[0]} tokens in {charges:,} charge" in said
    assert f"{share:.1%} of all tokens" in said
    if unrated := rows["charges_without_rate"].sum():
        assert f"{unrated:,} charges without a rate not counted" in said
    for dim in ("month", "product", "group", "site", "server"):
        sums = rows.group_by(pl.col(dim).fill_null("not known")).agg(
            pl.col("charges").sum(),
            tokens=pl.when(pl.col("charges").sum() > pl.col("charges_without_rate").sum()).then(pl.col("tokens").sum()),
        )
        expected = {key: (f"{count:,}", say.cells(pl.Series([sum_]))[0]) for key, count, sum_ in sums.iter_rows()}
        lines = page.locator(f"[data-dim={dim}] tbody tr")
        found = {
            cells[0]: (cells[1], cells[2])
            for cells in (line.locator("th, td").all_text_contents() for line in lines.all())
        }
        assert found == {plain(key): value for key, value in expected.items()}, dim
        assert page.locator(f"[data-dim={dim}] svg.chart rect").count() >= 1
        assert not page.is_visible(f".part:has(> [data-dim={dim}]) > .whole")
    for note in page.locator(".whole-only").all():
        assert note.is_visible()


def test_the_choice_can_be_undone_and_is_told(page: Page) -> None:
    status = page.locator("#filter-words")
    assert status.get_attribute("role") == "status"
    assert status.get_attribute("aria-live") == "polite"
    everything = status.inner_text()
    assert everything.startswith("Everything is shown: ")
    assert page.is_disabled("#filter-reset")
    page.select_option("#f-from", label="2026-03")
    page.select_option("#f-to", label="2026-02")
    assert status.inner_text().startswith("Only 2026-02: "), "the beginning follows the end"
    page.click("#filter-reset")
    page.wait_for_function("document.getElementById('filter-reset').disabled")
    assert status.inner_text() == everything
    assert page.is_visible("#s-tokens-by-product .whole")
    assert not page.is_visible(".whole-only >> nth=0")


def test_without_scripts_charts_and_tables_are_there(browser: Browser, hostile_page: Path) -> None:
    with opened(browser, hostile_page, java_script_enabled=False) as (shown, _):
        assert shown.locator("svg.chart:visible").count() >= 6
        assert shown.locator("table.grid").count() >= 6
        assert not shown.is_visible("#filters")
        assert not shown.is_visible("#look")
        assert shown.is_visible("noscript")
        shown.click("#s-tokens-by-product summary")
        assert shown.is_visible("#s-tokens-by-product table.grid tbody th")


def test_it_prints_in_light_with_every_table_open(browser: Browser, hostile_page: Path, tmp_path: Path) -> None:
    with opened(browser, hostile_page, color_scheme="dark") as (shown, _):
        content = shown.pdf(prefer_css_page_size=True)
        assert content.startswith(b"%PDF-")
        assert content.count(b"/Type /Page\n") >= 2
        shown.emulate_media(media="print", color_scheme="dark")
        shown.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert ground(shown) == "rgb(255, 255, 255)"
        assert not shown.is_visible("#filters")
        assert shown.locator("details:not([open])").count() == 0
        kept(shown, tmp_path, "print")


def ground(shown: Page) -> str:
    return str(shown.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_dark_and_light_follow_the_system_and_the_switch(browser: Browser, hostile_page: Path, tmp_path: Path) -> None:
    dark, light = "rgb(20, 23, 27)", "rgb(255, 255, 255)"
    with opened(browser, hostile_page, color_scheme="dark") as (shown, seen):
        assert ground(shown) == dark
        kept(shown, tmp_path, "dark")
        shown.select_option("#look", "light")
        assert ground(shown) == light
        bar = "#s-tokens-by-product svg.chart .mark-rect path >> nth=0"
        assert shown.eval_on_selector(bar, "(bar) => getComputedStyle(bar).fill") == "rgb(31, 95, 168)"
        shown.select_option("#look", "system")
        assert ground(shown) == dark
        assert seen.messages == []
    with opened(browser, hostile_page, color_scheme="light") as (shown, seen):
        assert ground(shown) == light
        shown.select_option("#look", "dark")
        assert ground(shown) == dark
        assert seen.messages == []


@pytest.mark.parametrize("width", [320, 360])
def test_it_fits_a_phone(browser: Browser, hostile_page: Path, tmp_path: Path, width: int) -> None:
    with opened(browser, hostile_page, viewport={"width": width, "height": 740}) as (shown, _):
        shown.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        shown.select_option("#f-product", index=1)
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        kept(shown, tmp_path, f"phone-{width}", full_page=True)


def test_the_keyboard_reaches_everything_and_shows_where_it_is(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                """() => { const at = document.activeElement; const style = getComputedStyle(at);
                return [at.id || at.tagName.toLowerCase(), style.outlineStyle, parseFloat(style.outlineWidth)]; }"""
            )
        )
    names = [at for at, _, _ in reached]
    for control in ("look", "f-from", "f-to", "f-product", "f-group", "summary", "a"):
        assert control in names, control
    assert all(style != "none" and width >= 2 for at, style, width in reached if at not in ("body", "html")), reached
    page.focus("#s-tokens-by-product summary")
    page.keyboard.press("Enter")
    assert page.is_visible("#s-tokens-by-product table.grid")


@pytest.mark.parametrize(
    ("how", "rules"),
    [
        ({}, None),
        ({"color_scheme": "dark"}, ["color-contrast"]),
        ({"viewport": {"width": 360, "height": 740}}, ["scrollable-region-focusable", "target-size"]),
    ],
    ids=["light", "dark", "phone"],
)
def test_axe_finds_nothing(browser: Browser, hostile_page: Path, how: dict[str, Any], rules: list[str] | None) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    with opened(browser, hostile_page, **how) as (shown, _):
        # Some tables are enough: all are made in one way, and axe looks at each cell.
        shown.evaluate("[...document.querySelectorAll('details')].forEach((each, place) => { each.open = place < 3; })")
        asked = None if rules is None else {"runOnly": {"type": "rule", "values": rules}}
        found = axe.Axe().run(shown, options=asked).response["violations"]
        assert [(each["id"], [node["html"][:200] for node in each["nodes"][:3]]) for each in found] == []


def test_headings_are_in_order_and_tables_are_named(page: Page) -> None:
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((each) => Number(each.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.locator("main").count() == page.locator("header").count() == page.locator("nav").count() == 1
    tables_there = page.locator("table.grid")
    assert tables_there.count() >= 6
    assert page.locator("table.grid > caption").count() == tables_there.count()
    assert page.locator("table.grid thead th:not([scope=col])").count() == 0
    assert page.locator("table.grid tbody tr:not(:has(> th[scope=row]))").count() == 0
    duplicates = page.evaluate(
        """() => { const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
        return ids.filter((id, place) => ids.indexOf(id) !== place); }"""
    )
    assert duplicates == []


@pytest.fixture(scope="session")
def demo_page(demo_firm: DemoFirm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "report.html"
    demo_report(demo_firm.folder).write(path)
    return path


DRAWN = (
    "tokens-by-month",
    "tokens-by-day",
    "tokens-by-product",
    "tokens-by-user",
    "tokens-by-group",
    "tokens-by-cost-centre",
    "tokens-by-site",
    "tokens-by-server",
    "tokens-by-version",
    "ledger",
    "reconciliation-summary",
    "differences",
    "double-charges-by-cause",
    "vendor-double-charges-by-cause",
    "avoidable-summary",
    "harvest-replay",
    "zone-whatif",
    "rule-comparison",
    "capacity",
    "peaks",
    "heat-map",
    "heat-map-by-product",
    "denial-summary",
    "model-costs",
    "model-products",
    "estimate",
    "coverage-days",
)
"""Sections of the demo's report that have a chart: what deserves one of all that an administrator reports."""


def test_the_report_of_the_demo(browser: Browser, demo_page: Path, demo_firm: DemoFirm, tmp_path: Path) -> None:
    report = demo_report(demo_firm.folder)
    assert demo_page.stat().st_size < 2_000_000
    with opened(browser, demo_page) as (shown, seen):
        for section in DRAWN:
            assert_drawn(shown, section)
        cards = shown.locator(".card .answer").all_inner_texts()
        assert [" ".join(card.split()) for card in cards] == report.answers["answer"].to_list()
        assert shown.locator(".todo li").count() == report.actions.height
        assert shown.locator("section.chapter").count() == len(report.chapters)
        kept(shown, tmp_path, "demo", full_page=True)
        product, site = "RVT", "Madrid"
        shown.select_option("#f-product", label=product)
        shown.select_option("#f-site", label=site)
        tokens = chosen(report, product=product, site=site)["tokens"].sum()
        assert tokens > 0
        assert f"{say.cells(pl.Series([tokens]))[0]} tokens" in shown.inner_text("#filter-words")
        kept(shown, tmp_path, "demo-filtered", full_page=True)
        assert seen.messages == []
        assert seen.requests == [demo_page.as_uri()]


def test_names_of_any_length_stay_in_their_place(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "evil.html"
    evil_report(chapters=["consumption", "charges", "quality", "provenance"], problems=tf.Problems()).write(path)
    text = path.read_text(encoding="utf-8")
    assert "[40,000 characters]" in text
    assert len(text) < 1_000_000
    assert {tag for tag, _ in marks(text)}.isdisjoint({"img", "iframe", "object", "embed", "link", "base", "b"})
    with opened(browser, path, viewport={"width": 360, "height": 740}) as (shown, seen):
        shown.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        shown.select_option("#f-product", index=1)
        assert shown.evaluate("document.documentElement.scrollWidth") <= 360
        assert (seen.messages, seen.dialogs, seen.requests) == ([], [], [path.as_uri()])


# What charts and tables show.


def test_what_is_left_out_of_a_table_is_told(hostile: tf.Report, hostile_page: Path) -> None:
    text = hostile_page.read_text(encoding="utf-8")
    for name_, table in hostile.tables.items():
        view, left_out = columns.shown(name_, table)
        assert view.height <= columns.ROWS
        if name_ == "tokens_by_month" or table.is_empty():
            continue
        assert (f"{view.height} of {table.height:,} rows" in left_out) == (view.height < table.height)
        assert (f"{view.width} of {table.width} columns" in left_out) == (view.width < table.width)
        if left_out:
            assert f"{left_out}: the whole is the table {name_} of the workbook" in text


def test_months_across_add_up(hostile: tf.Report) -> None:
    table = hostile.tables["tokens_by_month"]
    view, left_out = columns.shown("tokens_by_month", table)
    assert left_out == ""
    assert view["product"][-1] == "all"
    assert view.columns == ["product", "Jan 2026", "Feb 2026", "Mar 2026", "all months"]
    assert view["all months"][-1] == table["tokens"].sum() == view["all months"][:-1].sum()
    february = table.filter(pl.col("month") == date(2026, 2, 1))
    assert view["Feb 2026"][-1] == february["tokens"].sum()


def test_the_balance_is_counted_back_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_with: dict[str, Any] = {}
    monkeypatch.setattr(shapes, "lines", lambda rows, **how: drawn_with.update(rows=rows, **how))
    ledger = pl.DataFrame(
        {
            "entry": [11, 12, 13, 14],
            "at": [datetime(2026, 1, day, 12, tzinfo=UTC) for day in (2, 2, 3, 5)],
            "kind": ["charge", "charge", "overage", "expiry"],
            "pool": ["a", "b", None, "b"],
            "tokens": [Decimal(-7), Decimal(-10), Decimal(-4), Decimal(-30)],
        }
    )
    balances = pl.DataFrame({"pool": ["a", "b", None], "balance": [Decimal(100), Decimal(0), Decimal(100)]})
    burn = pl.DataFrame(
        {
            "pool": ["a", "b", "later"],
            "opens": [datetime(2025, 1, 1, tzinfo=UTC)] * 2 + [datetime(2027, 1, 1, tzinfo=UTC)],
            "tokens": [Decimal(100), Decimal(0), Decimal(500)],
            "exhausted_at": [datetime(2026, 4, 1, tzinfo=UTC), None, None],
        }
    )
    drawings.balance(ledger, {"balances": balances, "burn": burn})
    assert drawn_with["rows"] == [
        ("balance", date(2026, 1, 2), Decimal(130)),
        ("balance", date(2026, 1, 5), Decimal(100)),
        (drawings.PACE, date(2026, 1, 5), Decimal(100)),
        (drawings.PACE, date(2026, 4, 1), Decimal(0)),
    ]
    assert [mark.label for mark in drawn_with["days"]] == ["b expires", "used up 01 Apr 2026"]
    drawings.balance(ledger, {"balances": balances, "burn": burn.with_columns(exhausted_at=None)})
    assert {name for name, _, _ in drawn_with["rows"]} == {"balance"}


def test_a_forecast_and_a_purchase_are_drawn() -> None:
    days = [date(2026, 1, 5) + timedelta(days=place) for place in range(30)]
    ahead = pl.DataFrame(
        {"date": days, "mean": [Decimal(10)] * 30, "low": [Decimal(8)] * 30, "high": [Decimal(15)] * 30}
    )
    past = pl.DataFrame({"date": [day - timedelta(days=28) for day in days[:28]], "tokens": [Decimal(9)] * 28})
    picture = drawings.picture_of("forecast_days", ahead, {"forecast_history": past})
    assert picture is not None
    # Four whole weeks of each: two days are left over.
    assert "in all 280, with the interval" in picture.says
    assert "lower ends 224 and upper ends 420" in picture.says
    assert picture.marks == 12
    costs = [Decimal(40), Decimal(30), Decimal(35)]
    tried = pl.DataFrame(
        {
            "policy": ["term"] * 3,
            "tokens": [Decimal(100), Decimal(200), Decimal(300)],
            "expected_cost": costs,
            "low_cost": [cost - 5 for cost in costs],
            "high_cost": [cost + 5 for cost in costs],
            "is_chosen": [False, True, False],
        }
    )
    picture = drawings.picture_of("purchase_curve", tried, {"purchase_curve": tried})
    assert picture is not None
    assert picture.says.endswith("the least is 30 at 200. Chosen: 200 tokens: 30 expected.")
    assert drawings.picture_of("purchase_tried", pl.concat([tried, tried]), {"purchase_curve": tried}) is None


def test_every_shape_keeps_to_the_schema_of_vega_lite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "VALIDATED", True)
    day = date(2026, 1, 1)
    pictures = [
        shapes.bars([(name(0), Decimal(5)), (name(1), Decimal(-3))], unit="tokens", rest=("2 others", 7)),
        shapes.columns([("Jan 2026", name(0), 5), ("Feb 2026", name(1), 3)], unit="tokens", series=[name(0), name(1)]),
        shapes.lines(
            [(name(0), day + timedelta(days=place), place) for place in range(9)],
            unit="licenses",
            series=[name(0)],
            levels=[shapes.Mark(5, name(2))],
            days=[shapes.Mark(day, name(3))],
        ),
        shapes.band([(day, 5)], [(day + timedelta(days=7), 1, 2, 3)], unit="tokens", names=("used", "due", "between")),
        shapes.curve([(1, 2, 3, 4), (2, 1, 2, 3)], along="bought", unit="cost", chosen=shapes.Mark(1, name(4))),
        shapes.heat([(1, 0, 5.0), (7, 23, None)], unit="licenses"),
        shapes.strips([(name(0), day, day, "yes")], names=("yes", "no"), says="days"),
        shapes.ranges([(name(0), 1, 5)], unit="tokens", base=shapes.Mark(3, "the base")),
        shapes.bridge(("ours", 10), [(name(0), 4), (name(1), -2)], ("theirs", 12), unit="tokens"),
    ]
    for picture in pictures:
        assert picture.svg.endswith("</svg>")
        assert picture.marks > 0
        assert len(picture.says) >= 4
        tags = marks(f"<svg>{picture.svg}")
        assert {tag for tag, _ in tags} <= {"svg", "g", "path", "rect", "line", "text", "defs", "clippath"}
        assert not [
            key for _, attributes in tags for key in attributes if key.startswith("on") or key in {"style", "href"}
        ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (timedelta(minutes=200), "3 h 20 min"),
        (timedelta(days=12, hours=4), "12 d 4 h"),
        (timedelta(seconds=-45), "-45 s"),
        (timedelta(0), "0 s"),
        (timedelta(hours=2), "2 h"),
    ],
)
def test_spans_are_said(value: timedelta, text: str) -> None:
    assert say.span(value) == text


def test_little_or_nothing_makes_a_page_too(browser: Browser, tmp_path: Path) -> None:
    sessions = pl.DataFrame(
        {"user": ["ana"], "product": ["ACD"], "start": [START], "end": [START + timedelta(hours=2)]},
    )
    cases = {
        "one": (sessions, tf.Rates({"ACD": 7}), "7 tokens in 1 charge"),
        "without a rate": (sessions, tf.Rates({"RVT": 7}), "1 charge without a rate not counted"),
        "nothing": (sessions.head(0), tf.Rates({"ACD": 7}), ""),
    }
    for title, (rows, rates, said) in cases.items():
        path = tmp_path / f"{title}.html"
        report = tf.report(
            rows, rule=tf.FLEX, rates=rates, title=title, problems=tf.Problems(), chapters=["consumption", "charges"]
        )
        report.write(path)
        with opened(browser, path) as (shown, seen):
            assert shown.inner_text("h1") == title
            if said:
                shown.select_option("#f-from", index=1)
                assert said in shown.inner_text("#filter-words")
            else:
                assert "Nothing was charged." in shown.inner_text("header")
                assert shown.locator("#filters").count() == 0
            assert (seen.messages, seen.requests) == ([], [path.as_uri()])
