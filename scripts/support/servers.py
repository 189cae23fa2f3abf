"""The servers that the conformance suite meets: the everything servers of two SDKs, and our own fixtures made of them."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support import processes, tools

FIXTURES = tools.ROOT / "tests/conformance/fixtures"


@dataclass(frozen=True)
class Server:
    """A program that is an MCP server over Streamable HTTP with `--port`, and over stdio without."""

    name: str
    era: str
    sdk: str
    program: tuple[str, ...]

    def command(self, port: int | None = None) -> list[str]:
        """How it is started."""
        return [str(tools.python(self.sdk)), *self.program, *([] if port is None else ["--port", str(port)])]

    def environment(self) -> dict[str, str]:
        """What it needs to find the everything server of its SDK."""
        return {"PYTHONPATH": str(tools.everything_server(self.sdk)), "PYTHONDONTWRITEBYTECODE": "1"}

    @contextlib.contextmanager
    def listening(self, log: Path) -> Iterator[str]:
        """Runs it over HTTP; gives its URL."""
        port = processes.free_port()
        with processes.running(self.command(port), port, log, cwd=tools.ROOT, environment=self.environment()):
            yield f"http://127.0.0.1:{port}/mcp"


def everything(era: str, sdk: str) -> Server:
    """The everything server as its SDK has it."""
    return Server(f"everything-{sdk}", era, sdk, ("-m", "mcp_everything_server"))


def fixture(era: str, sdk: str) -> Server:
    """The same with what the suite's scenarios for the other era need, and without any revision of that era."""
    return Server(f"fixture-{era}", era, sdk, (str(FIXTURES / f"{era}.py"),))


ORIGINALS = {
    "stateful": everything("stateful", tools.STATEFUL_SDK),
    "stateless": everything("stateless", tools.BOTH_ERAS_SDK),
}
BACKENDS = {
    "stateful": fixture("stateful", tools.STATEFUL_SDK),
    "stateless": fixture("stateless", tools.BOTH_ERAS_SDK),
}
