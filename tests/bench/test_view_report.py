"""The figures of the page, what is in the file, and the file in a real browser: Chromium without a window."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from bskim_export import QAPipeline
from bskim_export.bench import view_report
from bskim_export.bench.view_page import encode, list_questions, make_page
from bskim_export.bench.view_report import Both, answer_both, curve, curve_runs, in_order, scaled, summarise
from bskim_export.data.question import Question, sample
from bskim_export.evaluate.loop import evaluate
from bskim_export.evaluate.paired import answer_all, figures
from bskim_export.runtime.policy import Thresholds

MARKUP = (
    "</script><script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\"> {{script}} <!-- "
)


@pytest.fixture(scope="module")
def skimming(minilm_bundle):
    return QAPipeline(minilm_bundle, threshold=0.3).answerer()


@pytest.fixture(scope="module")
def questions(squad) -> list[Question]:
    """Real ones. One has markup in all its texts, and characters beyond the basic plane."""
    found = sample(squad, 12, seed=21)
    text = f"😀 {MARKUP} 𝒜da wrote the notes in 1843. {found[0].context}"
    start = text.index("1843")
    return [
        *found,
        Question("<b>1", f"When were {MARKUP} notes written?", text, ("1843",), (start,), ((start, start + 4),)),
    ]


@pytest.fixture(scope="module")
def rows(skimming, questions) -> list[Both]:
    return list(answer_both(skimming, questions))


@pytest.fixture(scope="module")
def report(skimming, rows) -> dict:
    """What the command would say of them."""
    return {
        "dataset": f"squad {MARKUP}", "bundle": "engines", "source": "minilm", "backend": "onnxruntime (fp32)",
        "version": "0", "seed": 42, "repeats": 1, "left_out": 1, "options": {"max_seq_len": 384},
        "summary": summarise(rows), "curve": curve(skimming, rows),
    }  # fmt: skip


def data_of(page: bytes) -> dict:
    """Return what is in the page's data."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.decode(), re.DOTALL)
    return json.loads(found)


def changed(row: Both, dense: float, skim: float, seconds: float = 0.0) -> Both:
    """Return a question with other scores and another time."""
    return replace(
        row,
        dense=replace(row.dense, em=float(dense == 1), f1=dense),
        skim=replace(row.skim, em=float(skim == 1), f1=skim, seconds=seconds),
    )


def test_the_figures_are_those_of_compare(skimming, questions, rows):
    answers = {
        "dense": answer_all(replace(skimming, policy=Thresholds({})), questions),
        "skim": answer_all(skimming, questions),
    }
    found = summarise(rows)
    assert found["parts"] == figures(questions, answers)
    assert len(found["parts"]) == 3
    (whole, *_) = found["parts"]
    assert found["em_difference"] == pytest.approx(whole["rows"]["skim"]["em"] - whole["rows"]["dense"]["em"])
    low, high = found["em_interval"]
    assert low <= found["em_difference"] <= high
    assert found["seconds"]["dense"] == pytest.approx(sum(row.dense.seconds for row in rows))


def test_what_is_kept_is_what_the_loop_counts(skimming, questions, rows):
    done = list(evaluate(skimming, questions))
    found = summarise(rows)
    assert found["kept_blocks"] == (np.sum([d.kept for d in done], axis=0) / sum(d.blocks for d in done)).tolist()
    assert found["windows"] == sum(len(d.windows) for d in done)
    assert 0 < rows[0].kept_share < 1


def test_what_was_skimmed_is_what_the_pipeline_says(minilm_bundle, rows):
    qa = QAPipeline(minilm_bundle, threshold=0.3)
    for row in rows:
        found = qa.run(row.question.question, row.question.context, return_skim=True)
        assert row.skipped == [n for s in found["skipped"] for n in (s["start"], s["end"], s["layer"])]
        assert (row.skim.text, row.skim.start, row.skim.end) == (found["answer"], found["start"], found["end"])


def test_a_window_that_left_counts_even_if_it_ran_again(minilm_bundle, squad):
    answerer = QAPipeline(minilm_bundle, threshold=1.0).answerer()  # refuses everything, and one window runs again
    first, *others = sample(squad, 8)
    long = " ".join(q.context for q in (first, *others))
    (row,) = answer_both(answerer, [replace(first, context=long)])
    assert row.left == row.windows > 1


def test_the_curve_is_of_true_runs(skimming, questions, report):
    points = report["curve"]["points"]
    assert [p["factor"] for p in points] == [0.0, *view_report.FACTORS]
    (whole, *_) = report["summary"]["parts"]
    by_factor = {p["factor"]: p for p in points}
    assert by_factor[0.0]["f1"] == pytest.approx(whole["rows"]["dense"]["f1"])
    assert by_factor[1.0]["gmacs"] == pytest.approx(whole["rows"]["skim"]["gmacs_per_question"])
    true = answer_all(replace(skimming, policy=scaled(skimming.policy, 3.0)), questions)
    assert by_factor[3.0]["f1"] == pytest.approx(100 * true.f1.mean())
    assert points[1]["gmacs"] > points[-1]["gmacs"]


def test_the_curve_is_drawn_on_some_of_many_questions(skimming, rows, monkeypatch):
    monkeypatch.setattr(view_report, "CURVE_QUESTIONS", 2)
    done = []
    found = curve(skimming, rows, done.append)
    assert found["questions"] == 2
    assert sum(done) == curve_runs(skimming, rows) == 2 * (len(view_report.FACTORS) - 1)


def test_what_skims_nothing_has_no_curve(skimming, rows):
    dense = replace(skimming, policy=Thresholds({0: 0.0}))
    assert curve(dense, rows) is None
    assert curve_runs(dense, rows) == 0


def test_thresholds_for_documents_are_scaled_too():
    found = scaled(Thresholds({0: 0.5}, {0: 0.2, 1: 1.0}), 4)
    assert found.by_layer == {0: pytest.approx(0.8)}
    assert found.for_documents.by_layer == {0: pytest.approx(0.5), 1: 1.0}


def test_answers_that_skimming_cost_come_first_then_the_slowest(rows, monkeypatch):
    monkeypatch.setattr(view_report, "SLOWEST", 2)
    row = rows[0]
    given = {
        "worse": changed(row, 0.8, 0.2, 1),
        "same": changed(row, 1, 1, 2),
        "little": changed(row, 1, 0.9, 9),
        "slow": changed(row, 1, 1, 5),
        "much": changed(row, 1, 0, 1),
        "slower": changed(row, 0, 1, 6),
    }
    found = [(group, name) for group, one in in_order(list(given.values())) for name in given if given[name] is one]
    assert found == [
        ("lost", "much"), ("lost", "little"), ("slow", "slower"), ("slow", "slow"), ("rest", "worse"), ("rest", "same"),
    ]  # fmt: skip


def test_a_context_is_stored_once(rows):
    twice = [rows[0], rows[1], replace(rows[0], question=replace(rows[0].question, id="again"))]
    found = list_questions(twice)
    assert len(found["contexts"]) == 2
    assert {found["contexts"][q["context"]] for q in found["questions"]} == {r.question.context for r in twice}


def test_texts_are_as_they_were(report, rows, questions):
    found = data_of(make_page(report, rows))
    (own,) = (q for q in found["questions"] if q["id"] == "<b>1")
    assert found["dataset"] == report["dataset"]
    assert own["question"] == questions[-1].question
    assert found["contexts"][own["context"]] == questions[-1].context


def test_a_lone_surrogate_is_replaced_and_a_number_that_is_none_refused():
    assert json.loads(encode(["a\ud800b"]).encode()) == ["a\ufffdb"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(float("nan"))


def test_a_thousand_questions_are_less_than_five_megabytes(report, rows):
    real = rows[:-1]
    alone = len(make_page(report, []))
    each = (len(make_page(report, real)) - alone) / len(real)  # each brings a context of its own here
    assert alone + 1000 * each < 5e6


@pytest.fixture
def page(chromium, report, rows, tmp_path):
    """The page, opened from its file."""
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    (tmp_path / "page.html").write_bytes(make_page(report, rows))
    chromium.get((tmp_path / "page.html").as_uri())
    yield chromium
    assert chromium.get_log("browser") == []  # nor is anything refused by the page's policy


def shown(page) -> list[str]:
    """Return the questions that are listed."""
    return [one.get_property("textContent") for one in page.find_elements(By.CLASS_NAME, "asked")]


def find(page, name):
    return page.find_element(By.ID, name)


def opened(page, question: str):
    """Open a question as the keyboard does, and return its element."""
    own = page.find_elements(By.CLASS_NAME, "one")[shown(page).index(question)]
    own.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    WebDriverWait(page, 10).until(lambda _: own.find_elements(By.CLASS_NAME, "passage"))
    return own


def test_the_page_shows_all_questions_in_order_and_the_figures(page, report, rows):
    assert shown(page) == [row.question.question for _, row in in_order(rows)]
    (whole, *_) = report["summary"]["parts"]
    f1 = [cell.text for cell in page.find_elements(By.CSS_SELECTOR, "#scores tbody tr:nth-child(2) td")]
    assert f1[:2] == [f"{whole['rows'][way]['f1']:.2f}" for way in ("dense", "skim")]
    assert f1[2].startswith(f"{whole['f1_difference']:+.2f}".replace("-", "−"))
    points = report["curve"]["points"]
    assert len(page.find_elements(By.CSS_SELECTOR, "#chart circle")) == len(points)
    assert len(page.find_elements(By.CSS_SELECTOR, "#points tbody tr")) == len(points)
    assert find(page, "chart").get_attribute("aria-label").startswith("F1 over GMACs")


def test_markup_in_the_data_is_text(page, questions, report):
    assert page.title == f"Dense and skimming: {report['dataset']}".strip()
    own = opened(page, questions[-1].question)
    assert own.find_element(By.CLASS_NAME, "passage").get_property("textContent") == questions[-1].context
    assert not page.find_elements(By.TAG_NAME, "img")
    assert len(page.find_elements(By.TAG_NAME, "script")) == 2


def test_an_opened_question_shows_what_each_layer_read(page, rows):
    row = rows[-1]  # with characters of two UTF-16 units
    text = row.question.context
    own = opened(page, row.question.question)
    slider = own.find_element(By.CSS_SELECTOR, "input[type=range]")
    skipped = list(zip(row.skipped[::3], row.skipped[1::3], row.skipped[2::3], strict=True))
    for at in range(int(slider.get_attribute("max")), -1, -1):  # as the keyboard moves it
        dimmed = "".join(one.get_property("textContent") for one in own.find_elements(By.CLASS_NAME, "dropped"))
        assert dimmed == "".join(text[start:end] for start, end, layer in skipped if layer < at)
        slider.send_keys(Keys.ARROW_LEFT)
    answer = own.find_elements(By.CSS_SELECTOR, ".passage mark")
    assert "".join(one.get_property("textContent") for one in answer) == row.skim.text
    expected = own.find_elements(By.CSS_SELECTOR, ".passage .expected")
    assert "".join(one.get_property("textContent") for one in expected) == "1843"
    assert slider.get_attribute("aria-valuetext") == "all that went in"
    assert page.find_elements(By.CSS_SELECTOR, f"label[for={slider.get_attribute('id')}]")


def test_the_filter_looks_in_questions_and_answers(page, questions):
    find(page, "filter").send_keys("NOTES 1843")
    assert shown(page) == [questions[-1].question]
    assert find(page, "found").text == f"1 of {len(questions)}"
    find(page, "filter").send_keys(" nowhere")
    assert shown(page) == []


def test_the_choice_shows_those_that_differ(page, rows):
    find(page, "which").send_keys("different")
    assert sorted(shown(page)) == sorted(r.question.question for r in rows if r.dense.text != r.skim.text)


def test_long_lists_are_shown_in_parts_and_the_keyboard_goes_on(chromium, report, rows, tmp_path):
    many = [
        replace(rows[0], question=replace(rows[0].question, id=str(i), question=f"Question {i}?")) for i in range(130)
    ]
    (tmp_path / "page.html").write_bytes(make_page(report, many))
    chromium.get((tmp_path / "page.html").as_uri())
    assert len(shown(chromium)) == 100
    find(chromium, "more").send_keys(Keys.ENTER)
    assert len(shown(chromium)) == 130
    assert chromium.switch_to.active_element.text.startswith(shown(chromium)[100])
    assert not find(chromium, "more").is_displayed()


def test_a_phone_in_the_dark(page):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    )
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    page.refresh()
    opened(page, shown(page)[0])
    assert page.execute_script("return document.documentElement.scrollWidth") == 360  # nothing is beside the screen
    colour = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")) < 64


def test_the_page_asks_nobody(report):
    text = make_page(report, []).decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not re.search(r"""(?:src|href)=["'](?!data:,)""", text.split('id="data"')[0])
    assert set(re.findall(r"https?://[^\"\s]*", text)) == {"http://www.w3.org/2000/svg"}
