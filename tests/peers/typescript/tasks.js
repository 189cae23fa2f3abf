// A client of the tasks extension with the official TypeScript package for it, in front of the fixtures of tests/conformance.

import assert from "node:assert/strict";

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { createTaskSessionFromClient, toolDeclarationFromMcpTool } from "@modelcontextprotocol/ext-tasks/client";

import { commandLine } from "./arguments.js";

const REVISION = "2026-07-28";
const clientInfo = { name: "peer-typescript-tasks", version: "1.0.0" };
const capabilities = { elicitation: { form: {} } };
const options = commandLine();
const client = new Client(clientInfo, { capabilities, versionNegotiation: { mode: { pin: REVISION } } });
const asked = [];
let ids = 0;

/** The SDK knows nothing of tasks of the extension: what is about them is posted as it is. */
async function rawDispatch(request, how = {}) {
  const id = `raw-${++ids}`;
  const { name, taskId } = request.params;
  const headers = {
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    "mcp-protocol-version": REVISION,
    "mcp-method": request.method,
    "mcp-name": taskId ?? name,
  };
  const body = JSON.stringify({ jsonrpc: "2.0", id, ...request });
  const response = await fetch(options.url, { method: "POST", headers, body, signal: how.signal });
  const text = await response.text();
  if (!response.headers.get("content-type").includes("event-stream")) return JSON.parse(text);
  const events = text.split("\n").filter((line) => line.startsWith("data: "));
  return events.map((line) => JSON.parse(line.slice(6))).find((message) => message.id === id);
}

function open(tools) {
  const declarations = new Map(tools.map((tool) => [tool.name, toolDeclarationFromMcpTool(tool)]));
  return createTaskSessionFromClient(client, {
    endpointId: "gateway",
    tools: { currentTool: (name) => declarations.get(name) },
    onInputRequest: async (request) => {
      asked.push(request.params.message);
      return { action: "accept", content: { confirm: true, name: "Anna" } };
    },
    rawDispatch,
    v2RequestFraming: { protocolVersion: REVISION, clientInfo, clientCapabilities: capabilities },
  });
}

/** Calls a tool, and says what came of it. */
async function settled(session, tool, parameters) {
  const execution = await session.callTool(tool, parameters);
  const { outcome } = await execution.settle();
  return { kind: execution.kind, outcome };
}

const text = (outcome) => outcome.result.content[0].text;

const steps = {
  async "a tool that takes its time becomes a task"(session) {
    const { kind, outcome } = await settled(session, "slow_compute", { seconds: 1, label: "x" });
    assert.equal(kind, "task");
    assert.match(text(outcome), /x/);
  },
  async "a task may ask"(session) {
    const { kind, outcome } = await settled(session, "confirm_delete", { filename: "a.txt" });
    assert.equal(kind, "task");
    assert.equal(outcome.status, "completed");
    assert.equal(asked.length, 1);
    assert.match(asked[0], /a\.txt/);
  },
  async "a task may ask several things at once"(session) {
    const { outcome } = await settled(session, "multi_input", {});
    assert.equal(outcome.status, "completed");
    assert.equal(asked.length, 3);
  },
  async "a result may say that it is an error"(session) {
    const { outcome } = await settled(session, "failing_job", {});
    assert.equal(outcome.status, "completed");
    assert.equal(outcome.result.isError, true);
  },
  async "a task may fail"(session) {
    const { outcome } = await settled(session, "protocol_error_job", {});
    assert.equal(outcome.status, "failed");
  },
  async "a task is cancelled"(session) {
    const execution = await session.callTool("slow_compute", { seconds: 60, label: "y" });
    assert.equal(execution.kind, "task");
    await execution.cancel();
    const { outcome } = await execution.settle();
    assert.equal(outcome.status, "cancelled");
  },
  async "another tool answers at once"(session) {
    const { kind, outcome } = await settled(session, "greet", { name: "Anna" });
    assert.equal(kind, "immediate");
    assert.match(text(outcome), /Anna/);
  },
};

let fine = true;
async function step(title, act) {
  const line = { client: "typescript tasks", step: title };
  try {
    Object.assign(line, { ok: true, detail: await act() });
  } catch (error) {
    fine = false;
    Object.assign(line, { ok: false, error: String(error?.stack ?? error), code: error?.code });
  }
  console.log(JSON.stringify(line));
  return line.ok;
}

let session;
const connected = await step("connect", async () => {
  await client.connect(new StreamableHTTPClientTransport(options.url));
  const { tools } = await client.listTools();
  session = open(tools);
});
if (connected) {
  for (const [title, act] of Object.entries(steps)) await step(title, () => act(session));
  await step("close", () => session.close());
}
await client.close();
process.exitCode = fine ? 0 : 1;
