"""The page in a real browser: it runs, loads nothing, obeys, can be read aloud, and stays text."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from view_data import write_hostile, write_varied

import arrowimg

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.browser

WIDTHS = {"wide": 1280, "tablet": 800, "phone": 380}
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


def axe_source() -> str:
    """Return axe-core's script, from the package that carries it."""
    spec = importlib.util.find_spec("axe_selenium_python")
    if spec is None or spec.origin is None:
        pytest.skip("not run: axe-selenium-python is not installed")
    path = next(Path(spec.origin).parent.rglob("axe.min.js"))
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("not run: no chromium and chromedriver (Debian: chromium chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver", reason="not run: no selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_varied(folder / "out", 120)
    arrowimg.view(folder / "out", folder / "page.html", sample=40)
    return folder / "page.html"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    write_hostile(folder / "out")
    arrowimg.view(folder / "out", folder / "page.html", against=folder / "out")
    return folder / "page.html"


def look(browser: Any, page: Path, width: int = 1280, theme: str = "light") -> None:  # noqa: ANN401
    """Open a page at a width and in a theme; whatever was before is forgotten."""
    browser.get("about:blank")
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    wanted = {"prefers-color-scheme": theme, "prefers-reduced-motion": "reduce"}
    features = [{"name": name, "value": value} for name, value in wanted.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(page.as_uri())


def requests_of(browser: Any) -> list[str]:  # noqa: ANN401
    """Return what was asked for, but addresses that hold their data, and what a policy stopped."""
    messages = [json.loads(it["message"])["message"] for it in browser.get_log("performance")]
    failed = [it["params"] for it in messages if it["method"] == "Network.loadingFailed"]
    stopped = {it["requestId"] for it in failed if it.get("blockedReason") == "csp"}
    sent = [it["params"] for it in messages if it["method"] == "Network.requestWillBeSent"]
    urls = [it["request"]["url"] for it in sent if it["requestId"] not in stopped]
    return [url for url in urls if not url.startswith("data:")]


def find(browser: Any, selector: str) -> list[Any]:  # noqa: ANN401
    """Return the elements of a selector that are shown."""
    found = browser.find_elements("css selector", selector)
    return [element for element in found if element.is_displayed()]


def set_value(browser: Any, selector: str, value: str) -> None:  # noqa: ANN401
    """Choose an option by its text, or type a text."""
    (element,) = find(browser, selector)
    if element.tag_name == "select":
        options = element.find_elements("css selector", "option")
        next(it for it in options if it.text == value).click()
    else:
        element.clear()
        element.send_keys(value)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
def test_it_fits_every_screen_and_can_be_read_aloud(
    browser: Any,  # noqa: ANN401
    page: Path,
    width: int,
    theme: str,
) -> None:
    look(browser, page, width, theme)
    if folder := os.environ.get("ARROWIMG_SCREENSHOTS"):
        browser.save_screenshot(str(Path(folder) / f"{width}-{theme}.png"))

    browser.execute_script(axe_source())
    report = browser.execute_async_script("axe.run().then(arguments[0])")

    serious = [it for it in report["violations"] if it["impact"] in {"serious", "critical"}]
    assert [(it["id"], [node["html"] for node in it["nodes"]]) for it in serious] == []
    assert len(report["passes"]) > 10
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_it_loads_nothing_and_complains_of_nothing(browser: Any, page: Path) -> None:  # noqa: ANN401
    look(browser, page)
    find(browser, ".grid .look")[0].click()

    assert requests_of(browser) == [page.as_uri()]
    assert browser.get_log("browser") == []


def test_a_filter_leaves_the_rows_that_fit(browser: Any, page: Path) -> None:  # noqa: ANN401
    look(browser, page)
    set_value(browser, "#column", "score")
    set_value(browser, "#operator", "<")
    set_value(browser, "#value", "0.1")
    find(browser, "fieldset button")[0].click()

    ids = [it.text for it in find(browser, ".grid .id")]
    python = find(browser, "#python")[0].text
    shell = find(browser, "#shell")[0].text

    dataset = page.parent / "out"
    namespace: dict[str, Any] = {"arrowimg": arrowimg, "pl": __import__("polars")}
    found = eval(python, namespace).collect()  # noqa: S307  # what the page offers to copy
    assert set(ids) <= set(found["image_id"])
    assert found["image_id"].sort().to_list() == [f"id-{it:03}" for it in range(12)]
    assert shell == f"arrowimg reshard {shlex.quote(str(dataset))} NEW --where '\"score\" < 0.1'"
    assert find(browser, "#again")[0].text.endswith(" --where '\"score\" < 0.1' -o out-filter.html")
    assert find(browser, ".grid .value")[0].text.startswith("score: 0.0")

    find(browser, "#conditions button")[0].click()
    assert len(find(browser, ".grid .picture")) == 40


@pytest.mark.parametrize(
    ("column", "operator", "value", "expected"),
    [
        ("caption", "contains", "Caption 7", 11),
        ("caption", "is null", "", 3),
        ("is_test", "=", "true", 60),
        ("captured_at", "≥", "2026-01-05T00:00:00", 24),
        ("label", "≠", "cat", 80),
    ],
)
def test_what_is_offered_to_copy_finds_what_the_page_shows(
    browser: Any,  # noqa: ANN401
    page: Path,
    column: str,
    operator: str,
    value: str,
    expected: int,
) -> None:
    whole = page.with_name("whole.html")
    if not whole.exists():
        arrowimg.view(page.parent / "out", whole, sample=120)
    look(browser, whole)
    set_value(browser, "#column", column)
    set_value(browser, "#operator", operator)
    if value:
        set_value(browser, "#value", value)
    find(browser, "fieldset button")[0].click()

    shown = [it.text for it in find(browser, ".grid .id")]
    namespace: dict[str, Any] = {"arrowimg": arrowimg, "pl": __import__("polars")}
    found = eval(find(browser, "#python")[0].text, namespace).collect()  # noqa: S307
    assert sorted(shown) == sorted(found["image_id"])
    assert len(shown) == expected


def test_search_looks_into_every_column(browser: Any, page: Path) -> None:  # noqa: ANN401
    look(browser, page)
    set_value(browser, "#search", "id-004")

    assert [it.text for it in find(browser, ".grid .id")] == ["id-004"]
    assert find(browser, "#count")[0].text.startswith("1 of ")


def test_sorting_puts_the_largest_first(browser: Any, page: Path) -> None:  # noqa: ANN401
    look(browser, page)
    set_value(browser, "#sort", "score")
    find(browser, "#down")[0].click()

    ids = [it.text for it in find(browser, ".grid .id")]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == len(browser.find_elements("css selector", ".grid .picture")) > 40
    assert find(browser, ".grid .value")[0].text == "score: 0.9916667"


def test_pictures_are_whole_wherever_they_are(browser: Any, page: Path) -> None:  # noqa: ANN401
    look(browser, page)

    outside = browser.execute_script("""
        return [...document.querySelectorAll(".look img:not(.other)")].filter((image) => {
          const [a, b] = [image, image.parentElement].map((it) => it.getBoundingClientRect());
          const is_across = a.left >= b.left && a.right <= b.right;
          const is_within = is_across && a.top >= b.top && a.bottom <= b.bottom;
          return !is_within || getComputedStyle(image).objectFit !== "scale-down";
        }).length
    """)

    assert outside == 0


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
def test_no_strip_has_to_be_scrolled(browser: Any, page: Path, width: int) -> None:  # noqa: ANN401
    look(browser, page, width)

    scrolled = browser.execute_script("""
        const rows = [...document.querySelectorAll(".row")];
        return rows.filter((it) => it.scrollWidth > it.clientWidth).length
    """)

    assert scrolled == 0


def test_a_page_that_is_loaded_again_has_its_filter(browser: Any, page: Path) -> None:  # noqa: ANN401
    look(browser, page)
    set_value(browser, "#column", "caption")
    set_value(browser, "#operator", "is null")
    find(browser, "fieldset button")[0].click()
    set_value(browser, "#sort", "score")
    before = [it.text for it in find(browser, ".grid .id")]
    find(browser, "nav a")[0].click()

    browser.refresh()

    assert (
        [it.text for it in find(browser, ".grid .id")] == before == ["id-010", "id-011", "id-012"]
    )
    assert find(browser, "#conditions button")[0].text.startswith("caption is null")


def test_a_number_is_found_with_and_without_its_commas(browser: Any, page: Path) -> None:  # noqa: ANN401
    sizes = pl.read_parquet(page.parent / "out" / "*.parquet").drop_nulls("size")
    image_id, size = sizes.filter(pl.col("size") > 1000).select("image_id", "size").row(1)
    whole = page.with_name("whole.html")
    if not whole.exists():
        arrowimg.view(page.parent / "out", whole, sample=120)
    look(browser, whole)

    for words in (f"{size}", f"{size:,}"):
        set_value(browser, "#search", words)
        assert image_id in [it.text for it in find(browser, ".grid .id")]


def test_the_count_says_what_the_page_does_not_have(browser: Any, page: Path) -> None:  # noqa: ANN401
    look(browser, page)
    set_value(browser, "#column", "caption")
    set_value(browser, "#operator", "is not null")
    find(browser, "fieldset button")[0].click()

    assert find(browser, "#count")[0].text.endswith(" pictures of this page; 117 of all 120 rows")
    set_value(browser, "#search", "caption 1")
    assert find(browser, "#count")[0].text.endswith(", which does not have all of 120 rows")


def test_keys_stay_in_the_row_that_was_clicked(browser: Any, page: Path) -> None:  # noqa: ANN401
    look(browser, page)
    set_value(browser, "#extreme", "score")
    find(browser, ".strip .look")[0].click()

    for expected in ("id-001", "id-002"):
        find(browser, "#row")[0].send_keys("\ue014")  # the right arrow
        assert find(browser, "#row-title")[0].text == expected


def test_what_is_closed_prints(browser: Any, page: Path) -> None:  # noqa: ANN401
    look(browser, page)
    assert find(browser, "details dt") == []

    browser.execute_script('dispatchEvent(new Event("beforeprint"))')

    assert len(find(browser, "details dt")) > 5


def test_a_click_shows_every_column_and_keys_lead_on(browser: Any, page: Path) -> None:  # noqa: ANN401
    look(browser, page)
    ids = [it.text for it in find(browser, ".grid .id")]
    find(browser, ".grid .look")[0].click()

    lines = [it.text for it in find(browser, "#row tbody tr")]
    assert find(browser, "#row-title")[0].text == ids[0]
    assert f"image_id {ids[0]}" in lines
    assert any(it.startswith("embedding ") for it in lines)

    find(browser, "#row")[0].send_keys("\ue014")  # the right arrow
    assert find(browser, "#row-title")[0].text == ids[1]
    find(browser, "#row input[type=checkbox]")[0].click()
    assert len(find(browser, "#row .stack img")) == 2
    browser.switch_to.active_element.send_keys("\ue00c")  # escape
    assert find(browser, "#row") == []
    assert "look" in browser.switch_to.active_element.get_attribute("class")


def test_extremes_of_any_column_are_shown(browser: Any, page: Path) -> None:  # noqa: ANN401
    look(browser, page)
    set_value(browser, "#extreme", "score")

    assert [it.text for it in find(browser, ".strip .id")][:3] == ["id-000", "id-001", "id-002"]
    assert [it.text for it in find(browser, ".strip .value")][:2] == ["0", "0.008333"]


def test_nothing_of_a_hostile_dataset_runs(browser: Any, hostile: Path) -> None:  # noqa: ANN401
    from selenium.common.exceptions import NoAlertPresentException

    look(browser, hostile)
    for element in find(browser, ".grid .look"):
        element.click()
        find(browser, "#close")[0].click()
    set_value(browser, "#search", "alert")

    with pytest.raises(NoAlertPresentException):
        browser.switch_to.alert.accept()
    assert browser.get_log("browser") == []
    assert requests_of(browser) == [hostile.as_uri()]
    assert "<script>alert(1)</script>" in browser.execute_script("return document.body.innerText")


def test_without_the_policy_a_planted_script_would_run(browser: Any, tmp_path: Path) -> None:  # noqa: ANN401
    planted = tmp_path / "planted.html"
    planted.write_text("<p>a</p><script>alert(1)</script>", encoding="utf-8")

    look(browser, planted)

    assert browser.switch_to.alert.text == "1"
    browser.switch_to.alert.accept()


def test_the_policy_stops_a_planted_script(browser: Any, page: Path) -> None:  # noqa: ANN401
    planted = page.with_name("planted.html")
    html = page.read_text(encoding="utf-8")
    script = '<script>document.title = "taken"</script><img src="https://example.org/a.png">'
    planted.write_text(html.replace("<main>", f"<main>{script}"), encoding="utf-8")

    look(browser, planted)

    assert browser.title == "out"
    assert [url for url in requests_of(browser) if url != planted.as_uri()] == []
