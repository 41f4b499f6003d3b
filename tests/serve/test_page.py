"""The page, in a real browser: Chromium without a window."""

from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from bskim_export import QAPipeline

PASSAGE = (Path(__file__).parents[2] / "examples" / "passage.txt").read_text(encoding="utf-8")
QUESTION = "Who wrote down the storms and ships?"


@pytest.fixture(scope="module")
def service(serving, minilm_bundle):
    with serving(f"first={minilm_bundle}", "--workers", 1) as running:
        yield running


@pytest.fixture
def page(chromium, service):
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    chromium.get(service.url)
    WebDriverWait(chromium, 10).until(lambda _: find(chromium, "bundle").get_attribute("value") == "first")
    yield chromium
    errors = [entry for entry in chromium.get_log("browser") if "422" not in entry["message"]]
    assert errors == []


def find(page, name):
    return page.find_element(By.ID, name)


def ask(page, question=QUESTION, passage=PASSAGE):
    """Ask as a keyboard does, and wait for what is said."""
    for name, text in (("context", passage), ("question", question)):
        page.execute_script("document.getElementById(arguments[0]).value = arguments[1]", name, text)
    find(page, "question").send_keys(Keys.ENTER)
    WebDriverWait(page, 30).until(lambda _: find(page, "ask").is_enabled())
    return find(page, "said").text


def dropped(page):
    """Return the text that is dimmed now."""
    return "".join(one.get_property("textContent") for one in page.find_elements(By.CLASS_NAME, "dropped"))


def test_what_is_dimmed_is_what_the_pipeline_skipped(page, minilm_bundle):
    said = ask(page)
    expected = QAPipeline(minilm_bundle).run(QUESTION, PASSAGE, return_skim=True)
    assert f"Answer: {expected['answer']} (score {expected['score']:.0%}".replace("%", " %") in said
    assert page.find_element(By.TAG_NAME, "mark").text == expected["answer"]
    layer = find(page, "layer")
    layers = int(layer.get_attribute("max"))
    assert dropped(page) == "".join(PASSAGE[s["start"] : s["end"]] for s in expected["skipped"])
    for at in range(layers - 1, -1, -1):  # as the keyboard moves it
        layer.send_keys(Keys.ARROW_LEFT)
        assert dropped(page) == "".join(PASSAGE[s["start"] : s["end"]] for s in expected["skipped"] if s["layer"] < at)
    assert find(page, "left").text == layer.get_attribute("aria-valuetext") == "all that went in"


def test_work_and_time_stand_beside_each_other(page):
    ask(page)
    for name in ("macs", "time"):
        dense, own, ratio = (find(page, one).text for one in (f"dense-{name}", name, f"{name}-ratio"))
        assert float(ratio.removesuffix("×")) == pytest.approx(float(dense) / float(own), rel=0.05)
    assert float(find(page, "dense-macs").text) > float(find(page, "macs").text) > 0


def test_characters_beyond_the_basic_plane_keep_their_places(page, minilm_bundle):
    passage = "😀😀 It rained. 𝒜da Lovelace 😀 wrote the notes in 1843. 中文 " + PASSAGE
    ask(page, "When were the notes written?", passage)
    expected = QAPipeline(minilm_bundle).run("When were the notes written?", passage)
    marked = "".join(one.get_property("textContent") for one in page.find_elements(By.TAG_NAME, "mark"))
    assert marked == expected["answer"]
    assert find(page, "passage").get_property("textContent") == passage


def test_markup_in_a_passage_is_text(page):
    passage = "<img src=x onerror=\"document.title='taken'\"> <b>Ada</b> wrote it. " + PASSAGE
    ask(page, "Who wrote it?", passage)
    assert find(page, "passage").get_property("textContent") == passage
    assert page.title != "taken"
    assert not page.find_elements(By.CSS_SELECTOR, "#passage img")


def test_what_the_service_refuses_is_said(page):
    ask(page, "Who?", " \u200b ")
    assert find(page, "error").text == "`context` cannot be empty: it has no words."
    assert find(page, "error").get_attribute("role") == "alert"


def test_a_file_is_read(page, tmp_path):
    (tmp_path / "text.txt").write_text("Ada read a file. Ünïcode.", encoding="utf-8")
    find(page, "file").send_keys(str(tmp_path / "text.txt"))
    WebDriverWait(page, 10).until(lambda _: find(page, "context").get_attribute("value") == "Ada read a file. Ünïcode.")


def test_a_phone_in_the_dark(page):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    )
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    ask(page)
    width = page.execute_script("return document.documentElement.scrollWidth")
    assert width == 360  # nothing is beside the screen
    colour = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")) < 64


def test_everything_is_reached_by_the_keyboard_and_has_a_name(page):
    ask(page)
    find(page, "question").click()
    reached = ["question"]
    for _ in range(6):
        ActionChains(page).send_keys(Keys.TAB).perform()
        reached.append(page.switch_to.active_element.get_attribute("id") or page.switch_to.active_element.tag_name)
    assert [one for one in reached if one in ("question", "context", "ask", "file", "layer", "passage")] == [
        "question", "context", "ask", "file", "layer", "passage",
    ]  # fmt: skip
    for name in ("question", "context", "file", "layer"):
        assert page.find_elements(By.CSS_SELECTOR, f"label[for={name}]")


def test_a_service_with_a_token_asks_for_it(chromium, serving, minilm_bundle, tmp_path):
    (tmp_path / "token").write_text("s3cret")
    with serving(minilm_bundle, "--token-file", tmp_path / "token") as service:
        chromium.get(service.url)
        WebDriverWait(chromium, 10).until(lambda _: find(chromium, "token").is_displayed())
        assert "A token is needed" in find(chromium, "error").text
        find(chromium, "token").send_keys("s3cret")
        assert "Answer:" in ask(chromium)


def test_the_page_asks_nobody_else(service):
    status, headers, content = service.call("/")
    assert status == 200
    assert headers["content-security-policy"].startswith("default-src 'self'")
    assert b"//" not in content.replace(b"<!doctype", b"")
    assert service.call("/static/app.py")[0] == service.call("/static/..%2Fapp.py")[0] == 404
