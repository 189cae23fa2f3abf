// The official TypeScript SDK 2.x finds its way into a gateway that takes tokens, with nothing but the URL of its route:
// 401, metadata of the resource, metadata of the authorization server, registration, consent, token, call. Then a tool
// that needs one scope more. Then the same way without a person.
//
//     node oauth.js --url URL --issuer URL --era stateful|stateless

import assert from "node:assert/strict";
import { parseArgs } from "node:util";
import { Client, ClientCredentialsProvider, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { consent } from "./person.js";

const { values: options } = parseArgs({ options: { url: { type: "string" }, issuer: { type: "string" }, era: { type: "string" } } });
const REDIRECT = "http://127.0.0.1:1/callback"; // Nobody listens there: the person hands over where they were sent.

/** What a client with a person keeps. */
class Keeper {
  asked = [];
  redirectUrl = REDIRECT;
  clientMetadata = { client_name: "peer", redirect_uris: [REDIRECT], token_endpoint_auth_method: "none" };
  clientInformation = () => this.client;
  saveClientInformation = (client) => void (this.client = client);
  tokens = () => this.kept;
  saveTokens = (tokens) => void (this.kept = tokens);
  redirectToAuthorization = (url) => void this.asked.push(url);
  saveCodeVerifier = (verifier) => void (this.verifier = verifier);
  codeVerifier = () => this.verifier;
  discoveryState = () => this.discovered;
  saveDiscoveryState = (discovered) => void (this.discovered = discovered);
}

let fine = true;
async function step(name, act) {
  const begun = performance.now();
  const line = { client: `typescript v2 oauth ${options.era}`, step: name };
  try {
    Object.assign(line, { ok: true, detail: await act() });
  } catch (error) {
    Object.assign(line, { ok: false, error: `${error.stack}` });
    fine = false;
  }
  console.log(JSON.stringify({ ...line, ms: Math.round(performance.now() - begun) }));
}

function client() {
  const mode = { stateful: "legacy", stateless: { pin: "2026-07-28" } }[options.era];
  return new Client({ name: "peer-oauth", version: "1.0.0" }, { versionNegotiation: { mode } });
}

const transport = (authProvider) => new StreamableHTTPClientTransport(new URL(options.url), { authProvider });

async function calls(connected, tool, args) {
  const result = await connected.callTool({ name: `weather__${tool}`, arguments: args });
  assert.ok(!result.isError, JSON.stringify(result));
  return result.structuredContent ?? result.content;
}

/** What the person was asked for last, once they have consented to it. */
async function consented(keeper) {
  const asked = keeper.asked.at(-1);
  assert.equal(asked.searchParams.get("resource"), options.url);
  assert.equal(asked.searchParams.get("code_challenge_method"), "S256");
  assert.equal(asked.origin, options.issuer);
  return (await consent(asked, REDIRECT)).searchParams;
}

const keeper = new Keeper();
const connected = client();
const way = transport(keeper);

await step("a way to a token", async () => {
  const first = transport(keeper);
  await assert.rejects(client().connect(first), { name: "UnauthorizedError" });
  await first.finishAuth(await consented(keeper));
  return { scope: keeper.asked.at(-1).searchParams.get("scope"), client: keeper.client.client_id };
});
await step("a call with the token", async () => {
  await connected.connect(way);
  return calls(connected, "current_weather", { city: "Oslo" });
});
await step("one scope more", async () => {
  const before = keeper.asked.length;
  await assert.rejects(calls(connected, "measure", { samples: 1 }), { name: "UnauthorizedError" });
  assert.equal(keeper.asked.length, before + 1);
  const scope = keeper.asked.at(-1).searchParams.get("scope");
  assert.deepEqual(scope.split(" ").sort(), ["mcp:use", "weather:measure"]);
  await way.finishAuth(await consented(keeper));
  return calls(connected, "measure", { samples: 1 });
});
await step("without a person", async () => {
  const machine = { clientId: "machine", clientSecret: "only-for-tests", expectedIssuer: options.issuer, scope: "mcp:use" };
  const other = client();
  await other.connect(transport(new ClientCredentialsProvider(machine)));
  const weather = await calls(other, "current_weather", { city: "Lima" });
  await other.close();
  return weather;
});
await connected.close();
process.exit(fine ? 0 : 1);
