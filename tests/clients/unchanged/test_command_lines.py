"""The Azure CLI and the CLI for Microsoft 365, with no option that names a host."""

import json

from packages import AZURE_CLI, M365

CLOUD_PCS = "https://graph.microsoft.com/beta/deviceManagement/virtualEndpoint/cloudPCs"


def test_the_azure_cli(tools):
    tenant, client, secret = tools.credentials
    sign_in = ["login", "--service-principal", "--username", client, "--password", secret, "--tenant", tenant]
    tools.run(AZURE_CLI, *sign_in, "--allow-no-subscriptions")
    page = json.loads(tools.run(AZURE_CLI, "rest", "--url", f"{CLOUD_PCS}?$top=1&$select=id"))
    address = f"{CLOUD_PCS}/{page['value'][0]['id']}"
    tools.run(AZURE_CLI, "rest", "--method", "post", "--url", f"{address}/reprovision", "--body", "{}")
    results = tools.run(AZURE_CLI, "rest", "--url", f"{address}/retrieveCloudPCRemoteActionResults()")
    assert json.loads(results)["value"][0]["actionName"] == "Reprovision"
    token = json.loads(tools.run(AZURE_CLI, "account", "get-access-token", "--resource-type", "ms-graph"))
    assert token["tenant"] == tenant


def test_the_cli_for_microsoft_365(tools):
    tenant, client, secret = tools.credentials
    sign_in = ["login", "--authType", "secret", "--appId", client, "--secret", secret, "--tenant", tenant]
    tools.run(M365, *sign_in)
    page = json.loads(tools.run(M365, "request", "--url", f"{CLOUD_PCS}?$top=1"))
    assert page["@odata.nextLink"].startswith(CLOUD_PCS)
