import numpy as np

from bskim_export.export.weights import ALIGNMENT, WeightStore


def test_equal_tensors_are_stored_once_and_all_begin_at_pages(tmp_path):
    arrays = [np.arange(5, dtype=np.float32), np.ones((2, 3), np.float16), np.arange(5, dtype=np.float32)]
    with WeightStore(tmp_path / "weights.bin") as store:
        references = [store.add(f"w{i}", array) for i, array in enumerate(arrays)]
    assert [r.offset for r in references] == [0, ALIGNMENT, 0]
    assert (tmp_path / "weights.bin").stat().st_size == ALIGNMENT + 12
    for reference, array in zip(references, arrays, strict=True):
        np.testing.assert_array_equal(reference.numpy(), array)


def test_a_transposed_array_is_stored_in_its_own_order(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    with WeightStore(tmp_path / "weights.bin") as store:
        reference = store.add("w", array.T)
    np.testing.assert_array_equal(reference.numpy(), array.T)
