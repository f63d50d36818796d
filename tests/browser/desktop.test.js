/** Tests the desktop of a real machine in a real browser: display, input and access control. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { chromium } from "playwright-core";

import { PICTURES, Service, serveText } from "./service.js";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS =
  "--no-sandbox --no-proxy-server --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";

/**
 * Time limit until a machine that boots under software emulation has its guest agent, network and
 * desktop, ms.
 */
const BOOT_TIME_MAX = 180_000;

/**
 * Delays between keys, ms. The keyboard buffer of a PC is small, and a busy machine may lose keys,
 * so the text is then typed again more slowly.
 */
const KEY_TIMES = [40, 150, 500];

/** Maximum number of checks for the effect of the typed text before it is typed again. */
const LOOKS_MAX = 10;

/** Wait for text that must not arrive: several times the usual delay, ms. */
const VIEW_ONLY_WAIT = 10_000;

/** Validity of a ticket, ms. */
const TICKET_TIME = 60_000;

const PARTNER = "fab00000-0000-4000-8000-00000000000a";
const TYPED = `echo "6 * 7 = $((6*7))" > /opt/Typed_by_a_browser`;

/** Script that succeeds if the guest executed exactly the typed command. */
const LOOK = `#!/bin/sh
[ "$(cat /opt/Typed_by_a_browser)" = "6 * 7 = 42" ] || { ls /opt; cat /opt/Typed_by_a_browser; exit 42; }
`;

let agent;
let service;
let browser;
let profile;
let unused;

before(async () => {
  agent = await serveText(LOOK);
  service = await Service.start(`
    [[tenants]]
    name = "Contoso"
    domain = "contoso.test"
    users = [{ name = "ada" }]
    service_plans = [{ name = "small", vcpu_count = 1, ram_gib = 1, storage_gib = 3, product = "business" }]
    gallery_images = [{ id = "cloudpc_linux_desktop", name = "Linux", size_gib = 1, os_version = "windows11" }]
    cloud_pcs = [{ name = "desk", user = "ada", service_plan = "small" }]

    [[tenants.partners]]
    partner_id = "${PARTNER}"
    enable_connection = true
    allowed_urls = ["${agent.address}"]
    agent = { url = "${agent.address}look.sh", sha256 = "${createHash("sha256").update(LOOK).digest("hex")}" }
  `);
  profile = await mkdtemp(path.join(tmpdir(), "cloudpc-browser-"));
  browser = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    headless: true,
    args: FLAGS.split(" "),
    viewport: { width: 1280, height: 800 },
  });
  const boot = path.join(PICTURES, "boot.png");
  await until("the machine runs", () => service.run("screenshot", "desk", boot).then(() => true, () => false));
  unused = { address: await ticket(), issued: Date.now() };
});

after(async () => {
  await browser?.close();
  await service?.end();
  agent?.close();
  if (profile) await rm(profile, { recursive: true, maxRetries: 10, retryDelay: 100 });
});

test("the desktop is shown, and its input reaches the guest", async () => {
  const page = await open(await ticket());
  await until("the desktop is painted", async () => isPainted(await colours(page)));
  await page.screenshot({ path: path.join(PICTURES, "painted.png") });
  const before = await textInTerminal(page);

  await page.mouse.click(400, 400);
  let carriedOut = false;
  for (const keyTime of KEY_TIMES) {
    await type(page, TYPED, keyTime);
    await page.screenshot({ path: path.join(PICTURES, "typed.png") });
    await until("the command is seen", async () => (await textInTerminal(page)) > before * 1.2);
    await page.keyboard.press("Enter");
    for (let look = 0; look < LOOKS_MAX && !carriedOut; look += 1) carriedOut = await isCarriedOut();
    if (carriedOut) break;
    await page.keyboard.press("Control+c");
  }
  assert.ok(carriedOut, "the guest has carried it out");
  await service.run("screenshot", "desk", path.join(PICTURES, "screenshot.png"));
  await page.close();
});

test("a caller with read permission sees the desktop, and their input is dropped", async () => {
  // Disables the page's own view-only mode, so that only the service can drop the input.
  const sendEverything = async (route) => {
    const response = await route.fetch();
    const script = await response.text();
    assert.match(script, /rfb\.viewOnly = viewOnly;/);
    await route.fulfill({ response, body: script.replace("rfb.viewOnly = viewOnly;", "rfb.viewOnly = false;") });
  };
  const page = await open(await viewerTicket(), sendEverything);
  assert.match(await page.innerText("#state"), /View only/);
  await until("the desktop is painted", async () => isPainted(await colours(page)));
  const before = await textInTerminal(page);
  await page.mouse.click(400, 400);
  await type(page, TYPED, KEY_TIMES[0]);
  await sleep(VIEW_ONLY_WAIT);
  await page.screenshot({ path: path.join(PICTURES, "view-only.png") });
  assert.ok((await textInTerminal(page)) < before * 1.1, "nothing is seen in the terminal");
  await page.close();
});

test("a URL is single-use", async () => {
  const address = await ticket();
  const first = await open(address);
  const second = await browser.newPage();
  const answer = await second.goto(address);
  assert.equal(answer.status(), 403);
  assert.match(await second.innerText("#state"), /already opened/);
  await second.screenshot({ path: path.join(PICTURES, "refused.png") });
  await first.close();
  await second.close();
});

test("an unknown URL is refused", async () => {
  const address = await ticket();
  const page = await browser.newPage();
  for (const forged of [`${address}x`, address.replace(/.$/, (last) => (last === "A" ? "B" : "A"))]) {
    assert.equal((await page.goto(forged)).status(), 403);
  }
  await page.close();
});

test("another page cannot connect to the screen", async () => {
  const mine = await open(await ticket());
  const other = await open(await ticket());
  // The page's ticket is used up by its own connection, even for pages of the same browser.
  assert.equal(await connects(other, `${mine.url()}/screen`), false);
  const stranger = await browser.newPage();
  await stranger.goto("data:text/html,elsewhere");
  assert.equal(await connects(stranger, `${mine.url()}/screen`), false);
  await Promise.all([mine.close(), other.close(), stranger.close()]);
});

test("an expired URL is refused", async () => {
  await sleep(Math.max(0, unused.issued + TICKET_TIME + 1000 - Date.now()));
  const page = await browser.newPage();
  assert.equal((await page.goto(unused.address)).status(), 403);
  await page.close();
});

test("the page reports when the service stops", async () => {
  const page = await open(await ticket());
  await service.stop();
  await page.waitForFunction(() => document.body.dataset.state === "ended", null, { timeout: 30_000 });
  assert.match(await page.innerText("#state"), /connection has ended/);
  await page.close();
});

/** Returns a new URL of the desktop. */
async function ticket() {
  return (await service.run("open", "desk", "--print")).trim();
}

/** Returns a new URL of the desktop, issued to an application with read permission only. */
async function viewerTicket() {
  const created = await service.run("app", "create", "--name", "viewer", "--permission", "CloudPC.Read.All", "-o", "json");
  const { tenantId, clientId, clientSecret } = JSON.parse(created);
  const { origin } = new URL(await ticket());
  const form = { grant_type: "client_credentials", client_id: clientId, client_secret: clientSecret, scope: "https://graph.microsoft.com/.default" };
  const signedIn = await fetch(`${origin}/${tenantId}/oauth2/v2.0/token`, { method: "POST", body: new URLSearchParams(form) });
  const headers = { authorization: `Bearer ${(await signedIn.json()).access_token}` };
  const cloudPcs = `${origin}/beta/deviceManagement/virtualEndpoint/cloudPCs`;
  const { value } = await (await fetch(cloudPcs, { headers })).json();
  const launch = await fetch(`${cloudPcs}/${value[0].id}/retrieveCloudPcLaunchDetail`, { headers });
  return (await launch.json()).cloudPcLaunchUrl;
}

/** Opens a page that shows the desktop; `changeScript` may replace its script. */
async function open(address, changeScript) {
  const page = await browser.newPage();
  if (changeScript) await page.route("**/desktop/page.js", changeScript);
  const answer = await page.goto(address);
  assert.equal(answer.status(), 200, await page.innerText("body"));
  await page.waitForFunction(() => document.body.dataset.state === "connected", null, { timeout: 30_000 });
  return page;
}

/** Polls until the condition holds. */
async function until(what, isSo) {
  for (const end = Date.now() + BOOT_TIME_MAX; Date.now() < end; await sleep(500)) if (await isSo()) return;
  throw new Error(`timed out after ${BOOT_TIME_MAX / 1000} s waiting for: ${what}`);
}

/**
 * Returns the shares of the screen, or of an area of it, that have the colours of the desktop, of
 * the terminal, and of text in it.
 */
async function colours(page, area) {
  return page.evaluate((area) => {
    const canvas = document.querySelector("#screen canvas");
    const { data } = canvas.getContext("2d").getImageData(...(area ?? [0, 0, canvas.width, canvas.height]));
    const like = (r, g, b) => {
      let count = 0;
      for (let at = 0; at < data.length; at += 4) {
        const far = Math.abs(data[at] - r) + Math.abs(data[at + 1] - g) + Math.abs(data[at + 2] - b);
        if (far < 24) count += 1;
      }
      return count / (data.length / 4);
    };
    const size = [canvas.width, canvas.height];
    return { size, desktop: like(0x1f, 0x3a, 0x5f), terminal: like(0x10, 0x14, 0x18), light: like(0xe8, 0xe8, 0xe8) };
  }, area);
}

/** Returns the share of the terminal that is not background. */
async function textInTerminal(page) {
  return 1 - (await colours(page, [50, 80, 690, 450])).terminal;
}

function isPainted({ size, desktop, terminal, light }) {
  return size.join() === "1280,800" && desktop > 0.3 && terminal > 0.2 && light > 0.0005;
}

/** Returns whether the guest has executed the command. */
async function isCarriedOut() {
  const deployed = await service.run("partner", "deploy", PARTNER, "desk", "--wait", "-o", "json").catch((error) => error.stdout);
  const [{ state, errorMessage }] = JSON.parse(deployed);
  if (state === "succeeded") return true;
  console.log(errorMessage);
  await sleep(500);
  return false;
}

/**
 * Types on a US keyboard. The protocol sends keys rather than characters, so Shift is a key too.
 */
async function type(page, text, keyTime) {
  for (const letter of text) {
    await sleep(keyTime);
    const shifted = /[A-Z"$()*>_]/.test(letter);
    if (shifted) await page.keyboard.down("Shift");
    await page.keyboard.press(letter === " " ? "Space" : letter);
    if (shifted) await page.keyboard.up("Shift");
  }
}

/** Returns whether a page can connect to a screen. */
async function connects(page, address) {
  return page.evaluate(
    (url) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url);
        socket.onopen = () => resolve(true);
        socket.onerror = () => resolve(false);
      }),
    address.replace(/^http/, "ws"),
  );
}
