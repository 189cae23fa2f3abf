"""Lets a client use one of the suite's mock servers through the gateway, which is the client that the suite looks at.

The suite starts this with the mock's URL and names the scenario in the environment. A gateway is started in front of
the mock; then the official Python SDK's client uses it, in the era that $DOWNSTREAM_ERA names: what it is given has to be what
the mock serves. $GATEWAY is the gateway's binary, $LOGS a folder for what it says. The last line of a run that went well is `ok`.
"""

import json
import os
import sys
from pathlib import Path

scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
if scenario.startswith("auth/"):
    sys.exit()  # We show no credentials of ours in this way; and there are many, so do not load the SDK for each.

import warnings  # noqa: E402

import anyio  # noqa: E402
from mcp import Client  # noqa: E402
from mcp.types import CreateMessageResult, ElicitResult, ListRootsResult, TextContent  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from support import processes  # noqa: E402

MODES = {"stateful": "legacy", "stateless": "2026-07-28"}


async def initialize(client: Client) -> None:
    await client.list_tools()


async def tools_call(client: Client) -> None:
    await client.list_tools()
    expect("The sum of 5 and 3 is 8", text(await client.call_tool("add_numbers", {"a": 5, "b": 3})))


async def elicitation_defaults(client: Client) -> None:
    """The mock looks at the answer that `accept_with_defaults` gives."""
    expect("Elicitation completed", text(await client.call_tool("test_client_elicitation_defaults", {})))


async def sse_retry(client: Client) -> None:
    """The mock hangs up and has the result ready for whoever resumes."""
    expect("Reconnection test completed", text(await client.call_tool("test_reconnection", {})))


async def request_state(client: Client) -> None:
    await client.list_tools()
    expect("echo-state-ok", text(await client.call_tool("test_mrtr_echo_state", {})))
    expect("unrelated-ok", text(await client.call_tool("test_mrtr_unrelated", {})))
    expect("no-state-ok", text(await client.call_tool("test_mrtr_no_state", {})))
    expect("no-result-type-test-ok", text(await client.call_tool("test_mrtr_no_result_type", {})))


async def standard_headers(client: Client) -> None:
    for tool in (await client.list_tools()).tools:
        await client.call_tool(tool.name, {})
    for resource in (await client.list_resources()).resources:
        await client.read_resource(resource.uri)
    for prompt in (await client.list_prompts()).prompts:
        await client.get_prompt(prompt.name)


async def custom_headers(client: Client) -> None:
    """The suite says which calls it wants to see."""
    await client.list_tools()
    for call in json.loads(os.environ["MCP_CONFORMANCE_CONTEXT"])["toolCalls"]:
        await client.call_tool(call["name"], call["arguments"])


async def invalid_tool_headers(client: Client) -> None:
    """Only one tool may be there; the others declare headers that nobody can send."""
    tools = [tool.name for tool in (await client.list_tools()).tools]
    expect("['valid_tool']", str(tools))
    await client.call_tool("valid_tool", {"region": "here"})


async def schema_preservation(client: Client) -> None:
    """The mock compares the schema that it gets back with the one it gave."""
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    schema = tools["json_schema_2020_12_tool"].input_schema
    expect("echoed", text(await client.call_tool("json_schema_echo", {"schema": schema})))


USES = {
    "initialize": initialize,
    "request-metadata": initialize,
    "json-schema-ref-no-deref": initialize,
    "tools_call": tools_call,
    "elicitation-sep1034-client-defaults": elicitation_defaults,
    "sse-retry": sse_retry,
    "sep-2322-client-request-state": request_state,
    "http-standard-headers": standard_headers,
    "http-custom-headers": custom_headers,
    "http-invalid-tool-headers": invalid_tool_headers,
    "json-schema-2020-12-preservation": schema_preservation,
}


def text(result) -> str:
    return "".join(part.text for part in result.content if isinstance(part, TextContent))


def expect(wanted: str, got: str) -> None:
    if wanted not in got:
        raise AssertionError(f"expected {wanted!r}, got {got!r}")


async def accept_with_defaults(_context, params) -> ElicitResult:
    """Agrees to everything: the default where the schema has one (SEP-1034), and else yes."""
    properties = params.requested_schema["properties"]
    return ElicitResult(action="accept", content={name: schema.get("default", True) for name, schema in properties.items()})


async def say_something(_context, _params) -> CreateMessageResult:
    return CreateMessageResult(role="assistant", model="none", content=TextContent(type="text", text="something"))


async def no_roots(_context) -> ListRootsResult:
    return ListRootsResult(roots=[])


async def use_gateway(url: str) -> None:
    client = Client(
        url,
        mode=MODES[os.environ["DOWNSTREAM_ERA"]],
        elicitation_callback=accept_with_defaults,
        sampling_callback=say_something,
        list_roots_callback=no_roots,
    )
    async with client:
        with anyio.fail_after(20):
            await USES[scenario](client)


def main() -> None:
    mock, port, logs = sys.argv[1], processes.free_port(), Path(os.environ["LOGS"])
    config = logs / f"{scenario}.yaml"
    config.write_text(json.dumps(configuration(mock, port), indent=1) + "\n")
    gateway = [os.environ["GATEWAY"], "run", str(config)]
    with processes.running(gateway, port, logs / f"{scenario}.gateway.log", cwd=ROOT, ready="/readyz"):
        anyio.run(use_gateway, f"http://127.0.0.1:{port}/mcp")
    print("ok")


def configuration(mock: str, port: int) -> dict:
    """A gateway in front of the mock. It has to find out the mock's era. (JSON is YAML.)"""
    return {
        "listeners": {"main": {"address": f"127.0.0.1:{port}"}},
        "routes": {"/mcp": {"backends": ["mock"]}},
        "backends": {"mock": {"http": {"urls": [mock]}, "prefix": ""}},
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # What the revisions deprecate is still there, and used on purpose.
    main()
