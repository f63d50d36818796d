/**
 * `@microsoft/microsoft-graph-client`: provisioning policies, user settings, the directory, and the
 * life of a Cloud PC that they decide.
 */

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { PageIterator } from "@microsoft/microsoft-graph-client";

import { Service, client } from "./service.js";

const ENDPOINT = "/deviceManagement/virtualEndpoint";
const GROUP = "0ff1ce00-0000-4000-8000-0000000000f1";
const IMAGE = "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc";
const JOIN = { domainJoinType: "azureADJoin", regionName: "automatic", regionGroup: "usWest" };
const GONE = { statusCode: 404, code: "ResourceNotFound" };

/** Maximum number of looks at something that does not depend on the fleet's clock. */
const LOOKS_MAX = 1_000;

let office;
let graph;

before(async () => {
  office = await Service.at(process.env.OFFICE_OF_POLICIES);
  graph = client(office);
});

const target = (groupId = GROUP) => ({
  target: { "@odata.type": "#microsoft.graph.cloudPcManagementGroupAssignmentTarget", groupId },
});
const ids = ({ value }) => value.map(({ id }) => id);
const reference = (user) => ({ "@odata.id": `${office.url}/v1.0/directoryObjects/${user.id}` });

/** Looks until the answer is the expected one, with the fleet at rest before each look. */
async function eventually(look, expected) {
  for (let looks = 0; looks < LOOKS_MAX; looks += 1) {
    await office.rest();
    if ((await look()) === expected) return;
  }
  assert.equal(await look(), expected);
}

for (const [collection, body, changes] of [
  ["provisioningPolicies", { imageId: IMAGE, domainJoinConfigurations: [JOIN] }, { description: "changed" }],
  ["userSettings", {}, { resetEnabled: true }],
]) {
  test(`${collection} from creation to deletion`, async () => {
    const all = `${ENDPOINT}/${collection}`;
    const counted = await graph.api(`${all}/$count`).get();
    const created = await graph.api(all).post({ displayName: "From JavaScript", ...body });
    const one = (rest = "") => graph.api(`${all}/${created.id}${rest}`);
    assert.equal((await one().get()).displayName, "From JavaScript");
    assert.deepEqual(ids(await graph.api(all).filter("displayName eq 'From JavaScript'").get()), [created.id]);
    const [[name, value]] = Object.entries(changes);
    assert.equal((await one().patch(changes))[name], value);
    assert.equal((await one().get())[name], value);

    await one("/assign").post({ assignments: [target()] });
    const { assignments } = await one().expand("assignments").get();
    assert.deepEqual(
      assignments.map((assignment) => assignment.target.groupId),
      [GROUP],
    );
    assert.deepEqual(ids(await one("/assignments").get()), ids({ value: assignments }));
    const assignment = (rest = "") => one(`/assignments/${assignments[0].id}${rest}`);
    assert.equal((await assignment().get()).target.groupId, GROUP);
    assert.equal((await assignment().patch(target())).id, assignments[0].id);
    await assignment().delete();
    assert.equal(await one("/assignments/$count").get(), "0");
    assert.equal((await one("/assignments").post(target())).target.groupId, GROUP);

    await one("/assign").post({ assignments: [] });
    await one().delete();
    await assert.rejects(one().get(), GONE);
    await assert.rejects(one().delete(), GONE);
    assert.equal(await graph.api(`${all}/$count`).get(), counted);
  });
}

test("organization settings are read and changed", async () => {
  const settings = () => graph.api(`${ENDPOINT}/organizationSettings`);
  assert.equal((await settings().get()).enableSingleSignOn, false);
  assert.equal((await settings().patch({ enableSingleSignOn: true })).enableSingleSignOn, true);
  assert.equal((await settings().get()).enableSingleSignOn, true);
});

test("supported regions are listed, filtered and counted", async () => {
  const regions = `${ENDPOINT}/supportedRegions`;
  const west = await graph.api(regions).filter("displayName eq 'westeurope' and supportedSolution eq 'windows365'").get();
  assert.equal(west.value.length, 1);
  assert.equal((await graph.api(`${regions}/${west.value[0].id}`).get()).displayName, "westeurope");
  const all = await graph.api(regions).top(999).get();
  assert.equal(await graph.api(`${regions}/$count`).get(), `${all.value.length}`);
});

test("a user, their group and their licences give them a Cloud PC and take it away", async () => {
  const users = await graph.api("/users/$count").get();
  const user = await graph.api("/users").post({
    accountEnabled: true,
    displayName: "New hire",
    mailNickname: "hire",
    userPrincipalName: "hire@contoso.test",
    passwordProfile: { password: "correct horse battery" },
  });
  const person = (rest = "") => graph.api(`/users/${user.id}${rest}`);
  await person().patch({ department: "Computing" });
  assert.equal((await person().select("department").get()).department, "Computing");
  assert.deepEqual(ids(await graph.api("/users").filter("userPrincipalName eq 'hire@contoso.test'").get()), [user.id]);
  assert.equal(await graph.api("/users/$count").get(), `${Number(users) + 1}`);

  const team = await graph
    .api("/groups")
    .post({ displayName: "Team", mailEnabled: false, mailNickname: "team", securityEnabled: true });
  const group = (rest = "") => graph.api(`/groups/${team.id}${rest}`);
  await group().patch({ description: "New hires" });
  assert.equal((await group().get()).description, "New hires");
  assert.deepEqual(ids(await graph.api("/groups").filter("displayName eq 'Team'").get()), [team.id]);
  await group("/members/$ref").post(reference(user));
  const members = await group("/members").get();
  assert.deepEqual(ids(members), [user.id]);
  assert.equal(members.value[0]["@odata.type"], "#microsoft.graph.user");
  assert.equal(await group("/members/$count").get(), "1");
  assert.deepEqual(ids(await person("/memberOf").get()), [team.id]);

  const policy = await graph
    .api(`${ENDPOINT}/provisioningPolicies`)
    .post({ displayName: "New hires", imageId: IMAGE, domainJoinConfigurations: [JOIN] });
  const one = (rest = "") => graph.api(`${ENDPOINT}/provisioningPolicies/${policy.id}${rest}`);
  await one("/assign").post({ assignments: [target(team.id)] });
  const [assignment] = ids(await one("/assignments").get());
  const assigned = `/assignments/${assignment}/assignedUsers`;
  assert.deepEqual(ids(await one(assigned).get()), [user.id]);
  assert.equal(await one(`${assigned}/$count`).get(), "1");
  assert.equal((await one(`${assigned}/${user.id}`).get()).displayName, "New hire");
  assert.equal((await one(`${assigned}(userPrincipalName='hire@contoso.test')`).get()).id, user.id);

  const { value: skus } = await graph.api("/subscribedSkus").get();
  const { id: key, skuId } = skus.find(({ skuPartNumber }) => skuPartNumber === "CPC_B_2C_8RAM_128GB");
  const add = { addLicenses: [{ skuId, disabledPlans: [] }], removeLicenses: [] };
  const remove = { addLicenses: [], removeLicenses: [skuId] };
  const cloudPcs = async () =>
    (await graph.api(`${ENDPOINT}/cloudPCs`).filter(`provisioningPolicyId eq '${policy.id}'`).get()).value;
  const statuses = async () => (await cloudPcs()).map(({ status }) => status).join();

  // A licence of one's own.
  await person("/assignLicense").post(add);
  assert.deepEqual(
    (await person("/licenseDetails").get()).value.map(({ skuPartNumber }) => skuPartNumber),
    ["CPC_B_2C_8RAM_128GB"],
  );
  assert.equal((await graph.api(`/subscribedSkus/${key}`).get()).consumedUnits, 1);
  await eventually(statuses, "provisioned");
  const [{ id }] = await cloudPcs();
  const endGracePeriod = () => graph.api(`${ENDPOINT}/cloudPCs/${id}/endGracePeriod`).post(undefined);
  await assert.rejects(endGracePeriod(), { statusCode: 409, code: "notInGracePeriod" });

  // The same licence through the group.
  await person("/assignLicense").post(remove);
  await eventually(statuses, "inGracePeriod");
  await group("/assignLicense").post(add);
  await eventually(statuses, "provisioned");
  assert.deepEqual(ids({ value: await cloudPcs() }), [id]);
  await group(`/members/${user.id}/$ref`).delete();
  await eventually(statuses, "inGracePeriod");
  await endGracePeriod();
  await eventually(statuses, "");

  await one("/retry").post(undefined);
  await one("/assign").post({ assignments: [] });
  for (const entity of [one, group, person]) {
    await entity().delete();
    await assert.rejects(entity().get(), GONE);
    await assert.rejects(entity().delete(), GONE);
  }
});

test("members of a group get seats of a frontline service plan", async () => {
  const plans = `${ENDPOINT}/frontLineServicePlans`;
  const [plan] = (await graph.api(plans).get()).value;
  assert.deepEqual([plan.totalCount, plan.usedCount, plan.allotmentLicensesCount], [2, 0, 0]);
  assert.equal(await graph.api(`${plans}/$count`).get(), "1");

  const team = await graph
    .api("/groups")
    .post({ displayName: "Shift", mailEnabled: false, mailNickname: "shift", securityEnabled: true });
  for (const name of ["ada", "alan"]) {
    const user = await graph.api(`/users/${name}@contoso.test`).get();
    await graph.api(`/groups/${team.id}/members/$ref`).post(reference(user));
  }
  const policy = await graph.api(`${ENDPOINT}/provisioningPolicies`).post({
    displayName: "Shift",
    imageId: IMAGE,
    domainJoinConfigurations: [JOIN],
    provisioningType: "sharedByUser",
  });
  const one = (rest = "") => graph.api(`${ENDPOINT}/provisioningPolicies/${policy.id}${rest}`);
  const { target: seats } = target(team.id);
  Object.assign(seats, { servicePlanId: plan.id, allotmentLicensesCount: 1 });
  await one("/assign").post({ assignments: [{ target: seats }] });
  const seated = async () => {
    const filter = `provisioningPolicyId eq '${policy.id}' and status eq 'provisioned'`;
    const found = await graph.api(`${ENDPOINT}/cloudPCs`).filter(filter).orderby("userPrincipalName").get();
    return found.value.map(({ userPrincipalName, servicePlanId }) => `${userPrincipalName} ${servicePlanId}`).join();
  };
  await eventually(seated, `ada@contoso.test ${plan.id},alan@contoso.test ${plan.id}`);
  const used = await graph.api(`${plans}/${plan.id}`).get();
  // A licence is in use while a Cloud PC is started.
  assert.deepEqual([used.totalCount, used.usedCount, used.allotmentLicensesCount], [2, 0, 1]);

  await one("/assign").post({ assignments: [] });
  await one().delete();
  await graph.api(`/groups/${team.id}`).delete();
});

test("the page iterator sees every match of a filter", async () => {
  const rollOut = client(await Service.at(process.env.ROLL_OUT));
  for (const [filter, matches] of [
    ["startswith(displayName,'nw-0')", 999],
    ["contains(tolower(displayName),'NW-1')", 0],
    ["contains(tolower(displayName),'nw-1')", 235],
    ["endswith(displayName,'7')", 123],
    ["status eq 'provisioned' and not startswith(displayName,'nw-00')", 1_135],
  ]) {
    const names = [];
    const first = await rollOut.api(`${ENDPOINT}/cloudPCs`).filter(filter).select("displayName").count(true).get();
    assert.equal(first["@odata.count"], matches, filter);
    await new PageIterator(rollOut, first, ({ displayName }) => names.push(displayName) > 0).iterate();
    assert.equal(names.length, matches, filter);
    assert.equal(new Set(names).size, matches, filter);
  }
});
