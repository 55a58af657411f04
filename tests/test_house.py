"""The rooms of the house stand one above the other, and nothing below imports what is above."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

HOUSE = Path(__file__).parents[1] / "annotator"

# From the roof to the ground. A room imports rooms of the floors below its own; those of a floor know nothing
# of one another.
FLOORS = """
    cli
    doctor demo bench privacy
    parity
    export review
    report synth
    runtime
    quality
    evaluate tracks
    sources models
    media
    store
    people uris
    pose locations config
    skeletons items durations errors __init__
""".splitlines()


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Line and name of each module that a file imports, at its top or later."""
    package = ".".join(file.relative_to(HOUSE.parent).parent.parts)
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            names = [f"{module}.{name.name}" for name in node.names] if module == "annotator" else [module]
            yield from ((node.lineno, name) for name in names)


def test_rooms_import_only_what_stands_below_them() -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms.split()}
    there = {path.stem for path in HOUSE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert there == set(floor), "a room without a floor, or a floor without its room"
    wrong = []
    for file in sorted(HOUSE.rglob("*.py")):
        where = file.relative_to(HOUSE)
        room = where.parts[0].removesuffix(".py")
        for line, module in imports(file):
            other = module.removeprefix("annotator.").partition(".")[0]
            if not module.startswith("annotator.") or other not in floor or other == room:
                continue
            if floor[other] <= floor[room]:
                wrong.append(f"annotator/{where}:{line} imports {module}: {other} is not below {room}")
    assert not wrong, "\n".join(wrong)
