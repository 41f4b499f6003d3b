"""How much of the paper's work is done: one recipe at three sizes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """A size.

    questions: of a data set that are trained on, drawn at random; None for all
    epochs: of a training run
    evaluated: questions of a development set, drawn at random; None for all
    seeds: runs of Table 2, and of each other row one
    generations, children: of the search for lengths in Figure 5
    """

    name: str
    questions: int | None
    epochs: float
    evaluated: int | None
    seeds: int
    generations: int
    children: int


SCALES = {
    scale.name: scale
    for scale in (
        Scale("smoke", 64, 1, 48, 2, 1, 2),  # whether all of it works; its figures mean nothing
        Scale("small", 20_000, 1, 2_000, 3, 10, 10),  # two cores over a night
        Scale("full", None, 2, None, 5, 30, 60),  # the paper's own
    )
}
