import platform

import pytest

from bskim_export.backends.processor import FASTEST, features, needed, processor_name

X86 = """processor\t: 0
model name\t: Some Processor @ 2.00GHz
flags\t\t: fpu sse avx512_vnni amx_bf16 avx512_bf16 amx_int8

processor\t: 1
model name\t: Another
flags\t\t: avx_vnni
"""
ARM = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd asimddp i8mm\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (X86, {"avx512_vnni", "amx_bf16", "avx512_bf16", "amx_int8"}),
        (ARM, {"asimddp", "i8mm"}),
        ("", set()),
        ("nothing of use\n\x00\n", set()),
    ],
)
def test_features_are_read_of_the_first_core(text, found, tmp_path):
    (tmp_path / "cpuinfo").write_text(text)
    assert features(tmp_path / "cpuinfo") == found


def test_a_system_without_cpuinfo_has_no_known_features_and_some_name(tmp_path):
    assert features(tmp_path / "missing") == set()
    assert processor_name(tmp_path / "missing") == (platform.processor() or "unknown")


@pytest.mark.parametrize(
    ("text", "name"), [(X86, "Some Processor @ 2.00GHz"), ("model name\t: Fast: 3 GHz\n", "Fast: 3 GHz")]
)
def test_the_name_is_the_processors_own(text, name, tmp_path):
    (tmp_path / "cpuinfo").write_text(text)
    assert processor_name(tmp_path / "cpuinfo") == name


@pytest.mark.parametrize(
    ("precisions", "here", "found"),
    [
        (["fp32", "fp32"], {"amx_bf16"}, []),
        (["fp32", "bf16"], {"avx512_bf16", "avx512_vnni"}, ["avx512_bf16"]),
        (["int8", "bf16"], {"avx512_vnni", "amx_int8", "amx_bf16"}, ["amx_bf16", "amx_int8"]),
        (["int8", "int8"], {"avx512_vnni", "amx_int8"}, ["amx_int8"]),
        (["int8"], set(), []),
    ],
)
def test_what_is_needed_is_the_best_that_is_here(precisions, here, found):
    assert needed(precisions, frozenset(here)) == found


def test_a_machine_has_what_it_needs():
    assert features().issuperset(needed(list(FASTEST)))
