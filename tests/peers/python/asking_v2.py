"""A server with the official Python SDK 2.x that asks its client by results, as revision 2026-07-28 has it.

Over stdio. Its tools are those of asking_v1.py.
"""

import json

from mcp.server.mcpserver import Context, MCPServer
from mcp.types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)

mcp = MCPServer("asking-python-v2")


@mcp.tool()
async def ask_form(ctx: Context) -> str | InputRequiredResult:
    """Asks the user for a name."""
    return said(ctx, "form") or ask(form=form("name", "What is your name?"))


@mcp.tool()
async def ask_secret(ctx: Context) -> str | InputRequiredResult:
    """Asks the user for something that nobody tells."""
    return said(ctx, "form") or ask(form=form("name", "What is your secret?"))


@mcp.tool()
async def ask_url(ctx: Context) -> str | InputRequiredResult:
    """Sends the user to a page."""
    page = ElicitRequestURLParams(message="Please pay.", url="https://pay.example/1")
    return said(ctx, "page") or ask(page=ElicitRequest(params=page))


@mcp.tool()
async def ask_model(ctx: Context) -> str | InputRequiredResult:
    """Asks the client's model."""
    return said(ctx, "model") or ask(model=model())


@mcp.tool()
async def ask_roots(ctx: Context) -> str | InputRequiredResult:
    """Asks for the client's roots."""
    return said(ctx, "roots") or ask(roots=ListRootsRequest())


@mcp.tool()
async def ask_all(ctx: Context) -> str | InputRequiredResult:
    """Asks three questions at once."""
    if ctx.input_responses:
        return ", ".join(said(ctx, key) or "nothing" for key in ("form", "model", "roots"))
    return ask(form=form("name", "What is your name?"), model=model(), roots=ListRootsRequest())


@mcp.tool()
async def ask_twice(ctx: Context) -> str | InputRequiredResult:
    """Asks a second question after the first was answered."""
    if not ctx.request_state:
        return ask("{}", form=form("name", "What is your name?"))
    known = json.loads(ctx.request_state)
    if "name" not in known:
        name = said(ctx, "form")
        return ask(json.dumps({"name": name}), form=form("color", f"What is your color, {name}?"))
    return f"{known['name']} likes {said(ctx, 'form')}"


def ask(state: str | None = None, **requests) -> InputRequiredResult:
    return InputRequiredResult(input_requests=requests, request_state=state)


def form(key: str, message: str) -> ElicitRequest:
    schema = {"type": "object", "properties": {key: {"type": "string"}}, "required": [key]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def model() -> CreateMessageRequest:
    asked = SamplingMessage(role="user", content=TextContent(type="text", text="Say hello."))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[asked], max_tokens=10))


def said(ctx: Context, key: str) -> str | None:
    """What was answered, in a word."""
    answer = (ctx.input_responses or {}).get(key)
    if answer is None:
        return None
    answer = answer.model_dump(by_alias=True, mode="json", exclude_none=True)
    if "roots" in answer:
        return answer["roots"][0]["uri"]
    if "model" in answer:
        return answer["content"]["text"]
    return next(iter(answer.get("content", {}).values()), answer["action"])


mcp.run("stdio")
