// What a browser page of another origin can do with the gateway: all steps of ../typescript/steps.js, with the official SDK.
// browser.js bundles this file and opens the page as `/?url=…&era=…&expect=…`.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

import { makePeer } from "../typescript/peer-v2.js";
import { expectation, run } from "../typescript/steps.js";

const query = new URLSearchParams(location.search);
const era = query.get("era");
const transport = new StreamableHTTPClientTransport(new URL(query.get("url")));
const fine = await run(makePeer(Client, transport, era, `browser page ${era}`), expectation(query.get("expect")));
console.log(JSON.stringify({ finished: true, fine }));
