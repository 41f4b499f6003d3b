"""Where a document's blocks are, and through which windows the lower layers of a split model read them."""

from dataclasses import dataclass

MARGIN = 1
"""Blocks beside those that a window is for, on either side: so that none is read without what stands around it."""


@dataclass(frozen=True)
class Section:
    """A window of a passage for the lower layers.

    first, stop: the blocks that it reads
    keep_first, keep_stop: those whose states are kept; the others are its margins
    """

    first: int
    stop: int
    keep_first: int
    keep_stop: int


def section_blocks(max_seq_len: int, block_size: int) -> int:
    """Return how many blocks a section has at most. Its positions begin behind those of one block of question.

    Example:
        >>> section_blocks(384, 32)
        11
    """
    return max(1, (max_seq_len - block_size) // block_size)


def cut_sections(blocks: int, width: int, margin: int = MARGIN) -> list[Section]:
    """Return the sections that keep each of a passage's blocks once, in order.

    Args:
        blocks: of the passage
        width: blocks of a section at most

    Example:
        >>> [(s.first, s.stop, s.keep_first, s.keep_stop) for s in cut_sections(20, 11)]
        [(0, 11, 0, 10), (9, 20, 10, 20)]
    """
    if width <= 2 * margin:
        margin = 0
    sections = []
    kept = 0
    while kept < blocks:
        first = max(0, kept - margin)
        stop = min(first + width, blocks)
        keep_stop = stop if stop == blocks else stop - margin
        sections.append(Section(first, stop, kept, keep_stop))
        kept = keep_stop
    return sections
