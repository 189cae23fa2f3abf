"""What every client tries: the same steps for each SDK, era and transport, against the example servers.

A client (see `sdk_v1.py` and `sdk_v2.py`) offers a few functions under common names that take and give plain JSON values;
this file calls them in order and prints one JSON line per step. Nothing here waits for a fixed time: it waits for what it
expects, with a limit.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable

import anyio

PATIENCE_S = 10

#: Prefixes of the servers that ask.
ASKING = {"asking": [""], "asking-fleet": ["python-v1__", "python-v2__", "typescript-v1__", "typescript-v2__"]}


class Heard:
    """Notifications that arrived, and waiting for one that has not yet."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, dict]] = []
        self._news = anyio.Event()

    def add(self, method: str, params: dict) -> None:
        self._seen.append((method, params))
        self._news.set()
        self._news = anyio.Event()

    def mark(self) -> int:
        return len(self._seen)

    async def next(self, method: str, since: int, fits: Callable[[dict], bool] = lambda _: True) -> dict:
        """The first message after the mark that fits, now or soon."""
        with anyio.move_on_after(PATIENCE_S):
            while True:
                news = self._news
                for seen, params in self._seen[since:]:
                    if seen == method and fits(params):
                        return params
                await news.wait()
        raise AssertionError(f"no {method} within {PATIENCE_S} s")


class Steps:
    """Runs steps and remembers whether all went well."""

    def __init__(self, client) -> None:
        self.client = client
        self.fine = True

    async def step(self, name: str, act) -> bool:
        started = time.monotonic()
        line = {"client": self.client.name, "step": name}
        try:
            line |= {"ok": True, "detail": await act()}
        except Exception as error:
            line |= {"ok": False, "error": f"{type(error).__name__}: {error}"}
            self.fine = False
        line["ms"] = round((time.monotonic() - started) * 1000)
        print(json.dumps(line), flush=True)
        return line["ok"]


def command_line() -> argparse.Namespace:
    """The command line both clients understand."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", help="a Streamable HTTP endpoint")
    parser.add_argument("--sse", help="an HTTP+SSE endpoint of 2024-11-05")
    parser.add_argument("--stdio", nargs=argparse.REMAINDER, help="a command (comes last)")
    parser.add_argument("--era", choices=["auto", "stateful", "stateless"], default="auto")
    parser.add_argument("--expect", choices=["fleet", "notes", "weather", "asking", "asking-fleet"], default="fleet", help="who answers: the gateway or one server")
    options = parser.parse_args()
    if sum(bool(way) for way in (options.url, options.sse, options.stdio)) != 1:
        parser.error("one of --url, --sse, --stdio")
    options.transport = "http" if options.url else "sse" if options.sse else "stdio"
    return options


async def run(client, expect: str) -> bool:
    """Runs all steps that apply; true if every one went well."""
    steps = Steps(client)
    if expect in ASKING:
        from questions import ask  # It uses what this module has.

        await steps.step("connected", client.facts)
        for prefix in ASKING[expect]:
            await ask(steps, prefix)
        return steps.fine
    notes = {"fleet": "notes__", "notes": ""}.get(expect)
    weather = {"fleet": "weather__", "weather": ""}.get(expect)
    await steps.step("connected", client.facts)
    await try_lists(steps, notes, weather)
    if weather is not None:
        await try_weather(steps, weather)
    if notes is not None:
        await try_notes(steps, notes)
    await try_mistakes(steps)
    return steps.fine


def finish(fine: bool) -> None:
    """Ends the program."""
    sys.exit(0 if fine else 1)


async def try_lists(steps: Steps, notes: str | None, weather: str | None) -> None:
    client = steps.client

    async def has(items, key: str, wanted_notes: list[str], wanted_weather: list[str]) -> list[str]:
        found = [item[key] for item in await items]
        wanted = (wanted_notes if notes is not None else []) + (wanted_weather if weather is not None else [])
        missing = [name for name in wanted if name not in found]
        assert not missing, f"{missing} missing in {found}"
        return found

    await steps.step("tools/list", lambda: has(client.list_tools(), "name", [f"{notes}add_note"], [f"{weather}current_weather", f"{weather}measure"]))
    await steps.step("resources/list", lambda: has(client.list_resources(), "uri", ["note://welcome"], ["weather://station"]))
    await steps.step("resources/templates/list", lambda: has(client.list_templates(), "uriTemplate", ["note://{title}"], ["weather://{city}/today"]))
    await steps.step("prompts/list", lambda: has(client.list_prompts(), "name", [f"{notes}summarize_note"], [f"{weather}packing_list"]))
    if client.stateful:
        await steps.step("ping", client.ping)


async def try_weather(steps: Steps, prefix: str) -> None:
    client = steps.client

    async def station() -> dict:
        return json.loads((await client.read_resource("weather://station"))["contents"][0]["text"])

    async def structured():
        result = await client.call_tool(f"{prefix}current_weather", {"city": "Oslo"})
        equal(result["structuredContent"], {"city": "Oslo", "sky": "snowing", "temperature": -3.0})

    async def goes_wrong():
        result = await client.call_tool(f"{prefix}current_weather", {"city": "Atlantis"})
        equal(result["isError"], True)
        return result["content"][0]["text"]

    async def progress():
        seen = []
        await client.call_tool(f"{prefix}measure", {"samples": 3}, on_progress=lambda *progress: seen.append(progress))
        equal([(now, total) for now, total, _ in seen], [(1, 3), (2, 3), (3, 3)])
        return [message for _, _, message in seen]

    async def cancellation():
        before = (await station())["cancelled"]
        async with client.watch(uris=["weather://station"]):
            await client.cancelled_call(f"{prefix}measure", {"samples": 600})
            while True:
                # Marked before reading: what changes after we have read is told after this mark.
                since = client.heard.mark()
                if (await station())["cancelled"] > before:
                    return await station()
                await client.heard.next("notifications/resources/updated", since)

    async def template():
        contents = (await client.read_resource("weather://Lima/today"))["contents"]
        equal(contents[0]["uri"], "weather://Lima/today")
        return json.loads(contents[0]["text"])

    async def prompt():
        messages = (await client.get_prompt(f"{prefix}packing_list", {"city": "Kyoto"}))["messages"]
        assert "Kyoto it is cloudy" in messages[0]["content"]["text"], messages

    async def log_messages():
        await client.set_log_level("debug")
        since = client.heard.mark()
        await client.call_tool(f"{prefix}measure", {"samples": 1})
        message = await client.heard.next("notifications/message", since, lambda params: params["data"] == {"measuring": 1})
        equal(message["level"], "info")

    await steps.step("tools/call with structured output", structured)
    await steps.step("tools/call that goes wrong", goes_wrong)
    await steps.step("progress", progress)
    await steps.step("cancellation", cancellation)
    await steps.step("resources/read through a template", template)
    await steps.step("prompts/get", prompt)
    by_prompt, by_template = {"type": "ref/prompt", "name": f"{prefix}packing_list"}, {"type": "ref/resource", "uri": "weather://{city}/today"}
    await steps.step("completion/complete for a prompt", lambda: completes(client, by_prompt, "city", "Li", ["Lima", "Lisbon"]))
    await steps.step("completion/complete for a template", lambda: completes(client, by_template, "city", "N", ["Nairobi"]))
    await steps.step("log messages", log_messages)


async def try_notes(steps: Steps, prefix: str) -> None:
    client = steps.client
    title = f"note-{random.randrange(10**9)}"
    uri = f"note://{title}"

    async def both_lists():
        since = client.heard.mark()
        alone = f"{prefix}remove_note" not in [tool["name"] for tool in await client.list_tools()]
        stored = await client.call_tool(f"{prefix}add_note", {"title": title, "text": "milk"})
        equal(stored["structuredContent"]["uri"], uri)
        await client.heard.next("notifications/resources/list_changed", since)
        if alone:
            await client.heard.next("notifications/tools/list_changed", since)
        assert uri in [resource["uri"] for resource in await client.list_resources()]
        assert f"{prefix}remove_note" in [tool["name"] for tool in await client.list_tools()]
        return {"alone": alone}

    async def updated():
        since = client.heard.mark()
        await client.call_tool(f"{prefix}add_note", {"title": title, "text": "milk and bread"})
        await client.heard.next("notifications/resources/updated", since, lambda params: params["uri"] == uri)
        equal((await client.read_resource(uri))["contents"][0]["text"], "milk and bread")

    async def prompt():
        messages = (await client.get_prompt(f"{prefix}summarize_note", {"title": title}))["messages"]
        equal(messages[1]["content"]["text"], "milk and bread")

    async def back():
        since = client.heard.mark()
        await client.call_tool(f"{prefix}remove_note", {"title": title})
        await client.heard.next("notifications/resources/list_changed", since)
        assert uri not in [resource["uri"] for resource in await client.list_resources()]

    async with client.watch(tools=True, resources=True, uris=[uri]):
        await steps.step("a change of both lists", both_lists)
        await steps.step("resources/updated", updated)
        await steps.step("prompts/get with what was written", prompt)
        by_template = {"type": "ref/resource", "uri": "note://{title}"}
        await steps.step("completion/complete with what was written", lambda: completes(client, by_template, "title", title, [title]))
        await steps.step("a change back", back)


async def try_mistakes(steps: Steps) -> None:
    client = steps.client

    async def fails(call, *codes: int):
        try:
            await call
        except client.Error as error:
            assert error.error.code in codes, f"{error.error.code}: {error.error.message}"
            return error.error.message
        raise AssertionError("it went well")

    await steps.step("an unknown tool", lambda: fails(client.call_tool("no_such_tool", {}), -32602))
    # The stateful revisions have a code of their own for this. A stateless backend does not say it, and -32602 could be
    # anything, so a gateway leaves it as it is.
    not_found = [-32002, -32602] if client.stateful else [-32602]
    await steps.step("an unknown resource", lambda: fails(client.read_resource("note://no-such-note"), *not_found))
    await steps.step("an unknown prompt", lambda: fails(client.get_prompt("no_such_prompt", {}), -32602))


async def completes(client, ref: dict, name: str, value: str, wanted: list[str]) -> list[str]:
    values = (await client.complete(ref, {"name": name, "value": value}))["completion"]["values"]
    equal(values, wanted)
    return values


def equal(found, wanted) -> None:
    assert found == wanted, f"{found!r} is not {wanted!r}"
