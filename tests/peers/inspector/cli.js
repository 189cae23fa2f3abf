// The MCP inspector on the command line, in both eras, against the fleet behind the gateway (or the weather server alone).
//
//   node cli.js --url http://127.0.0.1:8080/mcp [--expect fleet|weather]
//
// One JSON line per step; exit code 1 if any failed.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";

const { values: options } = parseArgs({ options: { url: { type: "string" }, expect: { type: "string", default: "fleet" } } });
const prefix = { fleet: "weather__", weather: "" }[options.expect];
const launcher = fileURLToPath(import.meta.resolve("@modelcontextprotocol/inspector/package.json").replace("package.json", "clients/launcher/build/index.js"));
// The inspector keeps its settings at home; ours must not see or change them.
const home = await mkdtemp(`${tmpdir()}/inspector-`);

let fine = true;
for (const era of ["legacy", "modern"]) {
  await step(era, "tools/list", [], ({ tools }) => assert.ok(tools.some((tool) => tool.name === `${prefix}measure`)));
  await step(era, "tools/call", ["--tool-name", `${prefix}current_weather`, "--tool-arg", "city=Oslo"], (result) =>
    assert.equal(result.structuredContent.sky, "snowing"));
  await step(era, "resources/list", [], ({ resources }) => assert.ok(resources.some((resource) => resource.uri === "weather://station")));
  await step(era, "resources/templates/list", [], ({ resourceTemplates }) => assert.ok(resourceTemplates.length > 0));
  await step(era, "resources/read", ["--uri", "weather://Lima/today"], ({ contents }) => assert.match(contents[0].text, /foggy/));
  await step(era, "prompts/list", [], ({ prompts }) => assert.ok(prompts.some((prompt) => prompt.name === `${prefix}packing_list`)));
  await step(era, "prompts/get", ["--prompt-name", `${prefix}packing_list`, "--prompt-args", "city=Kyoto"], ({ messages }) =>
    assert.match(messages[0].content.text, /cloudy/));
}
await rm(home, { recursive: true });
process.exitCode = fine ? 0 : 1;

async function step(era, method, args, check) {
  const line = { client: `inspector cli ${era}`, step: method };
  try {
    const how = ["--cli", options.url, "--transport", "http", "--protocol-era", era, "--format", "json", "--quiet"];
    const run = promisify(execFile)(process.execPath, [launcher, ...how, "--method", method, ...args], {
      env: { ...process.env, HOME: home },
      timeout: 60_000,
    });
    check(JSON.parse((await run).stdout).result);
    line.ok = true;
  } catch (error) {
    fine = false;
    Object.assign(line, { ok: false, error: String(error.stderr || error.message) });
  }
  console.log(JSON.stringify(line));
}
