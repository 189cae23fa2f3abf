// A client with the official TypeScript SDK 2.x; see peer-v2.js.

import { Client, SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

import { commandLine } from "./arguments.js";
import { makePeer } from "./peer-v2.js";
import { expectation, run } from "./steps.js";

const options = commandLine();
const transport = {
  http: () => new StreamableHTTPClientTransport(options.url),
  sse: () => new SSEClientTransport(options.url),
  stdio: () => new StdioClientTransport({ command: options.command[0], args: options.command.slice(1) }),
}[options.transport]();

const peer = makePeer(Client, transport, options.era, `typescript v2 ${options.transport} ${options.era}`);
process.exitCode = (await run(peer, expectation(options.expect))) ? 0 : 1;
