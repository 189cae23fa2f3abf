"""What a client answers when it is asked, and the steps that make servers ask (asking_v1.py and its like)."""

from steps import Heard, Steps, equal


def elicited(heard: Heard, params: dict) -> dict:
    """Answers an elicitation."""
    heard.add("elicitation/create", params)
    if params.get("mode") == "url":
        return {"action": "accept"}
    if "secret" in params["message"]:
        return {"action": "decline"}
    known = {"name": "Ada", "color": "green"}
    return {"action": "accept", "content": {key: known[key] for key in params["requestedSchema"]["properties"]}}


def sampled(heard: Heard, params: dict) -> dict:
    """Answers a sampling request."""
    heard.add("sampling/createMessage", params)
    return {"role": "assistant", "model": "peer", "stopReason": "endTurn", "content": {"type": "text", "text": "hello"}}


def rooted(heard: Heard) -> dict:
    """Answers a request for roots."""
    heard.add("roots/list", {})
    return {"roots": [{"uri": "file:///work", "name": "work"}]}


async def ask(steps: Steps, prefix: str) -> None:
    """Has the server with this prefix ask everything it can."""
    client = steps.client

    async def says(tool: str, wanted: str, method: str) -> None:
        async def call():
            since = client.heard.mark()
            result = await client.call_tool(f"{prefix}{tool}", {})
            equal(result["content"][0]["text"], wanted)
            asked = await client.heard.next(method, since)
            # A gateway has ids of its own.
            assert not prefix or "own-id" not in str(asked), "an id of another hop"

        await steps.step(f"{prefix}{tool}", call)

    await says("ask_form", "Ada", "elicitation/create")
    await says("ask_secret", "decline", "elicitation/create")
    await says("ask_url", "accept", "elicitation/create")
    await says("ask_model", "hello", "sampling/createMessage")
    await says("ask_roots", "file:///work", "roots/list")
    await says("ask_all", "Ada, hello, file:///work", "roots/list")
    await says("ask_twice", "Ada likes green", "elicitation/create")
