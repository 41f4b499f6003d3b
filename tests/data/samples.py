"""One small data set in each file format, as a file has it and as its reader returns it."""

from bskim_export.data.question import Question

SQUAD_CONTEXT = "Łódź is a city in Poland."
SQUAD_RAW = {
    "version": "1.1",
    "data": [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": SQUAD_CONTEXT,
                    "qas": [
                        {"id": "1", "question": "Where?", "answers": [{"text": "Poland", "answer_start": 18}]},
                        {
                            "id": "2",
                            "question": "Which city?",
                            "answers": [{"text": "Łódź", "answer_start": 0}, {"text": "city", "answer_start": 10}],
                        },
                    ],
                }
            ],
        }
    ],
}
SQUAD_EXPECTED = [
    Question("1", "Where?", SQUAD_CONTEXT, ("Poland",), (18,)),
    Question("2", "Which city?", SQUAD_CONTEXT, ("Łódź", "city"), (0, 10)),
]

MRQA_CONTEXT = "[TLE] 42 [PAR] The answer is 42. Forty-two  is it."
MRQA_LINE = {
    "context": MRQA_CONTEXT,
    "context_tokens": [["[TLE]", 0]],
    "qas": [
        {
            "id": "story#1",
            "qid": "a1",
            "question": "What is it?",
            "question_tokens": [["What", 0]],
            "is_impossible": False,
            "answers": ["42", "forty two"],
            "detected_answers": [
                {"text": "42", "char_spans": [[6, 7], [29, 30]], "token_spans": [[1, 1], [6, 6]]},
                {"text": "forty-two is", "char_spans": [[33, 45]], "token_spans": [[8, 9]]},
            ],
        },
        {"id": "a2", "question": "Is it?", "answers": ["it"],
         "detected_answers": [{"text": "it", "char_spans": [[47, 48]]}]},
    ],
}  # fmt: skip
MRQA_HEADER = {"header": {"dataset": "Miniature", "split": "dev"}}
MRQA_EXPECTED = [
    Question(
        "a1", "What is it?", MRQA_CONTEXT, ("42", "42", "Forty-two  is"), (6, 29, 33), accepted=("42", "forty two")
    ),
    Question("a2", "Is it?", MRQA_CONTEXT, ("it",), (47,)),
]

HOTPOTQA_ENTRY = {
    "_id": "5a8b57f25542995d1e6f1371",
    "question": "In which year was the engine's first programmer born?",
    "answer": "1815",
    "supporting_facts": [["Ada Lovelace", 1], ["Analytical Engine", 0]],
    "context": [
        ["Waterloo", ["It was fought in 1815.", " Napoleon lost."]],
        ["Analytical Engine", ["Ada Lovelace programmed it.", " It had number 18155."]],
        ["Ada Lovelace", ["She was a countess.", " She was born in 1815."]],
    ],
    "type": "bridge",
    "level": "hard",
}
HOTPOTQA_CONTEXT = (
    "Waterloo\nIt was fought in 1815. Napoleon lost.\n"
    "Analytical Engine\nAda Lovelace programmed it. It had number 18155.\n"
    "Ada Lovelace\nShe was a countess. She was born in 1815."
)
HOTPOTQA_EXPECTED = [
    Question(
        "5a8b57f25542995d1e6f1371",
        "In which year was the engine's first programmer born?",
        HOTPOTQA_CONTEXT,
        ("1815",),
        (HOTPOTQA_CONTEXT.rindex("1815"),),
        supporting=((65, 92), (147, 168)),
    )
]
