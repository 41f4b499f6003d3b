"""The docs are true: links lead somewhere, names that they mention exist, tables are those of the code."""

import re
import tomllib
from pathlib import Path

import pytest

import bskim_export
from bskim_export.bundle import tensors
from bskim_export.bundle.manifest import FORMAT_VERSION
from bskim_export.bundle.tensors import DYNAMIC, FIXED, HIDDEN, TENSORS
from bskim_export.commands import COMMANDS
from bskim_export.model.families.base import Family

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bskim_export"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        ROOT / "calibration" / "README.md",
        ROOT / "plugins" / "README.md",
        ROOT / "bskim_export" / "data" / "README.md",
    ]
)
INSTALLED = ("export", "train", "calibrate", "bench", "prepare", "ask", "serve", "map", "view", "paper")
"""What is also a command of its own: `bskim-export` and so on."""
OF_CPP = ("answer", "stress", "tokens")
"""Programs of libbskim, named alike."""
GRAPHS = {
    "the first stage, `dense.onnx`": tensors.FIRST_STAGE_INPUTS,
    "`prepare.onnx`": tensors.PREPARE_INPUTS,
    "`question.onnx`": tensors.QUESTION_INPUTS,
    "the first stage of a split model, `read.onnx`": tensors.READING_INPUTS,
    "a later stage": tensors.LATER_STAGE_INPUTS,
    "a predictor": tensors.PREDICTOR_INPUTS,
}
BEGIN = "<!-- from bundle/tensors.py; refresh with: .venv/bin/python tests/test_docs.py -->"
END = "<!-- end -->"

page_of = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


def tensor_tables() -> str:
    """Return the tables of architecture.md: all tensors, their axes, and which graph may take which."""
    lines = ["| tensor | dtype | axes | route | meaning |", "|---|---|---|---|---|"]
    for t in TENSORS.values():
        dtype = "of hidden states" if t.dtype == HIDDEN else t.dtype
        lines.append(f"| `{t.name}` | {dtype} | {', '.join(t.axes)} | {t.route.value} | {t.meaning} |")
    lines += ["", "| axis | decided by | meaning |", "|---|---|---|"]
    lines += [f"| {axis} | the model | {meaning} |" for axis, meaning in FIXED.items()]
    lines += [f"| {axis} | each run | {meaning} |" for axis, meaning in DYNAMIC.items()]
    lines += ["", "| graph | inputs that it may have, in this order |", "|---|---|"]
    lines += [f"| {graph} | {', '.join(f'`{name}`' for name in names)} |" for graph, names in GRAPHS.items()]
    return "\n".join(lines)


def refresh() -> None:
    """Write the tables into architecture.md."""
    before, rest = ARCHITECTURE.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    ARCHITECTURE.write_text(f"{before}{BEGIN}\n\n{tensor_tables()}\n\n{END}{after}", encoding="utf-8")


def prose(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as Markdown viewers make them."""
    headings = re.findall(r"^#+ +(.*)$", re.sub(r"```.*?```", "", prose(page), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_the_tensor_tables_are_those_of_the_code():
    found = prose(ARCHITECTURE).split(BEGIN)[1].split(END)[0].strip()
    assert found == tensor_tables(), (
        "docs/architecture.md is not up to date. Refresh it: .venv/bin/python tests/test_docs.py"
    )


@page_of
def test_links_lead_somewhere(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert not broken


@page_of
def test_every_command_that_is_named_exists(page):
    text = prose(page)
    named = set(re.findall(r"(?:`|^ {4,}|\.\.\. )bskim ([a-z][a-z0-9-]*)", text, re.MULTILINE))
    assert named <= COMMANDS.keys()
    assert set(re.findall(r"\bbskim-([a-z]+)\b", text)) <= {*INSTALLED, *OF_CPP}
    if page.name not in ("CONTRIBUTING.md", "CHANGELOG.md"):
        assert "cli.py" not in text, "the command is `bskim`"


@page_of
def test_every_file_of_the_code_that_is_named_exists(page):
    names = re.findall(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.py)(?:: \w+)?`", prose(page))
    missing = [name for name in names if is_path_of_ours(name) and not exists(name)]
    assert not missing


def is_path_of_ours(name: str) -> bool:
    first = name.split("/")[0]
    rooms = {p.name for p in PACKAGE.iterdir() if p.is_dir()} - {"__pycache__"}
    top = {"bskim_export", "docs", "tests", "plugins", "calibration", "examples"}
    return name.endswith(".py") or first in rooms | top


def exists(name: str) -> bool:
    """Return whether a path is one of ours: from the top, from the package, or a file's name alone."""
    return (ROOT / name).exists() or (PACKAGE / name).exists() or ("/" not in name and any(PACKAGE.rglob(name)))


def test_the_five_questions_are_answered_by_the_code():
    table = prose(ROOT / "CONTRIBUTING.md").split("## Five questions")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) == 5
    for row in rows:
        named = re.findall(r"`([^`]+)`", row.split("|")[2])
        files = [name for name in named if name.endswith(".py")]
        code = "".join((PACKAGE / file).read_text(encoding="utf-8") for file in files)
        for name in named:
            assert name.endswith((".py", "/")) or all(part in code for part in name.split(".")), f"{name}: {files}"


def test_the_family_page_names_every_member():
    members = {name for name in vars(Family) if not name.startswith("_")} | set(Family.__annotations__)
    page = prose(ROOT / "docs" / "families.md")
    assert sorted(m for m in members if not re.search(rf"`{m}\b", page)) == []


def test_the_bundle_page_is_of_this_format():
    assert f"format version {FORMAT_VERSION}" in prose(ROOT / "docs" / "bundle.md")


def test_the_first_section_of_the_changelog_and_the_citation_are_of_this_version():
    version, date = re.search(r"^## (\S+) \((\S+)\)$", prose(ROOT / "CHANGELOG.md"), re.MULTILINE).groups()
    assert version == bskim_export.__version__
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (\S+)$", citation, re.MULTILINE)[1] == version
    assert re.search(r"^date-released: (\S+)$", citation, re.MULTILINE)[1] == date


def test_every_recipe_is_valid_and_named_in_the_folders_page():
    page = prose(ROOT / "calibration" / "README.md")
    for recipe in (ROOT / "calibration").glob("*.toml"):
        assert tomllib.loads(recipe.read_text(encoding="utf-8"))
        assert f"`{recipe.stem}`" in page


if __name__ == "__main__":
    refresh()
