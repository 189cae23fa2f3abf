"""The table in the README with what the conformance suite scored. It is written and checked by the command that measures."""

import re
from collections.abc import Mapping

from support import tools

README = tools.ROOT / "README.md"
BLOCK = re.compile(r"(?<=<!-- conformance, written by scripts/conformance --write-readme -->\n).*?(?=<!-- end of conformance -->)", re.DOTALL)

#: What was measured: row, column, score.
Scores = Mapping[tuple[str, str], str]


def table(corner: str, columns: list[str], scores: Scores) -> str:
    """A table with the rows in the order in which they were measured."""
    rows = dict.fromkeys(row for row, column in scores if column in columns)
    lines = [f"| {corner} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += ["| " + " | ".join([row, *(scores.get((row, column), "") for column in columns)]) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def write(text: str) -> None:
    """Puts the tables into the README."""
    README.write_text(BLOCK.sub(lambda _: text, README.read_text()))


def is_current(text: str) -> bool:
    """Whether the README says what was measured."""
    found = BLOCK.search(README.read_text())
    return found is not None and found.group() == text
