"""The paper's data sets as files in a folder, or as halves of what travels with the package."""

import gzip
import shutil

import pytest

from bskim_export.data.squad import write_squad
from bskim_export.errors import InputError
from bskim_export.reproduce.data import TITLES, MissingDataError, PaperData


@pytest.fixture
def folder(squad, tmp_path):
    write_squad(tmp_path / "squad-train.json", squad[:30])
    write_squad(tmp_path / "nq-dev.json", squad[30:40])
    with gzip.open(tmp_path / "nq-qed-train.json.gz", "wb") as out, open(tmp_path / "squad-train.json", "rb") as found:
        shutil.copyfileobj(found, out)
    return tmp_path


def test_files_are_found_under_all_their_names(folder, squad):
    data = PaperData(folder)
    assert [q.id for q in data.questions("squad", "train")] == [q.id for q in squad[:30]]
    assert [q.id for q in data.questions("naturalquestions", "dev")] == [q.id for q in squad[30:40]]
    assert len(data.questions("naturalquestions", "train")) == 30
    assert data.describe("naturalquestions", "train") == "NaturalQuestions, nq-qed-train.json.gz"


@pytest.mark.parametrize(("name", "part"), [("squad", "dev"), ("triviaqa", "train")])
def test_what_is_not_there_is_a_gap_with_its_name(folder, name, part):
    with pytest.raises(MissingDataError, match=f"no data: {name}-{part}$"):
        PaperData(folder).questions(name, part)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"There is no folder .*nothing"):
        PaperData(tmp_path / "nothing")


def test_other_questions_have_another_fingerprint(folder, squad):
    first = PaperData(folder).fingerprint("squad", "train")
    assert PaperData(folder).fingerprint("squad", "train") == first
    write_squad(folder / "squad-train.json", squad[1:31])
    assert PaperData(folder).fingerprint("squad", "train") != first


def test_without_a_folder_halves_of_the_packaged_articles_serve(squad):
    data = PaperData(None)
    train, dev = (data.questions("squad", part) for part in ("train", "dev"))
    assert len(train) + len(dev) == len(squad)
    assert not {q.title for q in train} & {q.title for q in dev}
    assert 0.4 < len(train) / len(squad) < 0.6
    for name in [*TITLES][1:]:
        with pytest.raises(MissingDataError, match="without --data"):
            data.questions(name, "dev")
