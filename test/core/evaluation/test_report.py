"""The report as text, and in a real browser where Chromium and its driver are installed."""

import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

from apanet_core.evaluation.evaluate import evaluate
from apanet_core.evaluation.report import PICTURES_BYTES, draw_picture
from apanet_core.evaluation.settings import EvaluationSettings
from apanet_core.images.files import read_image, write_image

HOSTILE = "</script><script>Object.assign(window, {attacked: true})</script>{{DATA}}{{STYLE}}"


@pytest.fixture
def report(data_set):
    """A report of three pairs; file and method names try to be markup, and one method is named like an index."""
    for path in (data_set / "copy").rglob("*.png"):
        target = data_set / "brighter" / path.relative_to(data_set / "copy")
        target.parent.mkdir(parents=True, exist_ok=True)
        write_image(target, np.clip(read_image(path).astype(int) + 9, 0, 255).astype(np.uint8))
    outputs = [f"{HOSTILE}={data_set / 'brighter'}", f"2={data_set / 'copy'}"]
    evaluate(data_set / "data", data_set / "out", EvaluationSettings([], outputs, data_set / "truth", max_disparity=32))
    return data_set / "out/report.html"


class Page(HTMLParser):
    """Tags, attributes, and the text of scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, text):
        if self.tags and self.tags[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts[-1] += text


def test_report_has_no_external_resources(report):
    text = report.read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(", text)
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "base", "object", "embed")
        assert not {"src", "href", "srcset", "action"} & set(attributes), (tag, attributes)
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'")


def test_report_escapes_names(report):
    page = Page(report.read_text(encoding="utf-8"))
    assert len(page.scripts) == 2
    data = json.loads(page.scripts[0])
    assert HOSTILE in data["summary"]
    assert "b<i onclick=alert(1)>&amp;\"'" in {row["name"] for row in data["rows"]}
    assert "<" not in page.scripts[0]
    assert sorted(data["pictures"][0]["errors"]) == sorted(["rainy", HOSTILE, "2"])
    assert sorted(data["pictures"][0]["disparities"]) == sorted(["rainy", HOSTILE, "2", "clean", "truth"])
    assert json.loads((report.parent / "results.json").read_text()) == {
        key: value for key, value in data.items() if key != "pictures"
    }


def test_draw_picture_large_image_fits_size_limit():
    noise = np.random.default_rng(0).integers(0, 256, (600, 1600, 3), dtype=np.uint8)
    views = dict.fromkeys(("rainy", "clean"), (noise, noise))
    drawn = draw_picture("x", views, {"clean": noise[..., 0].astype(np.float32)}, 20)
    size = len(json.dumps(drawn))
    assert 0.3 * PICTURES_BYTES / 20 < size < 1.01 * PICTURES_BYTES / 20
    assert drawn["width"] == 1600


@pytest.fixture(scope="module")
def chromium():
    """Headless Chromium."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("Chromium and chromedriver are not installed (Debian: apt install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1300,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    yield browser
    browser.quit()


def find(browser, selector):
    return browser.find_elements("css selector", selector)


def test_report_renders_in_chromium(report, chromium):
    from selenium.webdriver import ActionChains, Keys
    from selenium.webdriver.support.ui import Select

    chromium.get(report.as_uri())
    data = json.loads((report.parent / "results.json").read_text())
    methods = [method["name"] for method in data["methods"]]

    # the summary: methods in their order, the best marked
    assert [head.text for head in find(chromium, "#summary tbody th")] == methods
    best = [[cell.get_attribute("class") == "best" for cell in row.find_elements("css selector", "td")]
            for row in find(chromium, "#summary tbody tr")]  # fmt: skip
    assert best == [[method in data["best"][c["key"]] for c in data["columns"]] for method in methods]
    assert any(map(any, best))

    # the slider: by key and by dragging
    def clip():
        return chromium.execute_script("return getComputedStyle(document.getElementById('before')).clipPath")

    images = find(chromium, "#stage img, #gallery img")
    assert all(chromium.execute_script("return arguments[0].decode().then(() => arguments[0].naturalWidth)", i) == 112
               for i in images)  # fmt: skip
    assert len(images) == 2 + 5
    captions = [caption.text for caption in find(chromium, "#error-gallery figcaption")]
    assert len(captions) == 3
    assert all(re.search(r"[\d.]+ % ghosts, [\d.]+ % missing", caption) for caption in captions)
    assert clip() == "inset(0px 50% 0px 0px)"
    split = find(chromium, "#split")[0]
    split.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert clip() == "inset(0px 51% 0px 0px)"
    stage = find(chromium, "#stage")[0]
    ActionChains(chromium).move_to_element(stage).click_and_hold().move_by_offset(stage.size["width"] // 4, 0).perform()
    ActionChains(chromium).release().perform()
    assert float(re.search(r"([\d.]+)%", clip()).group(1)) == pytest.approx(25, abs=1)
    assert float(split.get_attribute("value")) == pytest.approx(75, abs=1)

    # other pictures, layers and methods
    def shown():
        return [find(chromium, f"#{name}")[0].get_attribute("src") for name in ("before", "after")]

    seen = [shown()]
    for selector, value in (
        ("#layer", "errors"),
        ("#layer", "disparity"),
        ("#second", "truth"),
        ("#first", "2"),
        ("#picture", "1"),
    ):
        Select(find(chromium, selector)[0]).select_by_value(value)
        seen.append(shown())
        assert seen[-1] != seen[-2]
    assert [tag.text for tag in find(chromium, ".tag")] == ["2", "truth"]

    # the table: every heading sorts, and a second click turns it round
    def column(number):
        return [row.find_elements("css selector", "th, td")[number].text for row in find(chromium, "#images tbody tr")]

    assert len(column(0)) == len(data["rows"])
    heads = find(chromium, "#images thead button")
    heads[2].click()
    values = sorted((row["psnr_rgb_left"] for row in data["rows"] if row["psnr_rgb_left"] is not None), reverse=True)
    missing = ["\u2013"] * 3  # of the clean pair: last in either direction
    assert column(2) == [f"{value:.2f}" for value in values] + missing
    heads[2].click()
    assert column(2) == [f"{value:.2f}" for value in reversed(values)] + missing
    assert find(chromium, "#images thead [aria-sort]")[0].get_attribute("aria-sort") == "ascending"
    heads[0].click()
    assert column(0) == sorted(row["name"] for row in data["rows"])
    Select(find(chromium, "#method")[0]).select_by_value("2")
    assert set(column(1)) == {"2"}
    assert len(column(1)) == 3

    # plots: a dot per image and method
    assert [len(f.find_elements("css selector", "circle")) for f in find(chromium, "#plots figure")] == [2 * 3, 4 * 3]

    # a name in the table shows its picture
    find(chromium, "#images tbody th button")[0].click()
    assert Select(find(chromium, "#picture")[0]).first_selected_option.text.startswith("a (")

    # nothing asked for, nothing injected, nothing wrong
    assert (
        chromium.execute_script(
            "return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:'))"
        )
        == []
    )
    assert chromium.execute_script("return window.attacked") is None
    assert find(chromium, "[onerror], [onclick]") == []
    assert chromium.get_log("browser") == []


@pytest.mark.parametrize("width", [420, 1300])
def test_report_fits_window_width(report, chromium, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    chromium.get(report.as_uri())
    assert chromium.execute_script("return document.documentElement.scrollWidth") <= width
    assert chromium.get_log("browser") == []


def test_report_without_pictures_or_stereo_hides_panels(data_set, chromium, monkeypatch):
    from apanet_core.data.layouts import LAYOUTS

    monkeypatch.setitem(LAYOUTS, "single", ("rain/left", "rain/left", "norain/left", "norain/left"))
    monkeypatch.delitem(LAYOUTS, "StereoCityscapes")
    for pictures, visible in ((0, False), (2, True)):
        evaluate(data_set / "data", data_set / "out", EvaluationSettings([], [], pictures=pictures))
        chromium.get((data_set / "out/report.html").as_uri())
        assert find(chromium, "#viewer")[0].is_displayed() == visible
        assert not find(chromium, "#disparities")[0].is_displayed()
        assert len(find(chromium, "#images tbody tr")) == 6
        assert chromium.get_log("browser") == []
