"""Runs the official conformance suite, against a server or against a client, and reads what it wrote.

The suite writes one folder per scenario with a `checks.json`: a list of checks with an id (which may occur several
times), a status (SUCCESS, FAILURE, WARNING, SKIPPED, INFO) and a message.
"""

import functools
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from support import tools

#: Revisions for which the suite says what is required; of older ones all that it has is.
LISTED = ("2025-11-25", "2026-07-28")
PATCH = Path(__file__).parent / "older-client.mjs"


@dataclass(frozen=True)
class Scenario:
    """What one scenario found."""

    name: str
    scored: bool
    checks: tuple[dict, ...]
    folder: Path | None = None

    def count(self, status: str) -> Counter:
        """How often each check id has this status."""
        return Counter(check["id"] for check in self.checks if check["status"] == status)

    @property
    def passed(self) -> bool:
        """The suite's own verdict: nothing failed. (It does not ask whether anything succeeded.)"""
        return not self.count("FAILURE")

    @property
    def client_is_content(self) -> bool:
        """Whether the client that the suite started said so with its last word."""
        return self.folder is not None and (self.folder / "stdout.txt").read_text().endswith("ok\n")

    def message(self, check_id: str) -> str:
        """What the suite says about a check that is not fine."""
        messages = [c.get("errorMessage") or c.get("description", "") for c in self.checks if c["id"] == check_id and c["status"] != "SUCCESS"]
        return messages[0] if messages else "the scenario ended before this check"


def run_server(url: str, revision: str, folder: Path) -> dict[str, Scenario]:
    """What a client of this revision finds at a URL: everything the suite has for the revision, by scenario name."""
    if revision in LISTED:
        command = [*tools.conformance(), "server", "--requirements", revision]
    else:
        node, program = tools.conformance()
        command = [node, "--import", str(PATCH), program, "server", "--suite", "all", "--spec-version", revision]
    return run([*command, "--url", url], "server", revision, folder, {"CLIENT_REVISION": revision})


def run_client(command: str, revision: str, folder: Path, environment: dict[str, str]) -> dict[str, Scenario]:
    """What the suite's mock servers of this revision find of a client; it is started with the URL of a mock."""
    suite = [*tools.conformance(), "client", "--requirements", revision, "--timeout", "60000"]
    return run([*suite, "--command", command], "client", revision, folder, environment)


def run(command: list[str], role: str, revision: str, folder: Path, environment: dict[str, str]) -> dict[str, Scenario]:
    """Runs the suite and reads what it found."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with open(folder / "suite.log", "w") as log:
        # Its exit code says that something failed; we look at what.
        subprocess.run(
            [*command, "--output-dir", str(folder)],
            cwd=folder,
            env=os.environ | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=300,
            check=False,
        )
    scored = required(revision, role) if revision in LISTED else None
    found = {}
    for checks in sorted(folder.glob("*/checks.json")):
        name = re.sub(r"-\d{4}-\d\d-\d\dT[\d-]+Z$", "", checks.parent.name.removeprefix("server-"))
        found[name] = Scenario(name, scored is None or name in scored, tuple(json.loads(checks.read_text())), checks.parent)
    missing = (scored or frozenset()) - set(found)
    if missing or not found:
        raise RuntimeError(f"the suite did not run {sorted(missing) or 'anything'}; see {folder / 'suite.log'}")
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


@functools.cache
def required(revision: str, role: str) -> frozenset[str]:
    """The scenarios that the suite says a revision requires of a server or client, but for the client's OAuth."""
    path = tools.NODE_PACKAGES / f"node_modules/@modelcontextprotocol/conformance/requirements/{revision}.yaml"
    return frozenset(name for name in yaml(path)[role] if not name.startswith("auth/"))


def yaml(path: Path):
    """Reads a YAML file with the suite's own parser (Python has none)."""
    program = "console.log(JSON.stringify(require('yaml').parse(require('fs').readFileSync(process.argv[1], 'utf8'))))"
    read = subprocess.run([str(tools.node()), "-e", program, str(path)], cwd=tools.NODE_PACKAGES, check=True, stdout=subprocess.PIPE)
    return json.loads(read.stdout)
