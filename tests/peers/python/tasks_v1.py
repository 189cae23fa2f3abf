"""A client of the tasks of 2025-11-25 with the official Python SDK 1.x, in front of the fixtures of tests/conformance.

Where those tasks are not offered it only calls a tool that insists on being one, which the gateway then has to drive.
"""

import argparse
import json
import sys
import traceback

import anyio
from mcp import ClientSession, McpError, types
from mcp.client.streamable_http import streamable_http_client

RELATED = "io.modelcontextprotocol/related-task"


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    url = parser.parse_args().url
    asked: list[types.ElicitRequestParams] = []

    async def answer(_context, params: types.ElicitRequestParams) -> types.ElicitResult:
        asked.append(params)
        content = {key: True if key == "confirm" else "Anna" for key in params.requestedSchema["properties"]}
        return types.ElicitResult(action="accept", content=content)

    fine = True
    async with streamable_http_client(url) as (reads, writes, _), ClientSession(reads, writes, elicitation_callback=answer) as session:
        offered = (await session.initialize()).capabilities.tasks
        everything = (is_offered, is_made_followed_and_fetched, asks, fails, is_listed_and_cancelled, is_driven, is_unknown)
        for step in everything if offered else (is_driven_after_a_question,):
            line = {"client": "python tasks v1", "step": step.__name__.replace("_", " "), "ok": True}
            try:
                with anyio.fail_after(30):
                    await step(session, asked)
            except Exception:
                line |= {"ok": False, "error": traceback.format_exc()}
                fine = False
            print(json.dumps(line), flush=True)
    return 0 if fine else 1


async def made(session: ClientSession, tool: str, **arguments) -> str:
    """Calls a tool as a task."""
    created = await session.experimental.call_tool_as_task(tool, arguments, ttl=60_000)
    return created.task.taskId


async def result_of(session: ClientSession, task: str) -> types.CallToolResult:
    return await session.experimental.get_task_result(task, types.CallToolResult)


async def is_offered(session: ClientSession, _asked) -> None:
    assert session.get_server_capabilities().tasks.requests.tools.call is not None
    support = {tool.name: tool.execution and tool.execution.taskSupport for tool in (await session.list_tools()).tools}
    assert support["slow_compute"] == "optional", support
    assert support["confirm_delete"] == "required", support


async def is_made_followed_and_fetched(session: ClientSession, _asked) -> None:
    task = await made(session, "slow_compute", seconds=1, label="x")
    states = [state.status async for state in session.experimental.poll_task(task)]
    assert states[-1] == "completed", states
    result = await result_of(session, task)
    assert "x" in result.content[0].text
    assert result.meta[RELATED]["taskId"] == task, result.meta


async def asks(session: ClientSession, asked: list) -> None:
    task = await made(session, "confirm_delete", filename="a.txt")
    async for state in session.experimental.poll_task(task):
        if state.status == "input_required":
            break
    result = await result_of(session, task)
    assert "accept" in result.content[0].text, result
    assert "a.txt" in asked[-1].message
    assert asked[-1].meta.model_dump()[RELATED]["taskId"] == task, asked[-1].meta


async def fails(session: ClientSession, _asked) -> None:
    task = await made(session, "failing_job")
    states = [state.status async for state in session.experimental.poll_task(task)]
    result = await result_of(session, task)
    assert result.isError, (states, result)


async def is_listed_and_cancelled(session: ClientSession, _asked) -> None:
    task = await made(session, "slow_compute", seconds=60)
    listed = [known.taskId for known in (await session.experimental.list_tasks()).tasks]
    assert task in listed, listed
    assert (await session.experimental.cancel_task(task)).status == "cancelled"
    assert (await session.experimental.get_task(task)).status == "cancelled"


async def is_driven(session: ClientSession, asked: list) -> None:
    """Without asking for a task, a tool that needs one is driven by the gateway."""
    await drive(session, asked, "confirm_delete", {"filename": "b.txt"}, "b.txt")


async def is_driven_after_a_question(session: ClientSession, asked: list) -> None:
    """The same where the server asks before it makes the task."""
    await drive(session, asked, "test_tool_with_task", {}, "Anna")


async def drive(session: ClientSession, asked: list, tool: str, arguments: dict, expected: str) -> None:
    before = len(asked)
    # Sent by hand: the SDK would check the result against a schema that only another kind of call meets.
    params = types.CallToolRequestParams(name=tool, arguments=arguments)
    request = types.ClientRequest(types.CallToolRequest(params=params))
    result = await session.send_request(request, types.CallToolResult)
    assert not result.isError, result
    assert expected in result.content[0].text, result
    assert len(asked) == before + 1


async def is_unknown(session: ClientSession, _asked) -> None:
    try:
        await session.experimental.get_task("unknown")
    except McpError as error:
        assert error.error.code == types.INVALID_PARAMS, error.error
    else:
        raise AssertionError("an unknown task was found")


if __name__ == "__main__":
    sys.exit(anyio.run(main))
