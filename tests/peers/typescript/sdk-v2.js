// A client with the official TypeScript SDK 2.x, which speaks revision 2026-07-28 and, when told to, the stateful ones.

import { Client, SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

import { commandLine } from "./arguments.js";
import { Heard, expectation, run } from "./steps.js";

const options = commandLine();
const heard = new Heard();
const mode = { auto: "auto", stateful: "legacy", stateless: { pin: "2026-07-28" } }[options.era];
const client = new Client({ name: "peer-typescript-v2", version: "1.0.0" }, { versionNegotiation: { mode } });
client.fallbackNotificationHandler = async ({ method, params }) => heard.add(method, params);

const transport = {
  http: () => new StreamableHTTPClientTransport(options.url),
  sse: () => new SSEClientTransport(options.url),
  stdio: () => new StdioClientTransport({ command: options.command[0], args: options.command.slice(1) }),
}[options.transport]();

let stateless = false;
let logLevel; // Since 2026-07-28 each call says what it wants to hear.

const peer = {
  name: `typescript v2 ${options.transport} ${options.era}`,
  heard,
  notFound: -32602, // What this SDK makes of -32002 too.
  async connect() {
    await client.connect(transport);
    stateless = client.getProtocolEra() === "modern";
    return { server: client.getServerVersion(), revision: client.getNegotiatedProtocolVersion(), capabilities: client.getServerCapabilities() };
  },
  close: () => client.close(),
  // Without arguments these follow all pages. Nothing may come from the SDK's cache: we ask what the server says now.
  listTools: async () => (await client.listTools(undefined, fresh)).tools,
  listResources: async () => (await client.listResources(undefined, fresh)).resources,
  listTemplates: async () => (await client.listResourceTemplates(undefined, fresh)).resourceTemplates,
  listPrompts: async () => (await client.listPrompts(undefined, fresh)).prompts,
  callTool(name, args, how = {}) {
    const meta = stateless && logLevel ? { _meta: { "io.modelcontextprotocol/logLevel": logLevel } } : {};
    return client.callTool({ name, arguments: args, ...meta }, how);
  },
  readResource: (uri) => client.readResource({ uri }, fresh),
  getPrompt: (name, args) => client.getPrompt({ name, arguments: args }),
  complete: (params) => client.complete(params),
  async setLogLevel(level) {
    logLevel = level;
    if (!stateless) await client.setLoggingLevel(level);
  },
  async watch({ tools, resources, uris }) {
    if (stateless) {
      const subscription = await client.listen({
        ...(tools && { toolsListChanged: true }),
        ...(resources && { resourcesListChanged: true }),
        ...(uris && { resourceSubscriptions: uris }),
      });
      return { stop: () => subscription.close() };
    }
    for (const uri of uris ?? []) await client.subscribeResource({ uri });
    return {
      stop: async () => {
        for (const uri of uris ?? []) await client.unsubscribeResource({ uri });
      },
    };
  },
};

const fresh = { cacheMode: "refresh" };

process.exitCode = (await run(peer, expectation(options.expect))) ? 0 : 1;
