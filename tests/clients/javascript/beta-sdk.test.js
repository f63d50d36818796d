/**
 * `@microsoft/msgraph-beta-sdk`: its adapter, its models and the page iterator of its core.
 *
 * The SDK's fluent paths for device management are not published, so these tests write requests as
 * the SDK does itself: as a template and its parameters.
 */

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { ClientSecretCredential } from "@azure/identity";
import { HttpMethod, RequestInformation } from "@microsoft/kiota-abstractions";
import { GraphBetaRequestAdapter, createGraphBetaServiceClient } from "@microsoft/msgraph-beta-sdk";
import * as models from "@microsoft/msgraph-beta-sdk/models/index.js";
import { createODataErrorFromDiscriminatorValue } from "@microsoft/msgraph-beta-sdk/models/oDataErrors/index.js";
import { GraphAzureIdentityAuthenticationProvider, PageIterator } from "@microsoft/msgraph-sdk-core";

import { Service } from "./service.js";

const CLOUD_PCS = "{+baseurl}/deviceManagement/virtualEndpoint/cloudPCs";
const ERRORS = { XXX: createODataErrorFromDiscriminatorValue };

let office;
let adapter;

before(async () => {
  office = await Service.at(process.env.OFFICE_OF_BETA_SDK);
  const credential = new ClientSecretCredential(office.tenantId, office.clientId, office.clientSecret, {
    authorityHost: office.url,
    disableInstanceDiscovery: true,
  });
  const scopes = ["https://graph.microsoft.com/.default"];
  const hosts = new Set(["127.0.0.1"]);
  adapter = new GraphBetaRequestAdapter(
    new GraphAzureIdentityAuthenticationProvider(credential, scopes, undefined, hosts),
  );
  adapter.baseUrl = `${office.url}/beta`;
  // The constructor registers the serializers and parsers of bodies.
  createGraphBetaServiceClient(adapter);
});

function request(method, template, parameters = {}) {
  const information = new RequestInformation(method, template, { baseurl: adapter.baseUrl, ...parameters });
  information.headers.tryAdd("Accept", "application/json");
  return information;
}

async function desk(name) {
  const template = `${CLOUD_PCS}{?%24filter}`;
  const information = request(HttpMethod.GET, template, { "%24filter": `displayName eq '${name}'` });
  const page = await adapter.send(information, models.createCloudPCCollectionResponseFromDiscriminatorValue, ERRORS);
  return page.value[0];
}

test("a Cloud PC has the types of the SDK", async () => {
  const found = await desk("desk-05");
  assert.equal(found.status, models.CloudPcStatusObject.Provisioned);
  assert.ok(found.lastModifiedDateTime instanceof Date);
});

test("a remote action ends as done", async () => {
  const { id } = await desk("desk-06");
  const information = request(HttpMethod.POST, `${CLOUD_PCS}/{cloudPC%2Did}/reboot`, { "cloudPC%2Did": id });
  await adapter.sendNoResponseContent(information, ERRORS);
  await office.rest();
  const again = request(HttpMethod.GET, `${CLOUD_PCS}/{cloudPC%2Did}{?%24select}`, {
    "cloudPC%2Did": id,
    "%24select": ["id", "lastRemoteActionResult"],
  });
  const { lastRemoteActionResult } = await adapter.send(again, models.createCloudPCFromDiscriminatorValue, ERRORS);
  assert.equal(lastRemoteActionResult.actionName, "Reboot");
  assert.equal(lastRemoteActionResult.actionState, models.ActionStateObject.Done);
});

test("an error has a code that programs can read", async () => {
  const template = `${CLOUD_PCS}/{cloudPC%2Did}`;
  const information = request(HttpMethod.GET, template, { "cloudPC%2Did": "nothing" });
  await assert.rejects(adapter.send(information, models.createCloudPCFromDiscriminatorValue, ERRORS), (problem) => {
    assert.equal(problem.responseStatusCode, 404);
    assert.equal(problem.errorEscaped.code, "ResourceNotFound");
    assert.ok(problem.errorEscaped.innerError.requestId);
    return true;
  });
});

test("the page iterator collects each Cloud PC once", async () => {
  const factory = models.createCloudPCCollectionResponseFromDiscriminatorValue;
  const first = await adapter.send(request(HttpMethod.GET, `${CLOUD_PCS}{?%24top}`, { "%24top": 7 }), factory, ERRORS);
  assert.equal(first.value.length, 7);
  const ids = [];
  await new PageIterator(adapter, first, ({ id }) => ids.push(id) > 0, factory, ERRORS).iterate();
  assert.equal(new Set(ids).size, 41);
  assert.equal(ids.length, 41);
});
