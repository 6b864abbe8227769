"""Draw which packages of Copycat import which: python docs/draw_rooms.py prints the picture in CONTRIBUTING.md."""

import tomllib
from pathlib import Path

import grimp

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def read_layers() -> list[str]:
    """Return the packages from the highest layer to the lowest, as the contract of import-linter orders them."""
    contracts = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [room.strip() for layer in layers for room in layer.split("|")]


def draw_rooms() -> str:
    """Return a line for each package, in which each package that it imports has a column of its own.

    An import inside a function counts; one for type checkers alone does not.
    """
    graph = grimp.build_graph("copycat", cache_dir=None, exclude_type_checking_imports=True)
    rooms = read_layers()

    def cell(importer: str, imported: str) -> str:
        importers, modules = f"copycat.{importer}", f"copycat.{imported}"
        imports = importer != imported and graph.direct_import_exists(
            importer=importers, imported=modules, as_packages=True
        )
        return imported if imports else " " * len(imported)

    width = max(map(len, rooms))
    lines = (" ".join([f"{importer:{width}} ->", *(cell(importer, room) for room in rooms[1:])]) for importer in rooms)
    return "\n".join(line.rstrip() for line in lines)


if __name__ == "__main__":
    print(draw_rooms())
