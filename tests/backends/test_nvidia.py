import ctypes

import pytest

from bskim_export.backends import nvidia


def test_a_machine_without_a_driver_has_no_gpu(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert nvidia.compute_capability() is None
    assert nvidia.describe_gpu() is None


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


@pytest.mark.parametrize("with_management", [True, False])
def test_a_gpu_is_described_by_what_its_driver_tells(with_management, monkeypatch):
    class Driver:
        def cuInit(self, flags):
            return 0

        def cuDeviceGet(self, device, ordinal):
            return 0

        def cuDeviceGetAttribute(self, value, attribute, device):
            value._obj.value = {nvidia.MAJOR: 8, nvidia.MINOR: 9}[attribute]
            return 0

        def cuDeviceGetName(self, name, size, device):
            name.value = b"NVIDIA L4"
            return 0

        def cuDriverGetVersion(self, version):
            version._obj.value = 12080
            return 0

    class Management:
        def nvmlInit_v2(self):
            return 0

        def nvmlSystemGetDriverVersion(self, version, size):
            version.value = b"570.86.10"
            return 0

    def load(name):
        if name == "libcuda.so.1":
            return Driver()
        if with_management:
            return Management()
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(nvidia.ctypes, "CDLL", load)
    driver = "570.86.10" if with_management else "unknown"
    described = {"name": "NVIDIA L4", "compute_capability": "8.9", "driver": driver, "cuda": "12.8"}
    assert nvidia.describe_gpu() == described
