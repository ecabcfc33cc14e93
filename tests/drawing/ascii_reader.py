"""Reads a text drawing of plain tasks back: follows its lines and its notes to the edges they stand for.

Only for graphs without groups whose ids are words: a reader that knows nothing of how the drawing was made.
"""

from __future__ import annotations

import re

NOTE = re.compile(r"(<-|-> back to) (\w+(?:, \w+)*)")
WORD = re.compile(r"\w+")
REACHES: dict[str, tuple[tuple[int, int], ...]] = {
    "|": ((-1, 0), (1, 0)),
    "v": ((-1, 0), (1, 0)),
    "-": ((0, -1), (0, 1)),
}
REACHES["+"] = REACHES["|"] + REACHES["-"]

Cell = tuple[int, int]


class AsciiReader:
    """The tasks of a drawing, its edges and those among them that it calls loops."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.tasks: list[str] = []
        self.edges: set[tuple[str, str]] = set()
        self.loops: set[tuple[str, str]] = set()
        self.at: dict[Cell, tuple[str, ...]] = {}  # cell -> the task there, or all in its brackets
        self.marks: dict[Cell, str] = {}
        self._read_rows()
        self._follow_lines()

    def _read_rows(self) -> None:
        bracket: list[int] = []
        for row, line in enumerate([*self.lines, ""]):
            if line.lstrip().startswith("["):
                bracket.append(row)
                self._read_tasks(row, line.replace("[", " ").replace("]", " "))
                continue
            if bracket:
                self._close_bracket(bracket)
                bracket = []
            if re.fullmatch(r"[ |v+\-]*", line):
                self.marks.update({(row, column): mark for column, mark in enumerate(line) if mark != " "})
            else:
                self._read_tasks(row, line)

    def _read_tasks(self, row: int, line: str) -> None:
        notes: list[tuple[int, str, list[str]]] = []

        def note(match: re.Match[str]) -> str:
            notes.append((match.start(), match[1], match[2].split(", ")))
            return " " * len(match[0])

        plain = NOTE.sub(note, line)
        found = [(match.start(), match[0]) for match in WORD.finditer(plain)]
        for start, name in found:
            self.tasks.append(name)
            self.at.update({(row, column): (name,) for column in range(start, start + len(name))})
        for start, lead, others in notes:
            owner = max(place for place in found if place[0] < start)[1]
            pairs = {(other, owner) if lead == "<-" else (owner, other) for other in others}
            self.edges |= pairs
            if lead != "<-":
                self.loops |= pairs

    def _close_bracket(self, rows: list[int]) -> None:
        """Let lines that meet brackets meet everything in them."""
        inside = tuple(dict.fromkeys(name for row in rows for name in self._names(row)))
        for row in rows:
            line = self.lines[row]
            self.at.update({(row, column): inside for column in range(line.index("["), line.index("]") + 1)})

    def _names(self, row: int) -> list[str]:
        return [name for column in range(len(self.lines[row])) for name in self.at.get((row, column), ())]

    def _follow_lines(self) -> None:
        seen: set[Cell] = set()
        for start in self.marks:
            if start in seen:
                continue
            above: set[str] = set()
            below: set[str] = set()
            stack = [start]
            while stack:
                cell = stack.pop()
                if cell in seen:
                    continue
                seen.add(cell)
                for down, right in REACHES[self.marks[cell]]:
                    other = cell[0] + down, cell[1] + right
                    if other in self.marks and (-down, -right) in REACHES[self.marks[other]]:
                        stack.append(other)
                    elif down:
                        (above if down < 0 else below).update(self.at.get(other, ()))
            assert above, f"a line at {start} begins nowhere"
            assert below, f"a line at {start} ends nowhere"
            self.edges |= {(one, other) for one in above for other in below}
