"""Runs the official conformance suite against a URL and reads what it wrote.

The suite writes one folder per scenario with a `checks.json`: a list of checks with an id (which may occur several
times), a status (SUCCESS, FAILURE, WARNING, SKIPPED, INFO) and a message.
"""

import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from support import tools


@dataclass(frozen=True)
class Scenario:
    """What one scenario found."""

    name: str
    scored: bool
    checks: tuple[dict, ...]

    def count(self, status: str) -> Counter:
        """How often each check id has this status."""
        return Counter(check["id"] for check in self.checks if check["status"] == status)

    @property
    def passed(self) -> bool:
        """The suite's own verdict: nothing failed. (It does not ask whether anything succeeded.)"""
        return not self.count("FAILURE")

    def message(self, check_id: str) -> str:
        """What the suite says about a check that is not fine."""
        messages = [c.get("errorMessage") or c.get("description", "") for c in self.checks if c["id"] == check_id and c["status"] != "SUCCESS"]
        return messages[0] if messages else "the scenario ended before this check"


def run(url: str, revision: str, folder: Path, scenario: str | None = None) -> dict[str, Scenario]:
    """Runs everything a revision requires (or one scenario at that revision) and returns it by scenario name."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    which = ["--requirements", revision] if scenario is None else ["--scenario", scenario, "--spec-version", revision]
    command = [*tools.conformance(), "server", "--url", url, *which, "--output-dir", str(folder)]
    with open(folder / "suite.log", "w") as log:
        # Its exit code says that something failed; we look at what.
        subprocess.run(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, check=False)
    scored = set(yaml(requirements(revision))["server"])
    found = {}
    for checks in sorted(folder.glob("server-*/checks.json")):
        name = re.sub(r"^server-(.*)-\d{4}-\d\d-\d\dT[\d-]+Z$", r"\1", checks.parent.name)
        found[name] = Scenario(name, name in scored, tuple(json.loads(checks.read_text())))
    missing = scored - set(found) if scenario is None else {scenario} - set(found)
    if missing:
        raise RuntimeError(f"the suite did not run {sorted(missing)}; see {folder / 'suite.log'}")
    return found


def record(scenarios: dict[str, Scenario], path: Path) -> None:
    """Writes pass or fail and the check counts of each scenario as JSON."""
    statuses = ("SUCCESS", "FAILURE", "WARNING", "SKIPPED", "INFO")
    entries = {
        name: {
            "passed": scenario.passed,
            "scored": scenario.scored,
            **{status.lower(): sum(scenario.count(status).values()) for status in statuses},
        }
        for name, scenario in sorted(scenarios.items())
    }
    path.write_text(json.dumps(entries, indent=1) + "\n")


def requirements(revision: str) -> Path:
    """The suite's own list of what a revision requires."""
    return tools.NODE_PACKAGES / f"node_modules/@modelcontextprotocol/conformance/requirements/{revision}.yaml"


def yaml(path: Path):
    """Reads a YAML file with the suite's own parser (Python has none)."""
    program = "console.log(JSON.stringify(require('yaml').parse(require('fs').readFileSync(process.argv[1], 'utf8'))))"
    read = subprocess.run([str(tools.node()), "-e", program, str(path)], cwd=tools.NODE_PACKAGES, check=True, stdout=subprocess.PIPE)
    return json.loads(read.stdout)
