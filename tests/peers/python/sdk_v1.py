"""A client with the official Python SDK 1.x, which speaks the stateful revisions (up to 2025-11-25)."""

import contextlib

import anyio
from mcp import ClientSession, McpError, StdioServerParameters, stdio_client, types
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from questions import elicited, rooted, sampled
from steps import Heard, command_line, finish, run


class Client:
    stateful = True
    Error = McpError

    def __init__(self, name: str, session: ClientSession, heard: Heard, opened: types.InitializeResult) -> None:
        self.name, self.session, self.heard, self.opened = name, session, heard, opened

    async def facts(self):
        return {"server": self.opened.serverInfo.name, "revision": self.opened.protocolVersion, "capabilities": plain(self.opened.capabilities)}

    async def ping(self):
        await self.session.send_ping()

    async def list_tools(self):
        return await every(self.session.list_tools, "tools")

    async def list_resources(self):
        return await every(self.session.list_resources, "resources")

    async def list_templates(self):
        return await every(self.session.list_resource_templates, "resourceTemplates")

    async def list_prompts(self):
        return await every(self.session.list_prompts, "prompts")

    async def call_tool(self, name, arguments, on_progress=None):
        async def progress(now, total, message):
            on_progress(now, total, message)

        return plain(await self.session.call_tool(name, arguments, progress_callback=on_progress and progress))

    async def cancelled_call(self, name, arguments):
        """Calls a tool and cancels at the first progress. This SDK leaves the notification to us."""
        request_id = self.session._request_id  # The id of the next request.

        async def cancel(*_progress):
            cancelled = types.CancelledNotification(params=types.CancelledNotificationParams(requestId=request_id))
            await self.session.send_notification(types.ClientNotification(cancelled))
            scope.cancel()

        with anyio.CancelScope() as scope:
            await self.session.call_tool(name, arguments, progress_callback=cancel)

    async def read_resource(self, uri):
        return plain(await self.session.read_resource(uri))

    async def get_prompt(self, name, arguments):
        return plain(await self.session.get_prompt(name, arguments))

    async def complete(self, ref, argument):
        kind = types.PromptReference if ref["type"] == "ref/prompt" else types.ResourceTemplateReference
        return plain(await self.session.complete(kind(**ref), argument))

    async def set_log_level(self, level):
        await self.session.set_logging_level(level)

    @contextlib.asynccontextmanager
    async def watch(self, tools=False, resources=False, uris=()):
        # Lists are watched from the start; only single resources have to be asked for.
        for uri in uris:
            await self.session.subscribe_resource(uri)
        yield
        for uri in uris:
            await self.session.unsubscribe_resource(uri)


def plain(model) -> dict:
    return model.model_dump(by_alias=True, mode="json", exclude_none=True)


async def every(fetch, key: str) -> list[dict]:
    items, cursor = [], None
    while True:
        page = plain(await fetch(params=types.PaginatedRequestParams(cursor=cursor)))
        items += page[key]
        cursor = page.get("nextCursor")
        if cursor is None:
            return items


async def main() -> None:
    options = command_line()
    heard = Heard()

    async def hear(message) -> None:
        if isinstance(message, types.ServerNotification):
            notification = plain(message)
            heard.add(notification["method"], notification.get("params", {}))

    async def elicit(_, params):
        return types.ElicitResult(**elicited(heard, plain(params)))

    async def sample(_, params):
        return types.CreateMessageResult(**sampled(heard, plain(params)))

    async def roots(_):
        return types.ListRootsResult(**rooted(heard))

    asked = {"elicitation_callback": elicit, "sampling_callback": sample, "list_roots_callback": roots}
    if options.url:
        opening = streamable_http_client(options.url)
    elif options.sse:
        opening = sse_client(options.sse)
    else:
        opening = stdio_client(StdioServerParameters(command=options.stdio[0], args=options.stdio[1:]))
    async with opening as (read, write, *_), ClientSession(read, write, message_handler=hear, **asked) as session:
        opened = await session.initialize()
        fine = await run(Client(f"python v1 {options.transport}", session, heard, opened), options.expect)
    finish(fine)


anyio.run(main)
