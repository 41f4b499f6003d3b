import pytest
from support import windows_of

from bskim_export.data.question import sample
from bskim_export.errors import InputError
from bskim_export.export.int8.ranges import OUTLIERS, measure_activations
from bskim_export.export.int8.recipe import METHODS


def test_ranges_hold_all_that_was_measured_and_clip_only_if_asked(tiny, squad):
    checkpoint = tiny()
    windows = windows_of(checkpoint, sample(squad, 3))
    wide = measure_activations(checkpoint.model, windows, "minmax")
    clipped = measure_activations(checkpoint.model, windows, "percentile")
    assert len(wide) == 3 * 6  # query, key, value, two of the attention's and the FFN's outputs, the FFN's input
    assert any(clipped[w].most < wide[w].most for w in wide)
    for weight, one in wide.items():
        assert one.least <= clipped[weight].least <= clipped[weight].most <= one.most
        assert one.smoothing.shape in {(32,), (64,)}
        assert (one.smoothing > 0).all()
        assert len(one.outliers) == (OUTLIERS if one.smoothing.size == 64 else 0)  # the FFN's inner size


def test_weights_that_read_the_same_share_its_ranges(tiny, squad):
    checkpoint = tiny()
    stats = measure_activations(checkpoint.model, windows_of(checkpoint, sample(squad, 1)))
    layer = checkpoint.model.family.layers(checkpoint.model.backbone)[1]
    query, key, value, output = (stats[id(m.weight)] for m in checkpoint.model.family.projections(layer))
    assert (query.least, query.most) == (key.least, key.most) == (value.least, value.most)
    assert (query.smoothing == value.smoothing).all()
    assert (query.smoothing != output.smoothing).any()


def test_progress_counts_both_passes(tiny, squad):
    windows = windows_of(tiny(), sample(squad, 2))
    calls = []
    measure_activations(tiny().model, windows, progress=lambda: calls.append(None))
    assert len(calls) == 2 * len(windows)


def test_unknown_methods_and_no_windows_are_refused(tiny):
    with pytest.raises(InputError, match=rf"no calibration method 'mean'.*{METHODS[0]}"):
        measure_activations(tiny().model, [None], "mean")
    with pytest.raises(InputError, match="needs real questions"):
        measure_activations(tiny().model, [])
