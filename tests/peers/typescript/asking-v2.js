// A server with the official TypeScript SDK 2.x that asks its client by results and knows no revision but 2026-07-28,
// over stdio. Its tools are those of ../python/asking_v1.py.

import { McpServer, inputRequired } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";

const schema = (key) => ({ type: "object", properties: { [key]: { type: "string" } }, required: [key] });
const form = (key, message) => inputRequired.elicit({ message, requestedSchema: schema(key) });
const name = () => form("name", "What is your name?");
const messages = [{ role: "user", content: { type: "text", text: "Say hello." } }];
const model = () => inputRequired.createMessage({ messages, maxTokens: 10 });
const ask = (inputRequests, requestState) => inputRequired({ inputRequests, ...(requestState && { requestState }) });

/** What was answered, in a word. */
const said = (answer) =>
  answer.roots?.[0].uri ?? (answer.model ? answer.content.text : undefined) ?? Object.values(answer.content ?? {})[0] ?? answer.action;
const once = (request) => (answers) => (answers ? said(answers.it) : ask({ it: request() }));

const tools = {
  ask_form: once(name),
  ask_secret: once(() => form("name", "What is your secret?")),
  ask_url: once(() => inputRequired.elicitUrl({ message: "Please pay.", url: "https://pay.example/1" })),
  ask_model: once(model),
  ask_roots: once(inputRequired.listRoots),
  ask_all: (answers) =>
    answers ? ["form", "model", "roots"].map((key) => said(answers[key])).join(", ") : ask({ form: name(), model: model(), roots: inputRequired.listRoots() }),
  ask_twice(answers, state) {
    if (!answers) return ask({ it: name() }, "first");
    if (state === "first") return ask({ it: form("color", `What is your color, ${said(answers.it)}?`) }, said(answers.it));
    return `${state} likes ${said(answers.it)}`;
  },
};

function make() {
  const mcp = new McpServer({ name: "asking-typescript-v2", version: "1.0.0" });
  for (const [tool, run] of Object.entries(tools)) {
    mcp.registerTool(tool, { description: "Asks." }, async (...args) => {
      const { mcpReq } = args.at(-1);
      const came = run(mcpReq.inputResponses, mcpReq.requestState?.());
      return typeof came === "string" ? { content: [{ type: "text", text: came }] } : came;
    });
  }
  return mcp;
}

serveStdio(make, { legacy: "reject" });
