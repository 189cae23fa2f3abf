// Lets the suite be a client of an older revision than it is by itself. Loaded into it with `node --import`.
//
// Its client, the official TypeScript SDK, opens with the newest stateful revision whatever --spec-version says (that only
// chooses scenarios and schemas), and it has hardly a scenario for 2025-03-26, although most of those it has from 2025-06-18
// on test what was there before. Here the SDK opens with $CLIENT_REVISION, and scenarios of 2025-06-18 count from
// 2025-03-26 on, but for elicitation, which came with 2025-06-18.

import { registerHooks } from "node:module";

const revision = process.env.CLIENT_REVISION;
const rewritten = [
  ["/sdk/dist/esm/types.js", /(?<=LATEST_PROTOCOL_VERSION = ')[^']+/, revision],
  ["/conformance/dist/index.js", /(?<=introducedIn:`)(?<!elicitation`,this\.source=\{introducedIn:`)2025-06-18/g, "2025-03-26"],
];

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context);
    for (const [file, pattern, replacement] of rewritten) {
      if (url.endsWith(file)) {
        const source = String(loaded.source);
        const changed = source.replace(pattern, replacement);
        if (changed === source) throw new Error(`nothing to rewrite in ${url}`);
        loaded.source = changed;
      }
    }
    return loaded;
  },
});
