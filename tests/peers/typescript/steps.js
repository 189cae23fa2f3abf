// What every client tries: the same steps for each SDK, era and transport, against the example servers.
//
// A client (see sdk-v1.js and sdk-v2.js) offers a few functions under common names; this file calls them in order and
// prints one JSON line per step. Nothing here waits for a fixed time: it waits for what it expects, with a limit.

import assert from "node:assert/strict";

import { ask, askEverything } from "./questions.js";

const PATIENCE_MS = 10_000;

/** Notifications that arrived, and waiting for one that has not yet. */
export class Heard {
  #seen = [];
  #waiting = [];

  add(method, params) {
    const message = { method, params: params ?? {} };
    this.#seen.push(message);
    this.#waiting = this.#waiting.filter((waiter) => !waiter.try(message));
  }

  /** The next message from now on that fits; what came before `from` (see `mark`) does not count. */
  async next(method, fits = () => true, from = 0) {
    const wanted = (message) => message.method === method && fits(message.params);
    const found = this.#seen.slice(from).find(wanted);
    if (found) return found.params;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no ${method} within ${PATIENCE_MS} ms`)), PATIENCE_MS);
      this.#waiting.push({
        try(message) {
          if (!wanted(message)) return false;
          clearTimeout(timer);
          resolve(message.params);
          return true;
        },
      });
    });
  }

  mark() {
    return this.#seen.length;
  }
}

/** Runs all steps that apply; true if every one went well. */
export async function run(client, expected) {
  let fine = true;
  const step = async (name, act) => {
    const started = performance.now();
    const line = { client: client.name, step: name };
    try {
      Object.assign(line, { ok: true, detail: await act() });
    } catch (error) {
      fine = false;
      Object.assign(line, { ok: false, error: String(error?.message ?? error), code: error?.code });
    }
    line.ms = Math.round(performance.now() - started);
    console.log(JSON.stringify(line));
    return line.ok;
  };

  if (await step("connect", () => client.connect())) {
    if (expected.asking) {
      for (const prefix of expected.asking) await ask(client, prefix, step);
      if (expected.everything !== undefined) await askEverything(client, expected.everything, step);
      await step("close", () => client.close());
      return fine;
    }
    await lists(client, expected, step);
    if (expected.weather !== undefined) await weather(client, expected.weather, step);
    if (expected.notes !== undefined) await notes(client, expected.notes, step);
    await mistakes(client, step);
  }
  await step("close", () => client.close());
  return fine;
}

/** What to expect: the names behind the gateway (`fleet`), or of one server alone. */
export function expectation(what) {
  switch (what) {
    case "fleet":
      return { notes: "notes__", weather: "weather__" };
    case "notes":
      return { notes: "" };
    case "weather":
      return { weather: "" };
    case "asking":
      return { asking: [""] };
    case "everything":
      return { asking: [], everything: "" };
    case "asking-fleet":
      return { asking: ["python-v1__", "python-v2__", "typescript-v1__", "typescript-v2__"], everything: "everything__" };
    default:
      throw new Error(`--expect is one of fleet, notes, weather, asking, everything, asking-fleet; not ${what}`);
  }
}

async function lists(client, expected, step) {
  const names = (items, key = "name") => items.map((item) => item[key]);
  const hasAll = (found, wanted) => {
    for (const name of wanted) assert.ok(found.includes(name), `${name} is missing in ${found}`);
    return found;
  };
  const wanted = (notes, weather) => [
    ...(expected.notes === undefined ? [] : notes(expected.notes)),
    ...(expected.weather === undefined ? [] : weather(expected.weather)),
  ];
  await step("tools/list", async () =>
    hasAll(names(await client.listTools()), wanted((p) => [`${p}add_note`], (p) => [`${p}current_weather`, `${p}measure`])));
  await step("resources/list", async () =>
    hasAll(names(await client.listResources(), "uri"), wanted(() => ["note://welcome"], () => ["weather://station"])));
  await step("resources/templates/list", async () =>
    hasAll(names(await client.listTemplates(), "uriTemplate"), wanted(() => ["note://{title}"], () => ["weather://{city}/today"])));
  await step("prompts/list", async () =>
    hasAll(names(await client.listPrompts()), wanted((p) => [`${p}summarize_note`], (p) => [`${p}packing_list`])));
  if (client.ping) await step("ping", () => client.ping());
}

async function weather(client, prefix, step) {
  const station = async () => JSON.parse((await client.readResource("weather://station")).contents[0].text);

  await step("tools/call with structured output", async () => {
    const result = await client.callTool(`${prefix}current_weather`, { city: "Oslo" });
    assert.deepEqual(result.structuredContent, { city: "Oslo", sky: "snowing", temperature: -3 });
    return result.structuredContent;
  });
  await step("tools/call that goes wrong", async () => {
    const result = await client.callTool(`${prefix}current_weather`, { city: "Atlantis" });
    assert.equal(result.isError, true);
    return result.content[0].text;
  });
  await step("progress", async () => {
    const seen = [];
    await client.callTool(`${prefix}measure`, { samples: 3 }, { onprogress: (progress) => seen.push(progress) });
    // These SDKs lose a progress notification that they read together with the response, so the last one may be missing.
    const wanted = [[1, 3], [2, 3], [3, 3]].slice(0, Math.max(seen.length, 2));
    assert.deepEqual(seen.map((one) => [one.progress, one.total]), wanted);
    return seen.map((one) => one.message);
  });
  await step("cancellation", async () => {
    const before = (await station()).cancelled;
    const watch = await client.watch({ uris: ["weather://station"] });
    const abort = new AbortController();
    const call = client.callTool(`${prefix}measure`, { samples: 600 }, { signal: abort.signal, onprogress: () => abort.abort() });
    await assert.rejects(call);
    for (;;) {
      // Marked before reading: what changes after we have read is told after this mark.
      const from = client.heard.mark();
      if ((await station()).cancelled > before) break;
      await client.heard.next("notifications/resources/updated", undefined, from);
    }
    await watch.stop();
    return { cancelled: (await station()).cancelled };
  });
  await step("resources/read through a template", async () => {
    const { contents } = await client.readResource("weather://Lima/today");
    assert.equal(contents[0].uri, "weather://Lima/today");
    return JSON.parse(contents[0].text);
  });
  await step("prompts/get", async () => {
    const { messages } = await client.getPrompt(`${prefix}packing_list`, { city: "Kyoto" });
    assert.match(messages[0].content.text, /Kyoto it is cloudy/);
    return messages.length;
  });
  await step("completion/complete for a prompt", () =>
    completes(client, { type: "ref/prompt", name: `${prefix}packing_list` }, "city", "Li", ["Lima", "Lisbon"]));
  await step("completion/complete for a template", () =>
    completes(client, { type: "ref/resource", uri: "weather://{city}/today" }, "city", "N", ["Nairobi"]));
  await step("log messages", async () => {
    await client.setLogLevel("debug");
    const from = client.heard.mark();
    await client.callTool(`${prefix}measure`, { samples: 1 });
    const message = await client.heard.next("notifications/message", (p) => p.data?.measuring === 1, from);
    assert.equal(message.level, "info");
    return message;
  });
}

async function notes(client, prefix, step) {
  const title = `note-${Math.floor(Math.random() * 1e9)}`;
  const uri = `note://${title}`;
  const tools = async () => (await client.listTools()).map((tool) => tool.name);
  const uris = async () => (await client.listResources()).map((resource) => resource.uri);
  let watch;

  await step("a change of both lists", async () => {
    watch = await client.watch({ tools: true, resources: true, uris: [uri] });
    const from = client.heard.mark();
    const alone = !(await tools()).includes(`${prefix}remove_note`);
    const stored = await client.callTool(`${prefix}add_note`, { title, text: "milk" });
    assert.equal(stored.structuredContent.uri, uri);
    await client.heard.next("notifications/resources/list_changed", undefined, from);
    if (alone) await client.heard.next("notifications/tools/list_changed", undefined, from);
    assert.ok((await uris()).includes(uri));
    assert.ok((await tools()).includes(`${prefix}remove_note`));
    return { alone };
  });
  await step("resources/updated", async () => {
    const from = client.heard.mark();
    await client.callTool(`${prefix}add_note`, { title, text: "milk and bread" });
    await client.heard.next("notifications/resources/updated", (params) => params.uri === uri, from);
    return (await client.readResource(uri)).contents[0].text;
  });
  await step("prompts/get with what was written", async () => {
    const { messages } = await client.getPrompt(`${prefix}summarize_note`, { title });
    assert.equal(messages[1].content.text, "milk and bread");
  });
  await step("completion/complete with what was written", () =>
    completes(client, { type: "ref/resource", uri: "note://{title}" }, "title", title, [title]));
  await step("a change back", async () => {
    const from = client.heard.mark();
    await client.callTool(`${prefix}remove_note`, { title });
    await client.heard.next("notifications/resources/list_changed", undefined, from);
    assert.ok(!(await uris()).includes(uri));
    await watch?.stop();
  });
}

async function mistakes(client, step) {
  // The stateful revisions have a code of their own for this. A stateless backend does not say it, and -32602 could be
  // anything, so a gateway leaves it as it is.
  const notFound = client.stateful ? [-32002, -32602] : [-32602];
  const fails = async (promise, codes) => {
    const error = await promise.then(() => assert.fail("it went well"), (error) => error);
    assert.ok(codes.includes(error.code), `code ${error.code}: ${error.message}`);
    return { code: error.code, message: error.message };
  };
  await step("an unknown tool", () => fails(client.callTool("no_such_tool", {}), [-32602]));
  await step("an unknown resource", () => fails(client.readResource("note://no-such-note"), notFound));
  await step("an unknown prompt", () => fails(client.getPrompt("no_such_prompt", {}), [-32602]));
}

async function completes(client, ref, name, value, wanted) {
  const { completion } = await client.complete({ ref, argument: { name, value } });
  assert.deepEqual(completion.values, wanted);
  return completion.values;
}
