"""A server with the official Python SDK 1.x that asks its client in the middle of a call.

    python asking_v1.py --port 3001      over Streamable HTTP
    python asking_v1.py                  over stdio

Four servers, two here and two in ../typescript, have the same tools and say the same when they are answered in the same way.
"""

import argparse

import anyio
from mcp.server.fastmcp import Context, FastMCP
from mcp.types import SamplingMessage, TextContent
from pydantic import BaseModel

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
port = parser.parse_args().port
mcp = FastMCP("asking-python-v1", port=port or 0)


class Name(BaseModel):
    name: str


class Color(BaseModel):
    color: str


@mcp.tool()
async def ask_form(ctx: Context) -> str:
    """Asks the user for a name."""
    answer = await ctx.elicit("What is your name?", Name)
    return answer.data.name if answer.action == "accept" else answer.action


@mcp.tool()
async def ask_secret(ctx: Context) -> str:
    """Asks the user for something that nobody tells."""
    answer = await ctx.elicit("What is your secret?", Name)
    return answer.action


@mcp.tool()
async def ask_url(ctx: Context) -> str:
    """Sends the user to a page."""
    answer = await ctx.elicit_url("Please pay.", "https://pay.example/1", "own-id")
    return answer.action


@mcp.tool()
async def ask_model(ctx: Context) -> str:
    """Asks the client's model."""
    return await sample(ctx)


@mcp.tool()
async def ask_roots(ctx: Context) -> str:
    """Asks for the client's roots, on the session's own stream."""
    return await roots(ctx)


@mcp.tool()
async def ask_all(ctx: Context) -> str:
    """Asks three questions at once."""
    answers = {}

    async def keep(key: str, ask) -> None:
        answers[key] = await ask(ctx)

    async with anyio.create_task_group() as questions:
        questions.start_soon(keep, "form", ask_form)
        questions.start_soon(keep, "model", sample)
        questions.start_soon(keep, "roots", roots)
    return ", ".join(answers[key] for key in ("form", "model", "roots"))


@mcp.tool()
async def ask_twice(ctx: Context) -> str:
    """Asks a second question after the first was answered."""
    name = await ask_form(ctx)
    answer = await ctx.elicit(f"What is your color, {name}?", Color)
    return f"{name} likes {answer.data.color}"


async def sample(ctx: Context) -> str:
    asked = SamplingMessage(role="user", content=TextContent(type="text", text="Say hello."))
    answer = await ctx.session.create_message(messages=[asked], max_tokens=10, related_request_id=ctx.request_id)
    return answer.content.text


async def roots(ctx: Context) -> str:
    found = await ctx.session.list_roots()
    return str(found.roots[0].uri)


mcp.run("stdio" if port is None else "streamable-http")
