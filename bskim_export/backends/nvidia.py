"""Asks the driver which NVIDIA GPU is here. Standard library only."""

import ctypes

MAJOR = 75  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
MINOR = 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR


def compute_capability() -> tuple[int, int] | None:
    """Return the compute capability of the first GPU, or None where there is no GPU or no driver."""
    gpu = _first_gpu()
    if gpu is None:
        return None
    driver, device = gpu
    found = []
    for attribute in (MAJOR, MINOR):
        value = ctypes.c_int()
        if driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device):
            return None
        found.append(value.value)
    return found[0], found[1]


def describe_gpu() -> dict[str, str] | None:
    """Return what timings on the first GPU depend on, or None where there is none.

    Returns:
        name, compute_capability; driver: its version; cuda: the newest CUDA that the driver knows. "unknown" stands
        for anything that the driver does not say.
    """
    capability = compute_capability()
    gpu = _first_gpu()
    if capability is None or gpu is None:
        return None
    driver, device = gpu
    name = ctypes.create_string_buffer(128)
    cuda = ctypes.c_int()
    named = driver.cuDeviceGetName(name, len(name), device) == 0
    has_version = driver.cuDriverGetVersion(ctypes.byref(cuda)) == 0
    return {
        "name": name.value.decode() if named else "unknown",
        "compute_capability": ".".join(map(str, capability)),
        "driver": _driver_version(),
        "cuda": f"{cuda.value // 1000}.{cuda.value % 1000 // 10}" if has_version else "unknown",
    }


def _first_gpu() -> tuple[ctypes.CDLL, ctypes.c_int] | None:
    """Return the driver and its number of the first GPU, or None where one of them is missing."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0):
        return None
    return driver, device


def _driver_version() -> str:
    """Return the version of the driver, or "unknown"."""
    try:
        management = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return "unknown"
    version = ctypes.create_string_buffer(80)
    if management.nvmlInit_v2() or management.nvmlSystemGetDriverVersion(version, len(version)):
        return "unknown"
    return version.value.decode()
