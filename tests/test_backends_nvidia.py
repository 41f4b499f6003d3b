import ctypes

import pytest

from bskim_export.backends import nvidia


def test_a_machine_without_a_driver_has_no_gpu(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert nvidia.compute_capability() is None


@pytest.mark.parametrize(("broken", "expected"), [(None, (8, 9)), ("cuInit", None), ("cuDeviceGetAttribute", None)])
def test_the_driver_is_asked_and_its_errors_mean_no_gpu(broken, expected, monkeypatch):
    class Driver:
        def cuInit(self, flags):
            return int(broken == "cuInit")

        def cuDeviceGet(self, device, ordinal):
            return 0

        def cuDeviceGetAttribute(self, value, attribute, device):
            value._obj.value = {nvidia.MAJOR: 8, nvidia.MINOR: 9}[attribute]
            return int(broken == "cuDeviceGetAttribute")

    monkeypatch.setattr(nvidia.ctypes, "CDLL", lambda name: Driver())
    assert nvidia.compute_capability() == expected
