/**
 * A real `cloudpc serve` with real machines, and its command line.
 *
 * Machines outlive their service, so this module stops them too. It refuses to know what any test
 * is about.
 */

import { execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const TARGET = path.resolve(process.env.CARGO_TARGET_DIR ?? path.join(HERE, "../../target"));
const PROGRAM = path.join(TARGET, "debug", "cloudpc");

/** Directory of the screenshots, for people to look at. */
export const PICTURES = path.join(TARGET, "tmp", "browser");

/** Time limit of a command, ms. Building the image takes longest. */
const COMMAND_TIME_MAX = 300_000;

export class Service {
  /** Builds the image, and starts a service with a scenario. */
  static async start(scenario) {
    await mkdir(PICTURES, { recursive: true });
    const service = new Service(await mkdtemp(path.join(TARGET, "tmp", "desktop-")));
    await service.run("image", "build", "desktop");
    const [file, config] = ["scenario.toml", "config.toml"].map((name) => path.join(service.directory, name));
    await writeFile(file, scenario);
    await writeFile(config, "[qemu]\naccelerator = 'tcg'\n");
    const options = ["--driver", "qemu", "--scenario", file, "--config", config, "--listen", "127.0.0.1:0", "--tls-listen", "off"];
    service.child = spawn(PROGRAM, ["serve", "--data", service.data, ...options], { stdio: ["ignore", "pipe", "inherit"] });
    service.ended = new Promise((resolve) => service.child.once("exit", resolve));
    const { value: firstLine } = await createInterface(service.child.stdout)[Symbol.asyncIterator]().next();
    if (firstLine !== "cloudpc is ready.") throw new Error(`cloudpc did not start: ${firstLine}`);
    return service;
  }

  constructor(directory) {
    this.directory = directory;
    this.data = path.join(directory, "data");
  }

  /**
   * Runs a command of the program and returns its output. Throws if the command fails.
   */
  async run(...command) {
    const words = [...command, "--data", this.data];
    const { stdout } = await promisify(execFile)(PROGRAM, words, { timeout: COMMAND_TIME_MAX });
    return stdout;
  }

  /** Stops the service gracefully. */
  async stop() {
    this.child?.kill("SIGTERM");
    await this.ended;
  }

  /** Stops the service and its machines. */
  async end() {
    await this.stop();
    const machines = path.join(this.data, "qemu", "machines");
    for (const machine of await readdir(machines).catch(() => [])) {
      const pid = await readFile(path.join(machines, machine, "pid"), "utf8").catch(() => "none");
      const commandLine = await readFile(`/proc/${pid.trim()}/cmdline`, "utf8").catch(() => "");
      // Another process may have this process id by now.
      if (commandLine.includes(machine)) killIfThere(Number(pid));
    }
    await rm(this.directory, { recursive: true });
  }
}

/** Kills a process, unless it has already exited. */
function killIfThere(pid) {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

/** Serves a text on the loopback interface; returns its URL and a function that stops it. */
export async function serveText(text) {
  const server = createServer((_, response) => response.end(text));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { address: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}
