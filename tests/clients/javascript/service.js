/**
 * A real `cloudpc serve`, with controls for its simulated fleet.
 *
 * `run.js` starts the service, since a Node process reads its certificate authorities only when it
 * starts; the tests find the service by environment variables that `run.js` sets. This module
 * refuses to know what any test is about.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { ClientSecretCredential } from "@azure/identity";
import { Client } from "@microsoft/microsoft-graph-client";
import { TokenCredentialAuthenticationProvider } from "@microsoft/microsoft-graph-client/authProviders/azureTokenCredentials/index.js";

const CLIENTS = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const TARGET = path.resolve(process.env.CARGO_TARGET_DIR ?? path.join(CLIENTS, "../../target"));

/** Maximum number of calls until no action is open; each advances the clock for up to a minute. */
const REST_CALLS_MAX = 4;

/**
 * Starts a service with a scenario of the tests, on free ports. Returns its data directory and a
 * function that stops it.
 */
export async function start(scenario) {
  const directory = await mkdtemp(path.join(tmpdir(), "cloudpc-clients-"));
  const data = path.join(directory, "data");
  const listen = ["--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"];
  const file = path.join(CLIENTS, "scenarios", scenario);
  const child = spawn(path.join(TARGET, "debug", "cloudpc"), ["serve", "--data", data, "--scenario", file, ...listen], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const { value: firstLine } = await createInterface(child.stdout)[Symbol.asyncIterator]().next();
  if (firstLine !== "cloudpc is ready.") throw new Error(`cloudpc did not start: ${firstLine}`);
  const stop = async () => {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
    await rm(directory, { recursive: true });
  };
  return { data, stop };
}

/** Returns a `@microsoft/microsoft-graph-client` of a service's administrator. */
export function client(service) {
  const credential = new ClientSecretCredential(service.tenantId, service.clientId, service.clientSecret, {
    authorityHost: service.url,
    disableInstanceDiscovery: true,
  });
  const authProvider = new TokenCredentialAuthenticationProvider(credential, {
    scopes: ["https://graph.microsoft.com/.default"],
  });
  return Client.initWithMiddleware({
    authProvider,
    baseUrl: `${service.url}/`,
    defaultVersion: "beta",
    customHosts: new Set(["127.0.0.1"]),
  });
}

/** A client of the service with this data directory. */
export class Service {
  static async at(data) {
    return new Service(JSON.parse(await readFile(path.join(data, "admin.json"), "utf8")));
  }

  constructor(admin) {
    Object.assign(this, { url: admin.httpsUrl, ...admin });
  }

  /** Sends a request as the administrator. */
  async call(method, address, body) {
    const headers = { authorization: `Bearer ${await this.token()}`, "content-type": "application/json" };
    return fetch(this.url + address, { method, headers, body: body && JSON.stringify(body) });
  }

  /** Returns an access token of the administrator application. */
  async token() {
    const body = new URLSearchParams({
      grant_type: "client_credentials",
      client_id: this.clientId,
      client_secret: this.clientSecret,
      scope: "https://graph.microsoft.com/.default",
    });
    this.accessToken ??= (
      await (await fetch(`${this.url}/${this.tenantId}/oauth2/v2.0/token`, { method: "POST", body })).json()
    ).access_token;
    return this.accessToken;
  }

  /**
   * Advances the fleet's clock until no action is open. One call is limited, so it may take
   * several.
   */
  async rest() {
    for (let call = 0; call < REST_CALLS_MAX; call += 1) {
      const { openActions } = await (await this.call("POST", "/_cloudpc/clock/advanceToIdle")).json();
      if (openActions === 0) return;
    }
    throw new Error("some actions do not end");
  }

  /** Runs `work` while the fleet's clock is paused; afterwards waits for open actions to end. */
  async paused(work) {
    await this.call("POST", "/_cloudpc/clock/pause");
    try {
      await work();
    } finally {
      await this.call("POST", "/_cloudpc/clock/resume");
      await this.rest();
    }
  }
}
