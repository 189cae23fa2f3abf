"""Measures what the conformance suite scores against the servers alone, through the gateway, and of the gateway as a client."""

import contextlib
import json
import shlex
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from support import comparison, matrix, processes, servers, suite, tools
from support.servers import Server
from support.suite import Scenario

RESULTS = tools.ROOT / "target/conformance"
EXPECTED = tools.ROOT / "tests/conformance/expected-failures.yaml"
CLIENT = tools.ROOT / "tests/conformance/client.py"

ERAS = ["stateful", "stateless"]
WIRES = ["HTTP", "stdio"]
#: The revisions of the clients, each with the era whose fixture is their measure.
REVISIONS = {"2025-03-26": "stateful", "2025-06-18": "stateful", "2025-11-25": "stateful", "2026-07-28": "stateless"}
#: The revisions of the suite's mock servers.
MOCKS = ["2025-11-25", "2026-07-28"]


class Measurement:
    """What was measured so far, and whether all is as it has to be. Only runs whose name contains `only` take place."""

    def __init__(self, gateway: Path, only: str) -> None:
        self.gateway = gateway
        self.only = only
        RESULTS.mkdir(parents=True, exist_ok=True)
        self.directly: dict[str, dict[str, Scenario]] = {}
        self.as_server: dict[tuple[str, str], str] = {}
        self.as_client: dict[tuple[str, str], str] = {}
        self.fine = True

    def alone(self) -> None:
        """Runs the servers alone: what the fixtures score is the measure, if it is no less than the originals score."""
        for era, server in servers.BACKENDS.items():
            with server.listening(RESULTS / f"{server.name}.log") as url:
                for revision in (revision for revision, of in REVISIONS.items() if of == era):
                    found = suite.run_server(url, revision, RESULTS / f"{server.name}-{revision}")
                    suite.record(found, RESULTS / f"{server.name}-{revision}.json")
                    self.directly[revision] = found
                    self.as_server[revision, "server alone"] = score(found)
                    self.show(f"{revision} to {server.name}", score(found), all(s.passed for s in found.values() if s.scored))
            original = servers.ORIGINALS[era]
            revision = max(revision for revision, of in REVISIONS.items() if of == era)
            with original.listening(RESULTS / f"{original.name}.log") as url:
                found = suite.run_server(url, revision, RESULTS / f"{original.name}-{revision}")
            less = comparison.losses(found, self.directly[revision])
            self.show(f"{revision} to {original.name}", score(found), not less, [f"LESS  {loss}" for loss in less])

    def through(self, era: str, wire: str) -> None:
        """Lets clients of all revisions, one after another, use one gateway in front of one backend."""
        backend, label = servers.BACKENDS[era], f"{era}, {wire}"
        names = {revision: f"{revision} to {era} over {wire}" for revision in REVISIONS}
        wanted = {revision: name for revision, name in names.items() if self.only in name}
        if not wanted:
            return
        log = RESULTS / f"gateway-{era}-{wire}"
        with contextlib.ExitStack() as stack:
            if wire == "stdio":
                settings = stdio(backend)
            else:
                settings = http(stack.enter_context(backend.listening(log.with_suffix(".server.log"))))
            url = stack.enter_context(self.standing_before(settings, log))
            if wire == "stdio":
                warm_up(url)
            for revision, name in wanted.items():
                found = suite.run_server(url, revision, RESULTS / f"through-{era}-{wire}-{revision}")
                suite.record(found, RESULTS / f"through-{era}-{wire}-{revision}.json")
                self.as_server[revision, label] = score(found)
                self.judge(name, found, self.directly[revision], comparison.expected(EXPECTED, revision, era, wire, set(found)))
        self.look_for_panics(log.with_suffix(".log"))

    def judge(self, name: str, found: dict[str, Scenario], directly: dict[str, Scenario], expected: set) -> None:
        """Shows what was lost, and whether that is fine."""
        verdict = comparison.judge(comparison.losses(directly, found), expected)
        details = [f"LOST   {loss}" for loss in verdict.unexpected]
        details += [f"STALE  {scenario}: {check} is not lost any more: take it out of the list" for scenario, check in verdict.stale]
        note = f"; {len(verdict.expected)} checks lost as expected" if verdict.expected else ""
        self.show(name, score(found) + note, verdict.fine, details)

    def towards_mocks(self, revision: str, downstream: str) -> None:
        """Lets the suite's mock servers look at the gateway, which a client of the era `downstream` uses."""
        name = f"mocks of {revision} for a {downstream} client"
        if self.only not in name:
            return
        folder = RESULTS / f"mocks-{revision}-{downstream}"
        logs = folder.with_name(folder.name + "-gateways")
        shutil.rmtree(logs, ignore_errors=True)
        logs.mkdir(parents=True)
        environment = {"GATEWAY": str(self.gateway), "LOGS": str(logs), "DOWNSTREAM_ERA": downstream}
        command = shlex.join([str(tools.python(tools.BOTH_ERAS_SDK)), str(CLIENT)])
        found = suite.run_client(command, revision, folder, environment)
        suite.record(found, folder.with_suffix(".json"))
        bad = [f"LOST   {s.name}: {check}: {s.message(check)}" for s in found.values() for check in s.count("FAILURE") + s.count("WARNING")]
        bad += [f"LOST   {s.name}: the client did not get what the mock serves: {s.folder}" for s in found.values() if not s.client_is_content]
        era = "same" if REVISIONS[revision] == downstream else "other"
        self.as_client[revision, f"client of the {era} era"] = score(found)
        self.show(name, score(found), not bad, bad)
        self.look_for_panics(*logs.glob("*.gateway.log"))

    @contextlib.contextmanager
    def standing_before(self, backend: dict, log: Path) -> Iterator[str]:
        """Runs the gateway with one backend, its names left as they are; gives its URL. (JSON is YAML.)"""
        port = processes.free_port()
        config = log.with_suffix(".yaml")
        settings = {
            "listeners": {"main": {"address": f"127.0.0.1:{port}"}},
            "routes": {"/mcp": {"backends": ["everything"]}},
            "backends": {"everything": {**backend, "prefix": ""}},
        }
        config.write_text(json.dumps(settings, indent=1) + "\n")
        command = [str(self.gateway), "run", str(config)]
        with processes.running(command, port, log.with_suffix(".log"), cwd=tools.ROOT, ready="/readyz"):
            yield f"http://127.0.0.1:{port}/mcp"

    def look_for_panics(self, *logs: Path) -> None:
        """A gateway that panics may well pass all checks."""
        for log in logs:
            panics = [line for line in log.read_text().splitlines() if "panicked at" in line]
            if panics:
                self.show(log.name, f"{len(panics)} panics", False, panics)

    def show(self, name: str, result: str, fine: bool, details: list[str] = ()) -> None:
        """Prints a line for a run, and what is wrong with it."""
        self.fine &= fine
        print(f"{name:42} {result}{'' if fine else '  FAILED'}", flush=True)
        for detail in details:
            print(f"    {detail}", flush=True)

    def tables(self) -> str:
        """What the README says."""
        columns = [f"{era}, {wire}" for wire in WIRES for era in ERAS]
        return (
            "\n"
            + matrix.table("client speaks", ["server alone", *columns], self.as_server)
            + "\n"
            + matrix.table("mock server speaks", ["client of the same era", "client of the other era"], self.as_client)
            + "\n"
        )


def http(url: str) -> dict:
    """A backend over HTTP."""
    return {"http": {"urls": [url]}}


def stdio(server: Server) -> dict:
    """A backend that the gateway starts."""
    command, *arguments = server.command()
    return {"stdio": {"command": command, "args": arguments, "env": server.environment()}}


def warm_up(url: str) -> None:
    """Calls a tool as a client that can answer elicitation and nothing else.

    A stateful backend learns that when it is started, so that such a client has a process of its own. The suite has one
    that gives its first call 600 ms, which a Python may need to start.
    """
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
    }
    call = {"name": "test_simple_text", "arguments": {}, "_meta": meta}
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "test_simple_text",
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=30) as answer:
        answer.read()


def score(found: dict[str, Scenario]) -> str:
    """Scored scenarios that passed, of how many."""
    scored = [scenario for scenario in found.values() if scenario.scored]
    return f"{sum(scenario.passed for scenario in scored)}/{len(scored)}"
