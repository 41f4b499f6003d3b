"""Kills of everything that writes, at random moments: python tests/attack/kills.py --count 1000 --seed 1

An export, a calibration, a training and a publication of tiny models take turns. Each runs in a forked child, which
gets SIGKILL at a random moment, half of them near the end, where files change places. Afterwards what was there before
or what was being written must be there, whole; what the next call of the same command puts right counts as there.

Prints one line, and goes on where it was if it is called again. The exit code is 1 if anything was half-written or
lost.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads do not survive a fork
sys.path.insert(0, str(Path(__file__).parents[1]))

import accelerate.utils  # noqa: F401  # what the children would import each for themselves
import torch
from support import EXAMPLE, SHAPE, make_model, spread_scores
from transformers import BertConfig
from transformers.utils import logging

from bskim_export import Bundle, QAPipeline, export_bundle, load_checkpoint
from bskim_export.bundle.directory import atomic_directory
from bskim_export.calibrate.recipes import Recipe
from bskim_export.calibrate.session import Session
from bskim_export.checkpoint.loading import Checkpoint
from bskim_export.checkpoint.publishing import publish
from bskim_export.data.question import sample
from bskim_export.data.squad import load_squad
from bskim_export.training.run import train
from bskim_export.training.settings import TrainSettings

KINDS = ("export", "calibrate", "publish", "train")
PATIENCE = 600
"""Seconds after which a child that was not killed counts as hanging."""

Verdict = str
"""whole, recovered, half-written or lost."""


class Attack:
    """The models, what is written from them, and how each of it is judged.

    Args:
        home: a folder for all of it, which may be there from an earlier call
    """

    def __init__(self, home: Path):
        self.home = home
        self.squad = load_squad()
        tokenizer = (EXAMPLE / "tokenizer.json").read_text(encoding="utf-8")
        self.models = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            model = make_model(BertConfig(**SHAPE), (0, 1), predictor="question")
            self.models.append(Checkpoint(model, tokenizer, "tiny"))
            spread_scores(self.models[-1], sample(self.squad, 6, seed=1))
        self.out = home / "bundles" / "engines"
        self.published = home / "published" / "model"
        self.trained = home / "trained" / "model.pt"
        for folder in (self.out, self.published, self.trained):
            folder.parent.mkdir(parents=True, exist_ok=True)
        # Also in the parent: the children inherit the graphs, which are traced once in a process.
        for number in (0, 1):
            if not self._is_bundle(home / f"reference-{number}"):
                self._export(number, home / f"reference-{number}")
        self.weights = [Bundle.open(home / f"reference-{n}").weights_hash for n in (0, 1)]
        self.tensors = [_digest(m) for m in self.models]
        if not self.out.exists():
            shutil.copytree(home / "reference-0", self.out)
        if not self.published.exists():
            publish(self.models[0], self.published)

    def work(self, kind: str, number: int) -> None:
        """Do what is to be killed.

        Args:
            number: 0 or 1: of which model
        """
        if kind == "export":
            self._export(number, self.out)
        elif kind == "publish":
            publish(self.models[number], self.published)
        elif kind == "calibrate":
            self._calibrate(number)
        else:
            self._train()

    def judge(self, kind: str) -> Verdict:
        """Look at what a kill left."""
        if kind in ("export", "calibrate"):
            return self._judge_bundle()
        if kind == "publish":
            return self._judge_published()
        return self._judge_trained()

    def _export(self, number: int, out: Path) -> None:
        export_bundle(self.models[number], out, questions=sample(self.squad, 1))

    def _calibrate(self, number: int) -> None:
        pipeline = QAPipeline(self.out, threads=1)
        recipe = Recipe(sample=20, held_out=0, max_f1_drop=20.0 + 40 * number, seed=number, max_seq_len=128)
        evidence = Session(pipeline, self.squad[:200], recipe, self.home / "calibration", "here").calibrate()
        pipeline.bundle.write_calibration(
            evidence["thresholds"], {**evidence, "by": list(evidence["thresholds"].values())}
        )

    def _train(self) -> None:
        if self.trained.exists():  # finished: the next one starts anew
            self.trained.unlink()
            shutil.rmtree(self.trained.with_suffix(".training"), ignore_errors=True)
        settings = TrainSettings(
            "tiny", "squad", freeze=True, predictor="question", layers=(0, 1), epochs=2, batch_size=4, max_seq_len=128,
            trainer={"save_steps": 4, "disable_tqdm": True},
        )  # fmt: skip
        train(replace(self.models[0]), self.squad[:24], self.squad[300:304], settings, self.trained)

    def _is_bundle(self, folder: Path) -> bool:
        try:
            Bundle.open(folder)
        except ValueError:
            return False
        return True

    def _judge_bundle(self) -> Verdict:
        absent = not self.out.exists()
        if absent:  # set aside for a moment: the next export puts it back, even one that fails
            try:
                with atomic_directory(self.out):
                    raise InterruptedError
            except InterruptedError:
                pass
            if not self.out.exists():
                return "lost"
        try:
            bundle = Bundle.open(self.out)
            evidence = bundle.read_report().get("calibration", {})
        except ValueError as error:
            return f"half-written: {error}"
        if bundle.weights_hash not in self.weights or "parity" not in bundle.read_report():
            return "half-written: of neither model"
        if evidence and evidence["by"] != list(bundle.thresholds.values()):
            return "half-written: evidence of other thresholds"
        if not evidence and bundle.thresholds not in [
            Bundle.open(self.home / f"reference-{n}").thresholds for n in (0, 1)
        ]:
            return "lost: the evidence"
        return "recovered" if absent else "whole"

    def _judge_published(self) -> Verdict:
        if not self.published.exists():
            return "lost"
        try:
            return "whole" if _digest(load_checkpoint(self.published)) in self.tensors else "half-written: mixed"
        except (ValueError, OSError) as error:
            return f"half-written: {error}"

    def _judge_trained(self) -> Verdict:
        if not self.trained.exists():
            return "whole"  # what there is of the run is judged by whether the next one goes on
        try:
            load_checkpoint(self.trained)
        except (ValueError, OSError) as error:
            return f"half-written: {error}"
        return "whole"


def _digest(checkpoint: Checkpoint) -> str:
    """Return the hash of a model's weights and thresholds."""
    whole = hashlib.sha256(repr([round(float(t), 6) for t in checkpoint.model.skim.thresholds]).encode())
    for name, value in sorted(checkpoint.model.state_dict().items()):
        if value.is_floating_point():
            whole.update(name.encode() + value.contiguous().numpy().tobytes())
    return whole.hexdigest()


def in_child(work: Callable[[], object], kill_after: float | None, log: Path) -> tuple[int, float]:
    """Run in a forked child. Returns its exit code, negative for a signal, and the seconds it took."""
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            work()
            code = 0
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(code)
    deadline = start + (PATIENCE if kill_after is None else kill_after)
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), time.monotonic() - start
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), time.monotonic() - start


def main() -> None:
    """Kill, judge, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="kills in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, default=Path("build/kills"), help="the folder to work in and go on from")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many; call again to go on")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    arguments.state.mkdir(parents=True, exist_ok=True)
    path = arguments.state / f"seed-{arguments.seed}.jsonl"
    done = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    start = time.monotonic()
    attack = Attack(arguments.state)
    log = arguments.state / "log.txt"
    took = dict.fromkeys(KINDS, 1.0)
    for kind in KINDS:  # how long each takes here, to aim by
        code, took[kind] = in_child(lambda kind=kind: attack.work(kind, 0), None, log)
        if code:
            sys.exit(f"{kind} ends with {code} without a kill; see {log}")
    print({kind: round(seconds, 2) for kind, seconds in took.items()}, flush=True)
    kills = sum(one["killed"] for one in done)
    with open(path, "a") as state:
        while kills < arguments.count and time.monotonic() - start < arguments.seconds:
            number = len(done)
            chance = random.Random(f"{arguments.seed}-{number}")
            kind = KINDS[number % len(KINDS)]
            moment = took[kind] * (chance.uniform(0, 1) if chance.random() < 0.5 else chance.uniform(0.8, 1.02))
            model = chance.randrange(2)
            code, seconds = in_child(lambda kind=kind, model=model: attack.work(kind, model), moment, log)
            if code not in (0, -signal.SIGKILL):
                verdict = f"failed after an earlier kill with {code}"
            else:
                verdict = attack.judge(kind)
            if code == 0:
                took[kind] = 0.7 * took[kind] + 0.3 * seconds
            done.append({"kind": kind, "killed": code == -signal.SIGKILL, "verdict": verdict})
            state.write(json.dumps(done[-1]) + "\n")
            state.flush()
            kills += done[-1]["killed"]
    # All four must still work, on what the kills left.
    for kind in KINDS:
        code, _ = in_child(lambda kind=kind: attack.work(kind, 0), None, log)
        if code or attack.judge(kind) != "whole":
            sys.exit(f"{kind} ends with {code} after all kills: {attack.judge(kind)}")
    left = [p.name for folder in (attack.out.parent, attack.published.parent) for p in folder.iterdir()]
    counts = Counter(one["verdict"].split(":")[0] for one in done)
    by_kind = Counter(one["kind"] for one in done if one["killed"])
    print(f"{kills} kills ({dict(by_kind)}): {dict(counts)}; left beside what was written: {sorted(left)}")
    bad = [one for one in done if one["verdict"] not in ("whole", "recovered")]
    for one in bad[:10]:
        print(one)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
