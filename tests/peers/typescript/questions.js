// What a client answers when it is asked, and the steps that make servers ask (asking-v1.js, asking-v2.js and their
// like in ../python).

import assert from "node:assert/strict";

/** What all our clients say they can be asked. */
export const capabilities = { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} };

/** Answers by method, for both SDKs; `heard` learns what was asked. */
export function answers(heard) {
  const hear = (method, params) => heard.add(method, params);
  return {
    "elicitation/create": async ({ params }) => {
      hear("elicitation/create", params);
      if (params.mode === "url") return { action: "accept" };
      if (params.message.includes("secret")) return { action: "decline" };
      const said = { name: "Ada", color: "green" };
      const keys = Object.keys(params.requestedSchema.properties).filter((key) => key in said);
      return { action: "accept", content: Object.fromEntries(keys.map((key) => [key, said[key]])) };
    },
    "sampling/createMessage": async ({ params }) => {
      hear("sampling/createMessage", params);
      return { role: "assistant", model: "peer", stopReason: "endTurn", content: { type: "text", text: "hello" } };
    },
    "roots/list": async () => {
      hear("roots/list", {});
      return { roots: [{ uri: "file:///work", name: "work" }] };
    },
  };
}

/** Has the server with this prefix ask everything it can. */
export async function ask(client, prefix, step) {
  const says = (tool, wanted, method, questions = 1) =>
    step(`${prefix}${tool}`, async () => {
      const from = client.heard.mark();
      const result = await client.callTool(`${prefix}${tool}`, {});
      assert.equal(result.content[0].text, wanted);
      for (let nth = 0, at = from; nth < questions; nth += 1) {
        const params = await client.heard.next(method, undefined, at);
        // A gateway has ids of its own.
        assert.ok(prefix === "" || !JSON.stringify(params).includes("own-id"), "an id of another hop");
        at += 1;
      }
    });
  await says("ask_form", "Ada", "elicitation/create");
  await says("ask_secret", "decline", "elicitation/create");
  await says("ask_url", "accept", "elicitation/create");
  await says("ask_model", "hello", "sampling/createMessage");
  await says("ask_roots", "file:///work", "roots/list");
  await says("ask_all", "Ada, hello, file:///work", "roots/list");
  await says("ask_twice", "Ada likes green", "elicitation/create");
}

/** Has server-everything ask. It has tools only for what its client can do, so those may be listed a little later. */
export async function askEverything(client, prefix, step) {
  await step(`${prefix} lists what asks`, async () => {
    const wanted = `${prefix}trigger-elicitation-request`;
    const patience = AbortSignal.timeout(10_000);
    const names = async () => (await client.listTools()).map((tool) => tool.name);
    while (!(await names()).includes(wanted)) assert.ok(!patience.aborted, `no ${wanted}`);
  });
  const text = async (tool, args) => {
    const result = await client.callTool(`${prefix}${tool}`, args);
    assert.ok(!result.isError, JSON.stringify(result));
    return result.content.map((block) => block.text).join("\n");
  };
  await step(`${prefix} elicitation`, async () => assert.match(await text("trigger-elicitation-request", {}), /Ada/));
  await step(`${prefix} sampling`, async () => assert.match(await text("trigger-sampling-request", { prompt: "hi" }), /hello/));
  await step(`${prefix} roots`, async () => assert.match(await text("get-roots-list", {}), /file:\/\/\/work/));
  await step(`${prefix} url elicitation`, async () =>
    assert.match(await text("trigger-url-elicitation", { url: "https://pay.example/1" }), /accept/i));
}
