"""Which NVIDIA GPU is here, asked of its driver. Standard library only."""

import ctypes

MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


def compute_capability() -> tuple[int, int] | None:
    """Return the compute capability of the first GPU, or None where there is no GPU or no driver."""
    driver, device = _first_gpu()
    if driver is None:
        return None
    found = []
    for attribute in (MAJOR, MINOR):
        value = ctypes.c_int()
        if driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device):
            return None
        found.append(value.value)
    return found[0], found[1]


def describe_gpu() -> dict | None:
    """Return what timings on the first GPU depend on, or None where there is none.

    name, compute_capability; driver: its version; cuda: the newest CUDA that the driver knows. "unknown" stands for
    what the driver does not tell.
    """
    capability = compute_capability()
    driver, device = _first_gpu()
    if capability is None or driver is None:
        return None
    name, cuda = ctypes.create_string_buffer(128), ctypes.c_int()
    named = driver.cuDeviceGetName(name, len(name), device) == 0
    told = driver.cuDriverGetVersion(ctypes.byref(cuda)) == 0
    return {
        "name": name.value.decode() if named else "unknown",
        "compute_capability": ".".join(map(str, capability)),
        "driver": _driver_version(),
        "cuda": f"{cuda.value // 1000}.{cuda.value % 1000 // 10}" if told else "unknown",
    }


def _first_gpu():
    """Return the driver and its number of the first GPU, or (None, None)."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None, None
    device = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0):
        return None, None
    return driver, device


def _driver_version() -> str:
    try:
        management = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return "unknown"
    version = ctypes.create_string_buffer(80)
    if management.nvmlInit_v2() or management.nvmlSystemGetDriverVersion(version, len(version)):
        return "unknown"
    return version.value.decode()
