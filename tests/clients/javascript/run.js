/** Starts the services, and the tests with the services' certificate authorities. */

import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { start } from "./service.js";

// Test files run concurrently, so each has its own office service.
const services = {
  OFFICE_OF_BETA_SDK: await start("office.toml"),
  OFFICE_OF_GRAPH_CLIENT: await start("office.toml"),
  OFFICE_OF_POLICIES: await start("office.toml"),
  ROLL_OUT: await start("roll-out.toml"),
};
const authorities = path.join(services.ROLL_OUT.data, "..", "authorities.pem");
writeFileSync(
  authorities,
  Object.values(services)
    .map(({ data }) => readFileSync(path.join(data, "ca.pem")))
    .join(""),
);
const environment = Object.fromEntries(Object.entries(services).map(([name, { data }]) => [name, data]));
const { status } = spawnSync(process.execPath, ["--test", "--test-reporter=spec"], {
  cwd: path.dirname(fileURLToPath(import.meta.url)),
  env: { ...process.env, ...environment, NODE_EXTRA_CA_CERTS: authorities },
  stdio: "inherit",
});
await Promise.all(Object.values(services).map(({ stop }) => stop()));
process.exit(status ?? 1);
