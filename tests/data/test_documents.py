import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.data.documents import SEPARATOR, DocumentMaker, some_of_each, whole_articles
from bskim_export.data.question import Question
from bskim_export.data.readers import read_questions
from bskim_export.data.squad import load_squad, write_squad
from bskim_export.errors import InputError


def own_texts(questions):
    return [[q.context[s : s + len(a)] for s, a in zip(q.starts, q.answers, strict=True)] for q in questions]


def test_the_packaged_articles_are_whole_and_their_answers_where_they_were(squad):
    found = read_questions("articles")
    assert len(found) == 48 * 8
    assert Counter(Counter(q.title for q in found).values()) == {8: 48}
    assert all(texts == list(q.answers) for q, texts in zip(found, own_texts(found), strict=True))
    by_id = {q.id: q for q in squad}
    assert all(by_id[q.id].context in q.context for q in found)
    words = [len(q.context.split()) for q in found]
    assert 5000 < sum(words) / len(words) < 5600


def test_an_article_has_each_of_its_paragraphs_once_and_in_order(squad):
    first = [q for q in squad if q.title == squad[0].title]
    (article,) = {q.context for q in whole_articles(first)}
    assert article.split(SEPARATOR) == list(dict.fromkeys(q.context for q in first))


def test_questions_without_titles_name_no_articles(tmp_path):
    path = tmp_path / "questions.json"
    path.write_text(json.dumps([{"context": "Ada.", "question": "Who?", "answers": {"text": [], "answer_start": []}}]))
    with pytest.raises(InputError, match="no 'title' to tell which paragraphs"):
        read_questions(f"articles:{path}")


@pytest.mark.parametrize(
    "spec", ["documents:5", "documents:0:x.json", "documents:x:y", "documents:2:", "documents:²:x"]
)
def test_a_document_that_is_badly_named_is_refused(spec):
    with pytest.raises(InputError, match=r"documents:N:FILE, with N paragraphs from 1 to 10,000"):
        read_questions(spec)


def test_documents_of_a_file_have_so_many_paragraphs(squad, tmp_path):
    path = tmp_path / "some.json"
    write_squad(path, squad[:300])
    found = read_questions(f"documents:5:{path}")
    assert [q.id for q in found] == [q.id for q in squad[:300]]
    assert {len(q.context.split(SEPARATOR)) for q in found} == {5}
    assert own_texts(found) == own_texts(squad[:300])
    assert found == read_questions(f"documents:5:{path}")


def test_without_a_title_the_others_stand_near_in_the_file(squad):
    untitled = [replace(q, title="") for q in squad]
    make = DocumentMaker(untitled)
    order = {context: i for i, context in enumerate(dict.fromkeys(q.context for q in untitled))}
    for question in untitled[::500]:
        places = [order[p] for p in make(question, 6).context.split(SEPARATOR)]
        assert len(set(places)) == 6
        assert max(abs(place - order[question.context]) for place in places) <= 6


def test_passages_apart_are_those_of_the_document_and_only_the_own_one_has_answers(squad):
    make = DocumentMaker(squad)
    for question in squad[::900]:
        passages = make.passages(question, 5)
        assert SEPARATOR.join(p.context for p in passages) == make(question, 5).context
        (own,) = [p for p in passages if p.answers]
        assert own == question
        assert {p.question for p in passages} == {question.question}


@given(
    st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 6)), min_size=1, max_size=12),
    st.integers(1, 9),
    st.integers(0, 3),
)
def test_a_document_has_its_own_paragraph_others_of_its_title_first_and_none_twice(drawn, size, seed):
    questions = [
        Question(f"{i}", "Who?", f"{t} {n} Ada", (f"{n} Ada",), (2,), ((0, 1),), title=t)
        for i, (t, n) in enumerate(drawn)
    ]
    make = DocumentMaker(questions, seed)
    contexts = {q.context for q in questions}
    for question in questions:
        document = make(question, size)
        paragraphs = document.context.split(SEPARATOR)
        assert question.context in paragraphs
        assert len(set(paragraphs)) == len(paragraphs) == min(size, len(contexts))
        same = {p for p in contexts if p[0] == question.title}
        assert sum(p in same for p in paragraphs) >= min(size, len(same))
        assert own_texts([document]) == own_texts([question])
        assert [document.context[a:b] for a, b in document.supporting] == [question.title]
        assert make(question, size) == document


def test_some_of_each_title_are_drawn_by_the_seed(squad):
    assert some_of_each(squad, 3, seed=1) == some_of_each(squad, 3, seed=1) != some_of_each(squad, 3, seed=2)
    assert {q.title for q in some_of_each(squad, 1)} == {q.title for q in squad}
    assert len(some_of_each(squad, 10_000)) == len(squad)


def test_titles_are_read_and_written_back(squad, tmp_path):
    assert len({q.title for q in squad}) == 48
    write_squad(tmp_path / "some.json", squad[:2000])
    assert load_squad(tmp_path / "some.json") == squad[:2000]
