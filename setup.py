"""Only what setup.cfg cannot say: the top-level folder calibration/ is installed as bskim_export.recipes."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["bskim_export*"]), "bskim_export.recipes"],
    package_dir={"bskim_export.recipes": "calibration"},
    package_data={"bskim_export.data": ["*.json.gz", "*.md"], "bskim_export.recipes": ["*.toml"]},
)
