// An authorization server of the public `oidc-provider` package, for clients of the gateway under test.
//
//     node server.js PORT
//
// Clients register themselves, or are `machine` with the secret `only-for-tests`. Tokens are JWTs for the resource that
// the client names (RFC 8707). Who signs in with any name and password, in the pages that come with the package, is
// whom they say.

import { createServer } from "node:http";
import { exportJWK, generateKeyPair } from "jose";
import Provider, { errors } from "oidc-provider";

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const scopes = ["mcp:use", "weather:measure"];

/** Every resource takes the same scopes; what is no URL of a gateway under test is none. */
function resourceServer(_context, resource) {
  if (!/^https:\/\/localhost:\d+\/mcp$/.test(resource)) throw new errors.InvalidTarget();
  const signed = { accessTokenFormat: "jwt", accessTokenTTL: 600, jwt: { sign: { alg: "ES256" } } };
  return { scope: scopes.join(" "), audience: resource, ...signed };
}

/** A client that registers names the scopes it knows of by then. It may ask for the others later, as RFC 7591 §3.2.1 lets us say. */
function mayAskForAll(_context, _key, _value, client) {
  if (client.grant_types.includes("authorization_code")) client.scope = `openid offline_access ${scopes.join(" ")}`;
}

const { privateKey } = await generateKeyPair("ES256", { extractable: true });
const provider = new Provider(issuer, {
  jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: "ES256", use: "sig", kid: "of-this-run" }] },
  scopes: ["openid", "offline_access", ...scopes],
  clientDefaults: { id_token_signed_response_alg: "ES256" },
  enabledJWA: { idTokenSigningAlgValues: ["ES256"] },
  cookies: { keys: ["only-for-tests"] },
  clients: [
    {
      client_id: "machine",
      client_secret: "only-for-tests",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
      scope: "mcp:use",
    },
  ],
  extraClientMetadata: { properties: ["is_looked_at"], validator: mayAskForAll },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    registration: { enabled: true },
    resourceIndicators: { enabled: true, getResourceServerInfo: resourceServer },
  },
});
for (const event of ["server_error", "grant.error", "authorization.error", "registration_create.error"]) {
  provider.on(event, (_context, error) => console.error(event, error.message, error.error_description ?? ""));
}
createServer(provider.callback()).listen(port, "127.0.0.1");
