"""Through which windows the lower layers read a passage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bskim_export.runtime.prepared.cut import cut_sections, section_blocks


@given(st.integers(0, 300), st.integers(1, 40), st.integers(0, 3))
def test_every_block_is_kept_once_and_in_order(blocks, width, margin):
    sections = cut_sections(blocks, width, margin)
    kept = [block for one in sections for block in range(one.keep_first, one.keep_stop)]
    assert kept == list(range(blocks))
    for one in sections:
        assert 0 <= one.first <= one.keep_first < one.keep_stop <= one.stop <= blocks
        assert one.stop - one.first <= width


@given(st.integers(1, 300), st.integers(3, 40))
def test_no_block_is_read_without_its_neighbours(blocks, width):
    for one in cut_sections(blocks, width):
        assert one.first < one.keep_first or one.keep_first == 0
        assert one.keep_stop < one.stop or one.stop == blocks


@given(st.integers(1, 300), st.integers(1, 2))
def test_sections_without_room_for_margins_have_none(blocks, width):
    assert all((s.first, s.stop) == (s.keep_first, s.keep_stop) for s in cut_sections(blocks, width))


@pytest.mark.parametrize(("max_seq_len", "blocks"), [(384, 11), (512, 15), (100, 2), (64, 1), (33, 1), (32, 1)])
def test_a_section_leaves_room_for_a_block_of_question(max_seq_len, blocks):
    assert section_blocks(max_seq_len, 32) == blocks
