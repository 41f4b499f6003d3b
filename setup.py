"""Only what setup.cfg cannot say: the top-level folders calibration/ and plugins/ are installed inside the package."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["bskim_export*"]),
        "bskim_export.recipes",
        "bskim_export.plugins",
        "bskim_export.plugins.diag_attention",
    ],
    package_dir={"bskim_export.recipes": "calibration", "bskim_export.plugins": "plugins"},
    package_data={
        "bskim_export.bench": ["*.json"],
        "bskim_export.data": ["*.json.gz", "*.md"],
        "bskim_export.recipes": ["*.toml"],
    },
)
