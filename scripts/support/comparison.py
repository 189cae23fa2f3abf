"""Compares what a server scores through the gateway with what it scores directly.

A check is lost when it succeeds less often through the gateway. A scenario that the server itself does not pass is no
measure: there the suite asks for tools that it does not have, and some checks succeed because of that. Losses that are known stand in
`tests/conformance/expected-failures.yaml`; everything else that is lost is a fault, and so is an entry there that no
longer loses anything.
"""

from dataclasses import dataclass
from pathlib import Path

from support import suite
from support.suite import Scenario


@dataclass(frozen=True)
class Loss:
    """A check that succeeds less often through the gateway."""

    scenario: str
    check: str
    directly: int
    through: int
    message: str

    def __str__(self) -> str:
        return f"{self.scenario}: {self.check} ({self.through} of {self.directly}): {self.message.splitlines()[0]}"


@dataclass(frozen=True)
class Verdict:
    """What the comparison found."""

    expected: list[Loss]
    unexpected: list[Loss]
    stale: list[tuple[str, str]]

    @property
    def fine(self) -> bool:
        """Nothing was lost that is not expected to be, and everything expected is really lost."""
        return not self.unexpected and not self.stale


def losses(directly: dict[str, Scenario], through: dict[str, Scenario]) -> list[Loss]:
    """Everything that is lost, in the order in which the suite checks."""
    lost = []
    for name, direct in directly.items():
        if not direct.passed:
            continue
        gateway = through.get(name, Scenario(name, direct.scored, ()))
        reached = gateway.count("SUCCESS")
        less = [
            Loss(name, check, wanted, reached[check], gateway.message(check))
            for check, wanted in direct.count("SUCCESS").items()
            if reached[check] < wanted
        ]
        # A failure under an id that the direct run does not know: a broken setup, or one id for all that was not reached.
        unknown = gateway.count("FAILURE").keys() - {check["id"] for check in direct.checks}
        lost += less or [Loss(name, check, 0, 0, gateway.message(check)) for check in sorted(unknown)]
    return lost


def judge(lost: list[Loss], expected: set[tuple[str, str]]) -> Verdict:
    """Holds what is lost against what is expected to be."""
    keys = {(loss.scenario, check) for loss in lost for check in (loss.check, ANY)}
    known = [(loss.scenario, loss.check) in expected or (loss.scenario, ANY) in expected for loss in lost]
    return Verdict(
        expected=[loss for loss, is_known in zip(lost, known) if is_known],
        unexpected=[loss for loss, is_known in zip(lost, known) if not is_known],
        stale=sorted(expected - keys),
    )


def expected(path: Path, revision: str, era: str, wire: str, scenarios: set[str]) -> set[tuple[str, str]]:
    """The (scenario, check) pairs that the file expects to be lost at this revision, era and wire of the backend."""
    pairs = set()
    for entry in suite.yaml(path):
        applies = revision in entry["revisions"] and era in entry.get("eras", [era]) and wire in entry.get("wires", [wire])
        if applies and entry["scenario"] in scenarios:
            pairs |= {(entry["scenario"], check) for check in entry.get("checks", [ANY])}
    return pairs


#: Stands for every check of a scenario.
ANY = "any check"
