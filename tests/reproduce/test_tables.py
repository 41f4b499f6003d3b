"""Tables at a scale of seconds: what is trained, what is measured, what is a gap, and what is not done twice."""

import json

import numpy as np
import pytest

from bskim_export.checkpoint.loading import load_checkpoint, save_checkpoint
from bskim_export.data.metrics import exact_match, f1
from bskim_export.data.squad import write_squad
from bskim_export.reproduce import deformer, fig3, fig5, table1, table2, table3, workshop
from bskim_export.reproduce.data import TITLES, PaperData
from bskim_export.reproduce.scale import Scale
from bskim_export.reproduce.table import Table, difference_cell, mean_cell
from bskim_export.reproduce.workshop import Recipe, Workshop, dense_answerer
from bskim_export.training.run import run_folder

TINY = Scale("tiny", 12, 1, 8, 2, 1, 2)


@pytest.fixture(scope="module")
def model(tiny, tmp_path_factory) -> str:
    """A file with a model to start from."""
    checkpoint = tiny("bert", ())
    path = tmp_path_factory.mktemp("model") / "model.pt"
    save_checkpoint(checkpoint.model, path, checkpoint.tokenizer)
    return str(path)


@pytest.fixture(scope="module")
def data(squad, tmp_path_factory):
    """SQuAD, a few questions of it."""
    folder = tmp_path_factory.mktemp("data")
    write_squad(folder / "squad-train.json", squad[:24])
    write_squad(folder / "squad-dev.json", squad[100:120])
    return folder


@pytest.fixture(scope="module")
def made(model, data, tmp_path_factory):
    """A workshop in which Table 3 was made, and the table."""
    folder = tmp_path_factory.mktemp("work")
    own = Workshop(model, PaperData(data), TINY, folder, {"learning_rate": 1e-3})
    return own, table3.make(own)


def test_every_row_is_trained_as_the_paper_says(made):
    own, _ = made
    skims = {}
    for row in table3.ROWS[:9]:
        settings = own.settings(table3.recipe(row))
        assert (settings.beta, settings.batch_size, settings.max_seq_len, settings.seed) == (20, 16, 384, 42)
        assert settings.learning_rate == 1e-3
        skims[row.number] = load_checkpoint(own.trained(table3.recipe(row))).model.skim
    assert [skims[n].block_size for n in range(1, 10)] == [32, 32, 32, 32, 1, 8, 16, 64, 128]
    assert skims[1].layers == ()
    assert all(skims[n].layers and skims[n].predictor == "diagonal" for n in range(2, 10))


def test_a_frozen_row_keeps_the_baseline_bit_for_bit(made):
    own, table = made
    baseline, frozen = (load_checkpoint(own.trained(table3.recipe(table3.ROWS[i]))).model.backbone for i in (0, 2))
    for name, values in baseline.state_dict().items():
        assert (frozen.state_dict()[name] == values).all()
    assert table.figures[2]["f1_difference"] == 0
    assert table.figures[2]["f1_difference_interval"] == (0, 0)


def test_scores_are_those_of_the_dense_model_over_the_drawn_questions(made):
    own, table = made
    path = own.trained(table3.recipe(table3.ROWS[1]))
    answerer = dense_answerer(path)
    questions = own._evaluated("squad")
    assert len(questions) == 8
    texts = [one.text for one in workshop.evaluate(answerer, questions, together=1)]
    pairs = list(zip(texts, questions, strict=True))
    assert table.figures[1]["f1"] == pytest.approx(100 * np.mean([f1(text, q.gold) for text, q in pairs]))
    assert table.figures[1]["em"] == pytest.approx(100 * np.mean([exact_match(text, q.gold) for text, q in pairs]))


def test_data_that_is_not_there_is_a_gap_beside_the_papers_figures(made):
    _, table = made
    assert [row[1] for row in table.rows] == [str(n) for n in range(1, 13)]
    for row, figures in zip(table.rows[9:], table.figures[9:], strict=True):
        assert row[5:7] == ["no data: hotpotqa-train", ""]
        assert "f1" not in figures
    assert [row[4] for row in table.rows] == [f"{row.f1:.2f}" for row in table3.ROWS]
    assert table.rows[3][7] == "-1.49"


def test_nothing_is_trained_or_answered_twice(made, model, data, monkeypatch):
    own, table = made
    monkeypatch.setattr(workshop, "train", None)
    monkeypatch.setattr(workshop, "evaluate", None)
    again = Workshop(model, PaperData(data), TINY, own.folder, {"learning_rate": 1e-3})
    assert table3.make(again) == table


def test_other_settings_data_and_scales_are_other_models(made, model, data, squad, tmp_path):
    own, _ = made
    recipe = Recipe()
    keys = [own.key(recipe)]
    keys.append(Workshop(model, PaperData(data), TINY, own.folder).key(recipe))
    keys.append(Workshop(model, PaperData(data), Scale("tiny", 13, 1, 8, 2, 1, 2), own.folder).key(recipe))
    keys.append(own.key(Recipe(changes={"seed": 43})))
    keys.append(own.key(Recipe(changes={"freeze": True}, start=recipe)))
    write_squad(tmp_path / "squad-train.json", squad[1:25])
    keys.append(Workshop(model, PaperData(tmp_path), TINY, own.folder, {"learning_rate": 1e-3}).key(recipe))
    assert len(set(keys)) == len(keys)


def test_a_run_that_was_killed_goes_on(model, data, tmp_path, monkeypatch):
    own = Workshop(model, PaperData(data), TINY, tmp_path)
    recipe = Recipe(changes={"alpha": 0.0})
    scored = own.answered(recipe)
    other = Workshop(model, PaperData(data), TINY, tmp_path / "other")

    def killed(what, done, total):
        if what.startswith("Evaluating"):
            raise KeyboardInterrupt

    other.progress = killed
    with pytest.raises(KeyboardInterrupt):
        other.answered(recipe)
    assert run_folder(other.folder / other.key(recipe) / "model.pt").is_dir()
    monkeypatch.setattr(workshop, "train", None)
    again = Workshop(model, PaperData(data), TINY, tmp_path / "other").answered(recipe)
    np.testing.assert_array_equal(again.f1, scored.f1)


def test_seeds_are_runs_of_their_own(model, data, tmp_path):
    table = table2.make(Workshop(model, PaperData(data), TINY, tmp_path, {"learning_rate": 1e-3}))
    assert table.columns[2:4] == ["seed 42", "seed 43"]
    assert [row[:2] for row in table.rows] == [[n, m] for n in ("Vanilla", "Block-Skim") for m in ("EM", "F1")]
    # The paper's own means and deviations, from its seeds.
    assert [row[-2:] for row in table.rows] == [
        ["81.01", "0.06"],
        ["88.44", "0.10"],
        ["81.47", "0.25"],
        ["88.76", "0.20"],
    ]
    ours = [one["f1"] for one in table.figures[0]["seeds"]]
    assert table.rows[1][2:6] == [*(f"{v:.2f}" for v in ours), f"{np.mean(ours):.2f}", f"{np.std(ours, ddof=1):.2f}"]


def test_a_table_is_written_as_markdown_and_json(tmp_path):
    table = Table("t", "A title", ["", "F1"], 1, [["x", "1.00"]], [{"f1": 1.0}], ["A note."])
    paths = table.write(tmp_path / "new")
    assert paths[0].read_text() == "# A title\n\n|  | F1 |\n| --- | ---: |\n| x | 1.00 |\n\n- A note.\n"
    assert json.loads(paths[1].read_text())["figures"] == [{"f1": 1.0}]


def test_intervals_hold_the_mean_and_paired_ones_are_narrower():
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2, 400) * 100.0
    ours = np.where(rng.random(400) < 0.05, 100.0, base)

    def ends(cell):
        low, high = cell.partition("(")[2].rstrip(")").split(" to ")
        return float(low), float(high)

    low, high = ends(mean_cell(ours))
    assert low < ours.mean() < high
    paired = ends(difference_cell(ours, base))
    assert paired[0] < (ours - base).mean() < paired[1]
    assert paired[1] - paired[0] < (high - low) / 2


@pytest.mark.slow
def test_skimming_is_measured_beside_the_papers_way_to_count(made):
    own, _ = made
    table = table1.make(own)
    assert [row[0] for row in table.rows] == [*TITLES.values()]
    squad = table.figures[0]
    assert squad["paper"] == {"vanilla": 88.32, "trained": 88.92, "skimmed": 88.52, "speedup": 3.01}
    # Dense is dense, in PyTorch and as a bundle.
    assert squad["trained"]["f1"] == pytest.approx(own.answered(Recipe()).f1.mean())
    skimmed, dense = (own.run(Recipe(), threshold) for threshold in (0.5, 0.0))
    assert (dense.left == dense.blocks[:, None]).all()
    assert (skimmed.left <= dense.left).all()
    assert squad["speedup_macs_over_padded_512"] > squad["speedup_macs"]
    assert squad["speedup_macs"] == pytest.approx(dense.macs.sum() / skimmed.macs.sum())
    left = skimmed.left.sum(0) / skimmed.blocks.sum()
    assert squad["speedup_analytic"] == pytest.approx(len(left) / left.sum())
    assert all(row[2] == "no data: " + name + "-train" for row, name in zip(table.rows[1:], [*TITLES][1:], strict=True))


def test_both_kinds_of_predictors_judge_the_same_frozen_model(made, tmp_path):
    own, _ = made
    table = fig3.make(own)
    assert [row[0] for row in table.rows] == ["0", "1", "2"]
    for row in table.figures:
        assert 0 <= row["auc_diagonal"] <= 1
        assert 0 <= row["auc_map"] <= 1
    backbones = [
        load_checkpoint(own.trained(recipe)).model.backbone.state_dict()
        for recipe in (fig3.BASELINE, *(Recipe(changes={"freeze": True, "predictor": kind}, start=fig3.BASELINE)
                                        for kind in fig3.KINDS))
    ]  # fmt: skip
    assert all((one[name] == values).all() for one in backbones[1:] for name, values in backbones[0].items())
    pytest.importorskip("matplotlib")
    fig3.plot(table, tmp_path / "fig3.svg")
    assert "<svg" in (tmp_path / "fig3.svg").read_text()


@pytest.mark.slow
def test_work_and_f1_of_thresholds_and_of_lengths_stand_side_by_side(made, tmp_path, monkeypatch):
    own, _ = made
    monkeypatch.setattr(fig5, "MODELS", {name: fig5.MODELS[name] for name in (fig5.VANILLA, "Block-Skim")})
    monkeypatch.setattr(fig5, "THRESHOLDS", (0.3, 0.5))
    monkeypatch.setattr(fig5, "SPLITS", (1,))
    monkeypatch.setattr(deformer, "THRESHOLDS", (0.0, 0.5))
    table = fig5.make(own)
    by_name = {}
    for row in table.figures:
        by_name.setdefault(row["name"], []).append(row)
    assert [row["setting"] for row in by_name["Block-Skim"]] == ["dense", "threshold 0.3", "threshold 0.5"]
    vanilla = by_name[fig5.VANILLA][0]
    half = slice(4, None)
    assert vanilla["f1"] == pytest.approx(own.answered(fig5.MODELS[fig5.VANILLA]).f1[half].mean())
    assert (vanilla["speedup_macs"], vanilla["f1_difference"]) == (1, 0)
    # In full, a Length-Adaptive Transformer is a dense model, which pads no block; shortened, it costs less.
    lengths = by_name[fig5.LENGTH_ADAPTIVE]
    assert lengths[0]["setting"] == "dense"
    assert 0.5 * vanilla["gmacs"] < lengths[0]["gmacs"] <= vanilla["gmacs"]
    assert all(row["gmacs"] < lengths[0]["gmacs"] for row in lengths[1:])
    assert lengths[1:]
    path = own.trained(Recipe(changes={"length_drop": fig5.DROP}))
    measure = fig5.LengthMeasure(path)
    questions = own.usable(Recipe())[half]
    texts = [one.text for one in workshop.evaluate(dense_answerer(path), questions)]
    assert measure((1.0,) * 3, questions)[0] == pytest.approx(
        100 * np.mean([f1(text, q.gold) for text, q in zip(texts, questions, strict=True)])
    )
    # A DeFormer does the work of the vanilla model but for what its passage's lower layer did before.
    ahead, nothing = by_name[deformer.NAME]
    assert ahead["gmacs"] < nothing["gmacs"] == pytest.approx(vanilla["gmacs"], rel=0.35)
    assert ahead["f1"] == nothing["f1"]
    skimming = by_name[deformer.SKIMMING]
    assert skimming[0]["gmacs"] < 1.2 * ahead["gmacs"]  # predictors included
    assert "passage read ahead, threshold 0.5" in skimming[0]["setting"]
    monkeypatch.setattr(fig5, "search", None)
    monkeypatch.setattr(workshop, "export_bundle", None)
    assert fig5.make(own) == table
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(fig5, "COLOURS", {"Block-Skim": "#0b6e99", fig5.LENGTH_ADAPTIVE: "#c2571a"})
    fig5.plot(table, tmp_path / "fig5.svg")
    assert "<svg" in (tmp_path / "fig5.svg").read_text()
