"""The official SDKs, azure-identity and MSAL, each with what it does by default."""

import shutil
import subprocess
import sys

from packages import GO, GO_MODULE, JAVA_PACKAGES, NODE_PACKAGES

# Time limit of a compilation, seconds.
COMPILE_TIME_MAX = 300

PYTHON_SDK = """
import asyncio, sys
from azure.identity import ClientSecretCredential
from msgraph_beta import GraphServiceClient

graph = GraphServiceClient(ClientSecretCredential(*sys.argv[1:]), ["https://graph.microsoft.com/.default"])
print(len(asyncio.run(graph.device_management.virtual_endpoint.cloud_p_cs.get()).value))
"""

PYTHON_CERTIFICATE = """
import sys
from azure.identity import CertificateCredential

credential = CertificateCredential(*sys.argv[1:3], certificate_path=sys.argv[3])
print(len(credential.get_token("https://graph.microsoft.com/.default").token.split(".")))
"""

# MSAL and azure-identity open the browser that the variable BROWSER names.
PYTHON_INTERACTIVE = """
import msal, requests
from azure.identity import InteractiveBrowserCredential

def call(token):
    answer = requests.get("https://graph.microsoft.com/beta/me/cloudPCs", headers={"Authorization": f"Bearer {token}"})
    print(answer.status_code)

scopes = ["https://graph.microsoft.com/.default"]
call(InteractiveBrowserCredential().get_token(*scopes).token)
application = msal.PublicClientApplication("04b07795-8ddb-461a-bbee-02f9e1bf7b46")
answer = application.acquire_token_interactive(scopes)
call(answer["access_token"])
"""

# A browser without a screen: signs in, and follows the redirect or sends the form to the program.
BROWSER = """#!{python}
import re, sys, html, requests

browser = requests.Session()
browser.trust_env = False
page = browser.get(sys.argv[1])
while form := re.search(r'<form method="post" action="([^"]*)">', page.text):
    fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text)
    fields = {{name: html.unescape(value) for name, value in fields}}
    if "form_token" in fields:
        fields |= {{"user_name": "ada@contoso.test", "password": "tests-only-ada"}}
    page = browser.post(requests.compat.urljoin(page.url, html.unescape(form[1])), data=fields)
"""

JAVASCRIPT = """
import https from "node:https";
import { ClientSecretCredential } from "@azure/identity";
import { Client } from "@microsoft/microsoft-graph-client";
import azure from "@microsoft/microsoft-graph-client/authProviders/azureTokenCredentials/index.js";

const credential = new ClientSecretCredential(...process.argv.slice(2));
const scopes = ["https://graph.microsoft.com/.default"];
const authProvider = new azure.TokenCredentialAuthenticationProvider(credential, { scopes });
const graph = Client.initWithMiddleware({ authProvider, defaultVersion: "beta" });
const page = await graph.api("/deviceManagement/virtualEndpoint/cloudPCs").get();
console.log(page.value.length);
console.log((await fetch("https://graph.microsoft.com/v1.0/me")).status);
https.get("https://graph.microsoft.com/v1.0/me", (answer) => console.log(answer.resume().statusCode));
"""

GO_PROGRAM = """
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	credential, err := azidentity.NewClientSecretCredential(os.Args[1], os.Args[2], os.Args[3], nil)
	check(err)
	scopes := []string{"https://graph.microsoft.com/.default"}
	token, err := credential.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: scopes})
	check(err)
	address := "https://graph.microsoft.com/v1.0/deviceManagement/virtualEndpoint/cloudPCs"
	request, err := http.NewRequest("GET", address, nil)
	check(err)
	request.Header.Set("Authorization", "Bearer "+token.Token)
	answer, err := http.DefaultClient.Do(request)
	check(err)
	fmt.Println(answer.StatusCode)
}
"""

JAVA = """
import com.azure.identity.ClientSecretCredentialBuilder;
import com.microsoft.graph.beta.serviceclient.GraphServiceClient;

public class CloudPcs {
    public static void main(String[] arguments) {
        var credential = new ClientSecretCredentialBuilder()
                .tenantId(arguments[0]).clientId(arguments[1]).clientSecret(arguments[2]).build();
        var graph = new GraphServiceClient(credential, "https://graph.microsoft.com/.default");
        System.out.println(graph.deviceManagement().virtualEndpoint().cloudPCs().get().getValue().size());
    }
}
"""


def test_python(tools):
    assert tools.python(PYTHON_SDK, *tools.credentials) == "41\n"


def test_python_with_a_certificate(tools, office):
    files = ["-keyout", "key.pem", "-out", "certificate.pem"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ci", *files]
    subprocess.run(command, cwd=tools.home, check=True, capture_output=True)
    certificate = (tools.home / "certificate.pem").read_text()
    both = tools.home / "both.pem"
    both.write_text((tools.home / "key.pem").read_text() + certificate)
    body = {"name": "ci", "permissions": ["CloudPC.Read.All"], "certificate": certificate}
    created = office.call("POST", "/_cloudpc/apps", body)
    assert created.status == 201, created
    assert tools.python(PYTHON_CERTIFICATE, office.tenant_id, created.json()["clientId"], both) == "3\n"


def test_a_person_signs_in_with_a_browser(tools):
    browser = tools.home / "browser"
    browser.write_text(BROWSER.format(python=sys.executable))
    browser.chmod(0o700)
    assert tools.python(PYTHON_INTERACTIVE, BROWSER=browser) == "200\n" * 2


def test_javascript(tools):
    # Node resolves packages from the directory of the module.
    module = NODE_PACKAGES / ".unchanged.mjs"
    module.write_text(JAVASCRIPT)
    try:
        assert tools.run("node", module, *tools.credentials) == "41\n401\n401\n"
    finally:
        module.unlink()


def test_go(tools):
    (tools.home / "main.go").write_text(GO_PROGRAM)
    for name in ("go.mod", "go.sum"):
        shutil.copy(GO_MODULE / name, tools.home)
    subprocess.run([GO, "build", "-o", "program", "."], cwd=tools.home, check=True, timeout=COMPILE_TIME_MAX)
    assert tools.run(tools.home / "program", *tools.credentials) == "200\n"


def test_java(tools):
    source = tools.home / "CloudPcs.java"
    source.write_text(JAVA)
    assert tools.run("java", "-cp", JAVA_PACKAGES / "*", source, *tools.credentials) == "41\n"
