"""Starts servers for the time of a test, waits until they listen, and takes them down again."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path


class DidNotStart(Exception):
    """A server ended, or did not listen in time."""


def free_port() -> int:
    """A port nobody listens on now. Somebody may take it before it is used; the caller then sees DidNotStart."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(
    command: list[str], port: int, log: Path, cwd: Path, ready: str | None = None, environment: dict[str, str] | None = None
) -> Iterator[None]:
    """Runs a server in its own process group until the block ends.

    It counts as started when it accepts a connection, or, with `ready`, when this path answers 200.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=os.environ | (environment or {}),
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            process_group=0,
        )
    try:
        wait_until(lambda: process.poll() is not None or listens(port, ready))
        if process.poll() is not None:
            raise DidNotStart(f"`{command[0]}` ended with {process.returncode}:\n{log.read_text()}")
        if not listens(port, ready):
            raise DidNotStart(f"`{command[0]}` does not answer on port {port}:\n{log.read_text()}")
        yield
    finally:
        end(process)


def listens(port: int, ready: str | None) -> bool:
    """Whether somebody accepts connections there, and answers 200 on the path if one is named."""
    try:
        if ready is None:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=1) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


def wait_until(happened, seconds: float = 30) -> None:
    """Asks again and again until it happened or the time is over."""
    end_of_patience = time.monotonic() + seconds
    while not happened() and time.monotonic() < end_of_patience:
        time.sleep(0.05)


def end(process: subprocess.Popen) -> None:
    """Ends a process politely, then with its whole group."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
