// The command line both clients understand.

import { parseArgs } from "node:util";

/** {transport: "http" | "sse" | "stdio", url?, command?, expect, era} */
export function commandLine() {
  const { values, positionals } = parseArgs({
    options: {
      url: { type: "string" },
      sse: { type: "string" },
      stdio: { type: "boolean", default: false },
      era: { type: "string", default: "auto" },
      expect: { type: "string", default: "fleet" },
    },
    allowPositionals: true,
  });
  if (values.stdio && positionals.length > 0) return { ...values, transport: "stdio", command: positionals };
  if (values.sse) return { ...values, transport: "sse", url: new URL(values.sse) };
  if (values.url) return { ...values, transport: "http", url: new URL(values.url) };
  console.error("usage: sdk-vN.js [--expect fleet|notes|weather] [--era auto|stateful|stateless] (--url URL | --sse URL | --stdio -- COMMAND ARGUMENT…)");
  process.exit(2);
}
