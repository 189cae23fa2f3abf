"""A client with the official Python SDK 2.x, which speaks revision 2026-07-28 and, when told to, the stateful ones."""

import contextlib
import warnings

import anyio
from mcp import Client, MCPError, StdioServerParameters, stdio_client, types
from mcp.client.sse import sse_client
from mcp.client.subscriptions import PromptsListChanged, ResourcesListChanged, ResourceUpdated, ToolsListChanged

from questions import elicited, rooted, sampled
from steps import Heard, command_line, finish, run


class Peer:
    Error = MCPError

    def __init__(self, name: str, client: Client, heard: Heard) -> None:
        self.name, self.client, self.heard = name, client, heard
        self.stateful = client.protocol_version < "2026-07-28"
        self.log_level = None

    async def facts(self):
        info = self.client.server_info
        return {"server": info and info.name, "revision": self.client.protocol_version, "capabilities": plain(self.client.server_capabilities)}

    async def ping(self):
        await self.client.send_ping()

    async def list_tools(self):
        return await every(self.client.list_tools, "tools")

    async def list_resources(self):
        return await every(self.client.list_resources, "resources")

    async def list_templates(self):
        return await every(self.client.list_resource_templates, "resourceTemplates")

    async def list_prompts(self):
        return await every(self.client.list_prompts, "prompts")

    async def call_tool(self, name, arguments, on_progress=None):
        async def progress(now, total, message):
            on_progress(now, total, message)

        # Since 2026-07-28 each call says what it wants to hear.
        meta = {"io.modelcontextprotocol/logLevel": self.log_level} if self.log_level and not self.stateful else None
        return plain(await self.client.call_tool(name, arguments, progress_callback=on_progress and progress, meta=meta))

    async def cancelled_call(self, name, arguments):
        """Calls a tool and cancels at the first progress."""

        async def cancel(*_progress):
            scope.cancel()

        with anyio.CancelScope() as scope:
            await self.client.call_tool(name, arguments, progress_callback=cancel)

    async def read_resource(self, uri):
        return plain(await self.client.read_resource(uri, cache_mode="refresh"))

    async def get_prompt(self, name, arguments):
        return plain(await self.client.get_prompt(name, arguments))

    async def complete(self, ref, argument):
        kind = types.PromptReference if ref["type"] == "ref/prompt" else types.ResourceTemplateReference
        return plain(await self.client.complete(kind(**ref), argument))

    async def set_log_level(self, level):
        self.log_level = level
        if self.stateful:
            await self.client.set_logging_level(level)

    @contextlib.asynccontextmanager
    async def watch(self, tools=False, resources=False, uris=()):
        if self.stateful:
            for uri in uris:
                await self.client.subscribe_resource(uri)
            yield
            for uri in uris:
                await self.client.unsubscribe_resource(uri)
            return
        listening = self.client.listen(tools_list_changed=tools, resources_list_changed=resources, resource_subscriptions=uris)
        async with listening as subscription, anyio.create_task_group() as tasks:
            tasks.start_soon(self.hear, subscription)
            yield
            tasks.cancel_scope.cancel()

    async def hear(self, subscription) -> None:
        async for event in subscription:
            match event:
                case ToolsListChanged():
                    self.heard.add("notifications/tools/list_changed", {})
                case PromptsListChanged():
                    self.heard.add("notifications/prompts/list_changed", {})
                case ResourcesListChanged():
                    self.heard.add("notifications/resources/list_changed", {})
                case ResourceUpdated(uri=uri):
                    self.heard.add("notifications/resources/updated", {"uri": str(uri)})


def plain(model) -> dict:
    return model.model_dump(by_alias=True, mode="json", exclude_none=True)


async def every(fetch, key: str) -> list[dict]:
    # Nothing may come from the SDK's cache: we ask what the server says now.
    items, cursor = [], None
    while True:
        page = plain(await fetch(cursor=cursor, cache_mode="refresh"))
        items += page[key]
        cursor = page.get("nextCursor")
        if cursor is None:
            return items


async def main() -> None:
    options = command_line()
    heard = Heard()

    async def hear(message) -> None:
        if not isinstance(message, Exception):
            notification = plain(message)
            heard.add(notification["method"], notification.get("params", {}))

    async def hear_log(params) -> None:
        heard.add("notifications/message", plain(params))

    async def elicit(_, params):
        return types.ElicitResult(**elicited(heard, plain(params)))

    async def sample(_, params):
        return types.CreateMessageResult(**sampled(heard, plain(params)))

    async def roots(_):
        return types.ListRootsResult(**rooted(heard))

    asked = {"elicitation_callback": elicit, "sampling_callback": sample, "list_roots_callback": roots}
    if options.url:
        server = options.url
    elif options.sse:
        server = sse_client(options.sse)
    else:
        server = stdio_client(StdioServerParameters(command=options.stdio[0], args=options.stdio[1:]))
    mode = {"auto": "auto", "stateful": "legacy", "stateless": "2026-07-28"}[options.era]
    async with Client(server, mode=mode, message_handler=hear, logging_callback=hear_log, **asked) as client:
        fine = await run(Peer(f"python v2 {options.transport} {options.era}", client, heard), options.expect)
    finish(fine)


warnings.simplefilter("ignore")  # Logging is deprecated and still there; we use it on purpose.
anyio.run(main)
