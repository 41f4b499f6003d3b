"""What stands between a question and its passage."""

from tokenizers import Tokenizer

from bskim_export.errors import CheckpointError


def find_separator(tokenizer: Tokenizer) -> tuple[int, int]:
    """Return the token that ends a question, and how many of it stand before the passage begins.

    Example:
        >>> find_separator(Tokenizer.from_file("examples/minilm-l6-squad/tokenizer.json"))
        (102, 1)

    Raises:
        CheckpointError: nothing stands there.
    """
    encoding = tokenizer.encode("a", "b")
    behind = max(i for i, s in enumerate(encoding.sequence_ids) if s == 0) + 1
    passage = encoding.sequence_ids.index(1)
    if behind == passage:
        raise CheckpointError(
            "The tokenizer puts nothing between a question and its passage: a graph cannot tell them."
        )
    return encoding.ids[behind], passage - behind
