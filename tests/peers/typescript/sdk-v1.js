// A client with the official TypeScript SDK 1.x, which speaks the stateful revisions (up to 2025-11-25), also over
// HTTP+SSE of 2024-11-05.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema } from "@modelcontextprotocol/sdk/types.js";

import { commandLine } from "./arguments.js";
import { answers, capabilities } from "./questions.js";
import { Heard, expectation, run } from "./steps.js";

const options = commandLine();
const heard = new Heard();
const client = new Client({ name: "peer-typescript-v1", version: "1.0.0" }, { capabilities });
for (const schema of [ElicitRequestSchema, CreateMessageRequestSchema, ListRootsRequestSchema]) {
  client.setRequestHandler(schema, answers(heard)[schema.shape.method.value]);
}
client.fallbackNotificationHandler = async ({ method, params }) => heard.add(method, params);

const transport = {
  http: () => new StreamableHTTPClientTransport(options.url),
  sse: () => new SSEClientTransport(options.url),
  stdio: () => new StdioClientTransport({ command: options.command[0], args: options.command.slice(1) }),
}[options.transport]();

const peer = {
  name: `typescript v1 ${options.transport}`,
  stateful: true,
  heard,
  async connect() {
    await client.connect(transport);
    return { server: client.getServerVersion(), revision: transport.protocolVersion, capabilities: client.getServerCapabilities() };
  },
  close: () => client.close(),
  ping: () => client.ping(),
  listTools: async () => all((cursor) => client.listTools(cursor), "tools"),
  listResources: async () => all((cursor) => client.listResources(cursor), "resources"),
  listTemplates: async () => all((cursor) => client.listResourceTemplates(cursor), "resourceTemplates"),
  listPrompts: async () => all((cursor) => client.listPrompts(cursor), "prompts"),
  callTool: (name, args, how = {}) => client.callTool({ name, arguments: args }, undefined, how),
  readResource: (uri) => client.readResource({ uri }),
  getPrompt: (name, args) => client.getPrompt({ name, arguments: args }),
  complete: (params) => client.complete(params),
  setLogLevel: (level) => client.setLoggingLevel(level),
  async watch({ uris }) {
    // Lists are watched from the start; only single resources have to be asked for.
    for (const uri of uris ?? []) await client.subscribeResource({ uri });
    return {
      stop: async () => {
        for (const uri of uris ?? []) await client.unsubscribeResource({ uri });
      },
    };
  },
};

async function all(list, key) {
  const items = [];
  let page = await list();
  items.push(...page[key]);
  while (page.nextCursor) {
    page = await list({ cursor: page.nextCursor });
    items.push(...page[key]);
  }
  return items;
}

process.exitCode = (await run(peer, expectation(options.expect))) ? 0 : 1;
