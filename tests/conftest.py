"""Fixtures that the tests share. The tiny models are random; the MiniLM one is real and trained."""

import copy
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import EXAMPLE, FAMILIES, SHAPE, make_model, spread_scores
from tokenizers import ByteLevelBPETokenizer, Tokenizer, processors
from transformers import AlbertTokenizer

from bskim_export import QAPipeline
from bskim_export.checkpoint.loading import Checkpoint, load_checkpoint
from bskim_export.data.question import Question, sample
from bskim_export.data.squad import load_squad
from bskim_export.export.exporter import export_bundle
from bskim_export.locks import take_lock


def pytest_configure(config):
    """Give the whole run a cache of its own, which its workers and the programs that they start share."""
    if not hasattr(config, "workerinput"):
        config.bskim_cache = tempfile.mkdtemp(prefix="bskim-cache-")
        os.environ["XDG_CACHE_HOME"] = config.bskim_cache


def pytest_unconfigure(config):
    """Remove it."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(config.bskim_cache, ignore_errors=True)


@pytest.fixture(scope="session")
def squad() -> list[Question]:
    """The official dev set."""
    return load_squad()


@pytest.fixture(scope="session")
def wordpiece() -> str:
    """BERT's real tokenizer."""
    return (EXAMPLE / "tokenizer.json").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def once(tmp_path_factory, worker_id):
    """Return a function: name, a function that makes a text -> that text, made by whatever worker needs it first."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder if worker_id == "master" else folder.parent) / "texts"

    def get(name: str, make: Callable[[], str]) -> str:
        folder.mkdir(exist_ok=True)
        with open(folder / f"{name}.lock", "w") as lock:
            take_lock(lock.fileno(), wait=600)
            if not (folder / name).exists():
                (folder / name).write_text(make(), encoding="utf-8")
        return (folder / name).read_text(encoding="utf-8")

    return get


@pytest.fixture(scope="session")
def byte_level(squad) -> str:
    """A RoBERTa tokenizer, trained on SQuAD's passages."""
    trained = ByteLevelBPETokenizer()
    texts = sorted({q.context for q in sample(squad, 500)})
    trained.train_from_iterator(
        texts, vocab_size=2000, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], show_progress=False
    )
    tokenizer = Tokenizer.from_str(trained.to_str())
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer.to_str()


@pytest.fixture(scope="session")
def unigram(squad, once) -> str:
    """An ALBERT tokenizer (normaliser, Metaspace, template: transformers' own), trained on SQuAD's passages.

    Trained once for all workers: its training is not the same twice, and they share the bundles that are made with it.
    """

    def train() -> str:
        texts = sorted({q.context for q in sample(squad, 200)})
        return AlbertTokenizer().train_new_from_iterator(texts, 2000, show_progress=False).backend_tokenizer.to_str()

    return once("unigram.json", train)


@pytest.fixture(scope="session")
def tokenizers(wordpiece, byte_level, unigram) -> dict[str, str]:
    """Return the tokenizer of every family."""
    own = {"albert": unigram, "albert of two groups": unigram, "roberta": byte_level}
    return {family: own.get(family, wordpiece) for family in FAMILIES}


@pytest.fixture(scope="session")
def tiny(squad, tokenizers):
    """Return a function: family name, layers, kind of predictor -> a random three-layer Checkpoint."""
    made = {}

    def make(family: str = "bert", layers: tuple[int, ...] = (0, 1, 2), predictor: str = "diagonal") -> Checkpoint:
        if (family, layers, predictor) not in made:
            config_class, extra = FAMILIES[family]
            model = make_model(config_class(**SHAPE, **extra), layers, predictor=predictor)
            checkpoint = Checkpoint(model, Tokenizer.from_str(tokenizers[family]).to_str(), f"tiny-{family}")
            spread_scores(checkpoint, sample(squad, 10, seed=1))
            made[family, layers, predictor] = checkpoint
        return made[family, layers, predictor]

    return make


@pytest.fixture(scope="session")
def exported(tmp_path_factory, worker_id):
    """Return a function: name, arguments of `export_bundle` -> the directory of that bundle.

    Every bundle is exported once, whatever worker needs it first. No test may change one.
    """
    folder = tmp_path_factory.getbasetemp()
    folder = (folder if worker_id == "master" else folder.parent) / "bundles"

    def make(name: str, checkpoint: Checkpoint, **arguments: Any) -> Path:
        folder.mkdir(exist_ok=True)
        out = folder / name
        with open(folder / f"{name}.lock", "w") as lock:
            take_lock(lock.fileno(), wait=600)
            if not out.exists():
                export_bundle(checkpoint, out, **arguments)
        return out

    return make


@pytest.fixture(scope="session")
def tiny_bundle(tiny, squad, exported):
    """Return a function: family name, layers, kind of predictor -> the directory of that tiny model's bundle."""

    def make(family: str = "bert", layers: tuple[int, ...] = (0, 1, 2), predictor: str = "diagonal") -> Path:
        name = f"{family}-{'-'.join(map(str, layers))}-{predictor}".replace(" ", "-")
        return exported(name, tiny(family, layers, predictor), questions=sample(squad, 4))

    return make


@pytest.fixture(scope="session")
def split_tiny(tiny) -> Checkpoint:
    """A tiny random model whose first layer reads question and passage apart. Its second layer has a predictor."""
    whole = tiny("bert", (0, 1, 2), "question")
    model = copy.deepcopy(whole.model)
    torch.manual_seed(1)
    model.split(1, [1])
    model.set_thresholds(0.5)
    return Checkpoint(model.eval(), whole.tokenizer, "split-tiny")


@pytest.fixture(scope="session")
def split_bundle(split_tiny, squad, exported) -> Path:
    """Its bundle."""
    return exported("split-tiny", split_tiny, questions=sample(squad, 4))


@pytest.fixture(scope="session")
def split_qa(split_bundle) -> QAPipeline:
    """A pipeline over it."""
    return QAPipeline(split_bundle)


@pytest.fixture(scope="session")
def minilm() -> Checkpoint:
    """The trained checkpoint in examples/."""
    return load_checkpoint(EXAMPLE)


@pytest.fixture(scope="session")
def minilm_bundle(minilm, squad, exported) -> Path:
    """Its bundle."""
    return exported("minilm", minilm, questions=sample(squad, 8))


@pytest.fixture(scope="session")
def minilm_qa(minilm_bundle) -> QAPipeline:
    """A pipeline over it."""
    return QAPipeline(minilm_bundle)


@pytest.fixture
def logged() -> list[str]:
    """The lines that bskim_export logs during a test."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("bskim_export")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.fixture
def broken_package(tmp_path, monkeypatch):
    """Return a function that puts a package in the place of one, which really fails to load a library it needs."""

    def put(name: str) -> None:
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "__init__.py").write_text("import ctypes\nctypes.CDLL('libnowhere.so.1')\n")
        monkeypatch.syspath_prepend(tmp_path / "broken")
        monkeypatch.delitem(sys.modules, name, raising=False)

    return put


@pytest.fixture(scope="module")
def chromium():
    """A browser without a window."""
    from selenium import webdriver

    paths = shutil.which("chromium"), shutil.which("chromedriver")
    if not all(paths) and os.environ.get("BSKIM_PAGE") != "required":
        pytest.skip("There is no chromium; `scripts/dependencies.sh --install page` brings it.")
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(paths[1]))
    yield driver
    driver.quit()
