import re

import pytest
from commands.cli import succeed


@pytest.mark.parametrize(("how", "said"), [(("--simulated",), "simulated"), ((), "true runs")])
def test_broken_splits_are_counted(minilm_bundle, tmp_path, how, said):
    arguments = ("--sample", 50, "--splits", 50, "--risk", 0.3, "--confidence", 0.8, "--work-dir", tmp_path)
    shown = succeed("risk-check", minilm_bundle, *arguments, *how)
    losses = [float(n) for n in re.findall(rf"\]: (\S+)% lost among all 40 \({said}\)", shown)]
    assert len(losses) > 1
    assert losses == sorted(losses)  # candidates go from careful to bold
    assert "50 splits, risk 30.0% at confidence 80%" in shown
    (certified,) = re.findall(r"something was certified in (\d+)\.", shown)
    assert int(certified) == 50  # the first candidate loses next to nothing
    (broken,) = re.findall(r"The bound is broken on the unseen half in (\S+)% of the splits", shown)
    assert 0 <= float(broken) <= 40  # 20 % are promised, and 50 splits of 40 questions say little more than that
    assert list(tmp_path.rglob("*.npz"))
