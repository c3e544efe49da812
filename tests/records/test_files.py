"""What is called how in a run's folder is written down once."""

import ast
from pathlib import Path

import pytest

from diffdemo import description
from diffdemo.records import files

ROOT = Path(__file__).resolve().parents[2]
HOMES = {"diffdemo/records/files.py", "diffdemo/description.py"}
PRODUCT = [path for room in ("diffdemo", "train") for path in sorted((ROOT / room).rglob("*.py"))]


def written_down() -> set[str]:
    values = [value for name, value in vars(files).items() if name.isupper()]
    values += [description.CONFIG, description.MAP, *files.TABLES.values(), *map(files.graph_of, files.TABLES.values())]
    return {value for value in values if isinstance(value, str)} - {files.CARD}  # the project has one of its own


NAMES = written_down()


def literals(tree: ast.AST) -> list[str]:
    """Names of files in a module's strings, and what a path is joined with; no docstrings."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    joined = {id(node.right) for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            with_suffix = {name for name in NAMES if "." in name and name in node.value}
            found += [*with_suffix, *({node.value.strip("/")} & NAMES if id(node) in joined else ())]
    return found


@pytest.mark.parametrize(
    "code, names",
    [
        ('x = folder / "history.csv"', ["history.csv", "history.csv"]),
        ('"""run.json"""\nx = folder / "snapshots"; y = {"samples": 1}', ["snapshots"]),
        ('open(f"{folder}/state.safetensors")', ["state.safetensors"]),
    ],
)
def test_literals_are_found(code, names):
    assert literals(ast.parse(code)) == names


def test_no_other_module_names_a_file_of_a_run_itself():
    assert len(PRODUCT) > 100 and len(NAMES) > 25
    found = {path.relative_to(ROOT).as_posix(): literals(ast.parse(path.read_text("utf-8"))) for path in PRODUCT}
    assert {path: names for path, names in found.items() if names and path not in HOMES} == {}
