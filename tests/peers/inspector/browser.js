// A real browser, from another origin than the gateway's: what CORS, preflights and exposed headers are for.
//
//   node browser.js --url http://127.0.0.1:8080/mcp [--expect fleet|weather] [--chromium /usr/bin/chromium] [--show picture.png]
//
// First a page with the official SDK tries everything, in both eras. Then the web page of the MCP inspector connects and
// calls a tool; it is the last one of its 1.x line, because the later ones let their own Node process connect and their page
// never speaks to the server itself. One JSON line per step; exit code 1 if any failed.

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { build } from "esbuild";
import { chromium } from "playwright-core";

const { values: options } = parseArgs({
  options: {
    url: { type: "string" },
    expect: { type: "string", default: "fleet" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
    show: { type: "string" },
  },
});
const here = fileURLToPath(new URL(".", import.meta.url));
const tool = { fleet: "weather__current_weather", weather: "current_weather" }[options.expect];
let fine = true;

const profile = await mkdtemp(`${tmpdir()}/chromium-`);
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: options.chromium,
  headless: true,
  args: "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split(" "),
});
try {
  for (const era of ["stateless", "stateful"]) await sdkPage(era);
  await inspector();
} finally {
  await browser.close();
  await rm(profile, { recursive: true });
}
process.exitCode = fine ? 0 : 1;

/** Runs page.js and passes its lines on. */
async function sdkPage(era) {
  const bundle = await build({
    entryPoints: [join(here, "page.js")],
    bundle: true,
    format: "esm",
    write: false,
    nodePaths: [join(here, "../typescript/node_modules")],
    alias: { "node:assert/strict": join(here, "assert.js") },
  });
  const files = new Map([
    ["/", ["text/html", "<!doctype html><title>peer</title><script type=module src=/page.js></script>"]],
    ["/page.js", ["text/javascript", bundle.outputFiles[0].text]],
  ]);
  const server = await serve((path) => files.get(path));
  const page = await browser.newPage();
  const complaints = listen(page);
  const finished = new Promise((resolve, reject) => {
    page.on("pageerror", reject);
    page.on("console", (message) => {
      const line = parse(message.text());
      if (line?.finished) resolve(line.fine);
      else if (line?.step) console.log(JSON.stringify(line));
    });
    setTimeout(() => reject(new Error("the page did not finish within 90 s")), 90_000).unref();
  });
  await step(`browser page ${era}`, "all steps", complaints, async () => {
    await page.goto(`${server.origin}/?${new URLSearchParams({ url: options.url, era, expect: options.expect })}`);
    if (!(await finished)) throw new Error("a step failed");
  });
  await page.close();
  server.close();
}

/** Connects the inspector's own page directly, lists the tools and calls one. */
async function inspector() {
  const dist = join(here, "node_modules/inspector-v1/client/dist");
  const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
  const server = await serve(async (path) => {
    const file = join(dist, normalize(path === "/" ? "/index.html" : path));
    return [types[extname(file)] ?? "application/octet-stream", await readFile(file)];
  });
  const page = await browser.newPage();
  const complaints = listen(page);
  await page.addInitScript((url) => {
    localStorage.setItem("lastConnectionType", "direct");
    localStorage.setItem("lastTransportType", "streamable-http");
    localStorage.setItem("lastSseUrl", url);
  }, options.url);
  await page.goto(server.origin);
  const name = "inspector page";
  await step(name, "connect", complaints, async () => {
    await page.getByRole("button", { name: "Connect", exact: true }).click();
    await page.getByRole("button", { name: "Disconnect" }).waitFor({ timeout: 20_000 });
  });
  await step(name, "list tools", complaints, async () => {
    await page.getByRole("tab", { name: "Tools" }).click();
    await page.getByRole("button", { name: "List Tools" }).click();
    await page.getByText(tool, { exact: true }).first().click({ timeout: 20_000 });
  });
  await step(name, "call a tool", complaints, async () => {
    await page.getByLabel("city").fill("Oslo");
    await page.getByRole("button", { name: "Run Tool" }).click();
    await page.getByText("snowing").first().waitFor({ timeout: 20_000 });
  });
  if (options.show) await page.screenshot({ path: options.show });
  await page.close();
  server.close();
}

async function step(client, name, complaints, act) {
  const line = { client, step: name, ok: true };
  try {
    await act();
  } catch (error) {
    fine = false;
    Object.assign(line, { ok: false, error: String(error.message ?? error), browser: complaints });
  }
  console.log(JSON.stringify(line));
}

/** What the browser itself complains of: above all requests that CORS stopped. */
function listen(page) {
  const complaints = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("requestfailed", (request) => complaints.push(`${request.method()} ${request.url()}: ${request.failure()?.errorText}`));
  return complaints;
}

/** A web server on a port, and so an origin, of its own. */
async function serve(file) {
  const server = createServer(async (request, response) => {
    const found = await Promise.resolve(file(new URL(request.url, "http://page").pathname)).catch(() => undefined);
    response.writeHead(found ? 200 : 404, { "Content-Type": found?.[0] ?? "text/plain" }).end(found?.[1]);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
