// The client that sdk-v2.js runs in Node and ../inspector/page.js in a browser: the official TypeScript SDK 2.x, which
// speaks revision 2026-07-28 and, when told to, the stateful ones.

import { answers, capabilities } from "./questions.js";
import { Heard } from "./steps.js";

/** A client for `run` of steps.js, made of the SDK's Client class, a transport, and an era. */
export function makePeer(Client, transport, era, name) {
  const heard = new Heard();
  const mode = { auto: "auto", stateful: "legacy", stateless: { pin: "2026-07-28" } }[era];
  const client = new Client({ name: "peer-typescript-v2", version: "1.0.0" }, { capabilities, versionNegotiation: { mode } });
  for (const [method, answer] of Object.entries(answers(heard))) client.setRequestHandler(method, answer);
  client.fallbackNotificationHandler = async ({ method, params }) => heard.add(method, params);
  let stateless = false;
  let logLevel; // Since 2026-07-28 each call says what it wants to hear.

  return {
    name,
    heard,
    get stateful() {
      return !stateless;
    },
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
}

const fresh = { cacheMode: "refresh" };
