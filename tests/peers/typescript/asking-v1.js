// A server with the official TypeScript SDK 1.x that asks its client in the middle of a call, over stdio. Its tools are
// those of ../python/asking_v1.py.

import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";

const mcp = new McpServer({ name: "asking-typescript-v1", version: "1.0.0" });
const { server } = mcp;

const schema = (key) => ({ type: "object", properties: { [key]: { type: "string" } }, required: [key] });
const form = async (key, message) => {
  const { action, content } = await server.elicitInput({ message, requestedSchema: schema(key) });
  return action === "accept" ? content[key] : action;
};
const name = () => form("name", "What is your name?");
const page = async () => (await server.elicitInput({ mode: "url", message: "Please pay.", url: "https://pay.example/1", elicitationId: "own-id" })).action;
const model = async () => {
  const messages = [{ role: "user", content: { type: "text", text: "Say hello." } }];
  return (await server.createMessage({ messages, maxTokens: 10 })).content.text;
};
const roots = async () => (await server.listRoots()).roots[0].uri;

const tools = {
  ask_form: name,
  ask_secret: () => form("name", "What is your secret?"),
  ask_url: page,
  ask_model: model,
  ask_roots: roots,
  ask_all: async () => (await Promise.all([name(), model(), roots()])).join(", "),
  ask_twice: async () => {
    const known = await name();
    return `${known} likes ${await form("color", `What is your color, ${known}?`)}`;
  },
};
for (const [tool, run] of Object.entries(tools)) {
  mcp.registerTool(tool, { description: "Asks." }, async () => ({ content: [{ type: "text", text: await run() }] }));
}
await mcp.connect(new StdioServerTransport());
