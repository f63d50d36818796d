/**
 * `@microsoft/microsoft-graph-client`: Cloud PCs, their remote actions and a partner's roll-out.
 */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, test } from "node:test";

import {
  BatchRequestContent,
  BatchResponseContent,
  GraphError,
  PageIterator,
} from "@microsoft/microsoft-graph-client";

import { Service, client } from "./service.js";

const ENDPOINT = "/deviceManagement/virtualEndpoint";
const PARTNER = "0ff1ce00-0000-4000-8000-00000000fab1";
const SHA256 = "5f0c5d7f0d1c3d7a86f9f1b1f7a0cf0e6a3f9d3c5b7e2a4418c6d0e9b2f5a713";

let office;
let graph;

before(async () => {
  office = await Service.at(process.env.OFFICE_OF_GRAPH_CLIENT);
  graph = client(office);
});

async function desk(name) {
  const found = await graph.api(`${ENDPOINT}/cloudPCs`).filter(`displayName eq '${name}'`).get();
  return found.value[0];
}

async function actions(id) {
  const results = await graph.api(`${ENDPOINT}/cloudPCs/${id}/retrieveCloudPCRemoteActionResults`).get();
  return results.value.map(({ actionName, actionState }) => [actionName, actionState]);
}

test("Cloud PCs are listed, selected, ordered and counted", async () => {
  const page = await graph
    .api(`${ENDPOINT}/cloudPCs`)
    .select(["id", "displayName"])
    .filter("startswith(displayName,'desk-3')")
    .orderby("displayName desc")
    .top(3)
    .count(true)
    .get();
  assert.deepEqual(
    page.value.map(({ displayName }) => displayName),
    ["desk-39", "desk-38", "desk-37"],
  );
  assert.equal(page["@odata.count"], 10);
  assert.equal(await graph.api(`${ENDPOINT}/cloudPCs/$count`).get(), "41");
});

test("v1.0 has fewer properties", async () => {
  const { id } = await desk("desk-01");
  const found = await graph.api(`${ENDPOINT}/cloudPCs/${id}`).version("v1.0").get();
  assert.equal(found.displayName, "desk-01");
  assert.ok(!("status" in found));
});

test("a reprovision ends as done, and a second one is refused", async () => {
  const { id, managedDeviceId, status } = await desk("desk-02");
  assert.equal(status, "provisioned");
  await office.paused(async () => {
    assert.equal(
      await graph.api(`/deviceManagement/managedDevices/${managedDeviceId}/reprovisionCloudPc`).post(undefined),
      undefined,
    );
    await assert.rejects(graph.api(`${ENDPOINT}/cloudPCs/${id}/reprovision`).post({}), (error) => {
      assert.ok(error instanceof GraphError);
      assert.deepEqual([error.statusCode, error.code], [409, "remoteActionInProgress"]);
      assert.match(error.message, /reprovision/);
      assert.ok(error.requestId);
      return true;
    });
  });
  assert.deepEqual(await actions(id), [["Reprovision", "done"]]);
  const results = await graph
    .api(`/deviceManagement/managedDevices/${managedDeviceId}/getCloudPcRemoteActionResults`)
    .get();
  assert.equal(results.value[0].cloudPcId, id);
});

test("the other remote actions", async () => {
  const { id } = await desk("desk-03");
  const of = (action) => graph.api(`${ENDPOINT}/cloudPCs/${id}/${action}`);
  for (const [action, body, name] of [
    ["reboot", undefined, "Reboot"],
    ["powerOff", undefined, "CloudPcPowerOff"],
    ["powerOn", undefined, "CloudPcPowerOn"],
    ["troubleshoot", undefined, "Troubleshoot"],
    ["createSnapshot", {}, "CreateSnapshot"],
    ["rename", { displayName: "the corner office" }, "Rename"],
    ["resize", { targetServicePlanId: "0ff1ce00-0000-4000-8000-0000000000c2" }, "Resize"],
  ]) {
    await of(action).post(body);
    await office.rest();
    assert.deepEqual((await actions(id))[0], [name, "done"]);
  }
  const [snapshot] = (await of("retrieveSnapshots").get()).value;
  await of("restore").post({ cloudPcSnapshotId: snapshot.id });
  await office.rest();
  assert.deepEqual((await actions(id))[0], ["Restore", "done"]);
  assert.equal((await graph.api(`${ENDPOINT}/cloudPCs/${id}`).get()).displayName, "the corner office");
});

test("a partner is created, configured, deploys, reports and is deleted", async () => {
  const { id: cloudPcId } = await desk("desk-04");
  const created = await graph
    .api(`${ENDPOINT}/externalPartners`)
    .post({ partnerId: randomUUID(), enableConnection: true });
  const of = (rest = "") => graph.api(`${ENDPOINT}/externalPartners/${created.id}${rest}`);
  await of("/configureAgent").post({
    agentSetting: {
      agentUrl: "https://agents.fabrikam.test/agent.msi",
      agentSha256: SHA256,
      installParameters: ["/quiet"],
      autoDeploymentEnabled: true,
    },
  });
  const { value: activityId } = await of("/deployAgent").post({ cloudPcIds: [cloudPcId, "nothing"] });
  await office.rest();
  const results = await of(`/retrieveDeployAgentActionResults(activityId='${activityId}',cloudPcId='')`).get();
  assert.deepEqual(
    results.value.map(({ cloudPcId, state, errorCode }) => [cloudPcId, state, errorCode]),
    [
      [cloudPcId, "succeeded", "none"],
      ["nothing", "canceled", "deviceNotFound"],
    ],
  );
  const reports = await of("/retrieveActionReports").get();
  assert.deepEqual(reports.value.map(({ actionType }) => actionType).sort(), [
    "configureAgent",
    "deployAgent",
    "deployAgent",
  ]);

  await graph.api(`${ENDPOINT}/cloudPCs/${cloudPcId}/reprovision`).post({});
  await office.rest();
  const after = await of(`/retrieveDeployAgentActionResults(activityId='',cloudPcId='${cloudPcId}')`).get();
  assert.deepEqual(
    after.value.map(({ state }) => state),
    ["succeeded", "succeeded"],
  );
  assert.notEqual(after.value[1].activityId, activityId);

  assert.equal((await of().patch({ enableConnection: false })).connectionStatus, "notAvailable");
  await of().delete();
  await assert.rejects(of().get(), { statusCode: 404, code: "ResourceNotFound" });
});

test("a batch of several requests", async () => {
  const { id } = await desk("desk-08");
  const request = (id, address, init) => ({ id, request: new Request(`${office.url}${address}`, init) });
  const content = new BatchRequestContent([
    request("one", `${ENDPOINT}/cloudPCs/${id}?$select=displayName`),
    request("nobody", `${ENDPOINT}/cloudPCs/nobody`),
    request("rename", `${ENDPOINT}/cloudPCs/${id}/rename`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ displayName: "desk-08" }),
    }),
  ]);
  const answer = new BatchResponseContent(await graph.api("/$batch").post(await content.getContent()));
  assert.equal((await answer.getResponseById("one").json()).displayName, "desk-08");
  assert.equal((await answer.getResponseById("nobody").json()).error.code, "ResourceNotFound");
  assert.equal(answer.getResponseById("rename").status, 204);
  await office.rest();
});

test("the page iterator collects each result once while more arrive", async () => {
  const rollOut = await Service.at(process.env.ROLL_OUT);
  const graph = client(rollOut);
  const partner = `${ENDPOINT}/externalPartners/${PARTNER}`;
  const cloudPcIds = (await graph.api(`${ENDPOINT}/cloudPCs`).select("id").top(50).get()).value.map(({ id }) => id);
  const deploy = async () => (await graph.api(`${partner}/deployAgent`).post({ cloudPcIds })).value;

  const asked = [];
  while (asked.length < 500) {
    const activityId = await deploy();
    asked.push(...cloudPcIds.map((id) => `${activityId} ${id}`));
  }
  await rollOut.rest();
  const collected = [];
  const arriving = [];
  const first = await graph.api(`${partner}/retrieveDeployAgentActionResults`).get();
  const iterator = new PageIterator(graph, first, ({ activityId, cloudPcId, state }) => {
    assert.equal(state, "succeeded");
    collected.push(`${activityId} ${cloudPcId}`);
    if (collected.length % 100 === 50) arriving.push(deploy());
    return true;
  });
  await iterator.iterate();
  assert.deepEqual(collected, asked);
  assert.equal(new Set(await Promise.all(arriving)).size, 5);
});
