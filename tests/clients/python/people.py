"""Signs people in with MSAL and a device code."""

import msal
from azure.core.credentials import AccessToken

PUBLIC_CLIENT = "0ff1ce00-0000-4000-8000-0000000000b2"
SCOPES = ["https://graph.microsoft.com/.default"]


class Ready:
    """A credential with a given token."""

    def __init__(self, token):
        self._token = token

    def get_token(self, *_scopes, **_options):
        return AccessToken(self._token, 2**40)


def public_client(office, monkeypatch):
    """Returns MSAL as a public client, which signs people in."""
    # MSAL has no option for a CA file; its HTTP client reads this variable.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(office.authority_file))
    authority = f"{office.https}/{office.tenant_id}"
    return msal.PublicClientApplication(PUBLIC_CLIENT, authority=authority, instance_discovery=False)


def device_code_token(office, application, user, password):
    """Returns MSAL's token response after a person has entered the code on the sign-in page."""
    flow = application.initiate_device_flow(scopes=SCOPES)
    assert "user_code" in flow, flow
    office.sign_in(flow["verification_uri"], flow["user_code"], user, password)
    token = application.acquire_token_by_device_flow(flow)
    assert "access_token" in token, token
    return token
