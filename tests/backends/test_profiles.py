import pytest
from support import usual

from bskim_export.backends.profiles import Profile
from bskim_export.bundle.bundle import Bundle
from bskim_export.errors import InputError


@pytest.mark.parametrize("predictor", ["diagonal", "question"])
@pytest.mark.parametrize("family", usual(["bert", "albert", "distilbert"], ["distilbert"]))
def test_fixed_axes_of_every_graph_have_the_size_that_the_profile_gives_them(family, predictor, tiny_bundle):
    profile = Profile((2, 8), (192, 384))
    bundle = Bundle.open(tiny_bundle(family, (0, 1, 2), predictor))
    for graph in bundle.manifest.graphs:
        shapes = profile.shapes(graph.input_names, bundle.model)
        for tensor in graph.inputs:
            for axis, sizes in zip(tensor.axes, zip(*shapes[tensor.name], strict=True), strict=True):
                assert set(sizes) == {axis} if isinstance(axis, int) else len(set(sizes)) > 1


def test_what_is_outside_the_profile_is_refused_with_what_to_do(tiny_bundle):
    model = Bundle.open(tiny_bundle()).model
    profile = Profile((1, 8), (192, 384))
    shapes = profile.shapes(["table", "mask"], model)
    profile.check({"table": (8, 12), "mask": (1, 32)}, shapes)
    with pytest.raises(InputError, match=r"'table' of shape \(9, 12\).*--max-batch"):
        profile.check({"table": (9, 12)}, shapes)
    with pytest.raises(InputError, match="384 positions"):
        profile.check({"mask": (1, 416)}, shapes)


@pytest.mark.parametrize("wrong", [{"batch_size": (0, 8)}, {"batch_size": (9, 8)}, {"length": (385, 384)}])
def test_profiles_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Profile(**({"batch_size": (1, 8), "length": (192, 384)} | wrong))


def test_the_default_profile_takes_every_window_of_the_model(tiny_bundle):
    manifest = Bundle.open(tiny_bundle()).manifest
    assert Profile.of(manifest.longest, 4) == Profile((4, 4), (384, 384))
