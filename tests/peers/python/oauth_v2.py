"""The official Python SDK 2.x finds its way into a gateway that takes tokens, with nothing but the URL of its route.

401, metadata of the resource, metadata of the authorization server, registration, consent, token, call; then a tool that
needs one scope more; then the same way without a person. `--era` says how it speaks.
"""

import argparse
import html
import json
import re
import ssl
import sys
import time
import warnings
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

REDIRECT = "http://127.0.0.1:1/callback"  # Nobody listens there: the person hands over where they were sent.


class Kept:
    """What a client remembers."""

    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


class Person:
    """Somebody with a browser, as far as an authorization server can tell."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def go(self, url: str) -> None:
        self.asked.append(url)

    async def back(self) -> AuthorizationCodeResult:
        where, form = httpx2.URL(self.asked[-1]), None
        async with httpx2.AsyncClient() as browser:
            for _ in range(20):
                answer = await (browser.post(where, data=form) if form else browser.get(where))
                if answer.is_redirect:
                    where, form = where.join(answer.headers["location"]), None
                    if str(where).startswith(REDIRECT):
                        query = parse_qs(urlsplit(str(where)).query)
                        return AuthorizationCodeResult(**{key: query[key][0] for key in ("code", "state", "iss")})
                    continue
                action = re.search(r'<form[^>]* action="([^"]+)"', answer.text)
                assert action, f"no form at {where}: {answer.status_code} {answer.text}"
                prompt = re.search(r'name="prompt" value="([^"]+)"', answer.text)[1]
                where, form = where.join(html.unescape(action[1])), {"prompt": prompt, "login": "anna", "password": "anything"}
        raise AssertionError("no end of pages")

    def asked_for(self, name: str) -> str:
        return parse_qs(urlsplit(self.asked[-1]).query)[name][0]


class Steps:
    def __init__(self, era: str) -> None:
        self.era, self.fine = era, True

    async def step(self, name: str, act) -> None:
        line, begun = {"client": f"python v2 oauth {self.era}", "step": name}, time.monotonic()
        try:
            line |= {"ok": True, "detail": await act()}
        except BaseException as error:  # An exception group may be none of Exception.
            line |= {"ok": False, "error": repr(error)}
            self.fine = False
        print(json.dumps(line | {"ms": round((time.monotonic() - begun) * 1000)}), flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser()
    for option in ("--url", "--issuer", "--era", "--roots"):
        parser.add_argument(option, required=True)
    options = parser.parse_args()
    steps, person, kept = Steps(options.era), Person(), Kept()
    trusted = ssl.create_default_context(cafile=options.roots)
    mode = {"stateful": "legacy", "stateless": "2026-07-28"}[options.era]

    def connected(auth, act):
        async def run():
            async with httpx2.AsyncClient(auth=auth, verify=trusted, timeout=30) as http:
                async with Client(streamable_http_client(options.url, http_client=http), mode=mode) as client:
                    return await act(client)

        return run

    async def oslo(client):
        return await call(client, "current_weather", {"city": "Oslo"})

    metadata = OAuthClientMetadata(client_name="peer", redirect_uris=[REDIRECT], token_endpoint_auth_method="none")

    def with_person():
        return OAuthClientProvider(options.url, metadata.model_copy(), kept, person.go, person.back)

    async def first(client):
        said = await oslo(client)
        assert kept.client.client_id and kept.tokens.access_token
        assert person.asked_for("resource") == options.url
        assert person.asked_for("code_challenge_method") == "S256"
        assert person.asked[-1].startswith(options.issuer)
        return said

    async def again(client):
        before = len(person.asked)
        said = await oslo(client)
        assert len(person.asked) == before, "somebody was asked again"
        return said

    async def more(client):
        # A client asks for what the challenge names and no more, so this tool needs another token.
        before = len(person.asked)
        said = await call(client, "measure", {"samples": 1})
        assert len(person.asked) == before + 1, "nobody was asked for more"
        scope = person.asked_for("scope")
        assert {"mcp:use", "weather:measure"} <= set(scope.split()), scope
        return said

    await steps.step("a way to a token and a call with it", connected(with_person(), first))
    await steps.step("the token is used again", connected(with_person(), again))
    await steps.step("one scope more", connected(with_person(), more))
    machine = ClientCredentialsOAuthProvider(options.url, Kept(), "machine", "only-for-tests", scope="mcp:use", issuer=options.issuer)
    await steps.step("without a person", connected(machine, oslo))
    sys.exit(0 if steps.fine else 1)


async def call(client: Client, tool: str, arguments: dict):
    result = await client.call_tool(f"weather__{tool}", arguments)
    assert not result.is_error, result
    return result.structured_content


warnings.simplefilter("ignore")
anyio.run(main)
