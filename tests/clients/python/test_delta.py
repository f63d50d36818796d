"""Delta queries with both SDKs: a copy of the users follows the links of the service."""

import uuid

from test_documents import model


async def follow(delta, page, held):
    """Applies a page and those after it to what the client holds; returns the delta link."""
    while True:
        for user in page.value:
            if "@removed" in user.additional_data:
                held.pop(user.id, None)
            else:
                held[user.id] = user.display_name
        if not page.odata_next_link:
            return page.odata_delta_link
        page = await delta.with_url(page.odata_next_link).get()


async def test_a_copy_of_the_users_follows_the_links(either):
    delta, held = either.users.delta, {}
    link = await follow(delta, await delta.get(), held)
    name = f"delta-{uuid.uuid4()}"
    password = model(either, "PasswordProfile")(password="correct horse battery")
    new = model(either, "User")(
        account_enabled=True,
        display_name="Delta",
        mail_nickname=name,
        user_principal_name=f"{name}@contoso.test",
        password_profile=password,
    )
    user = await either.users.post(new)
    assert user.id not in held
    link = await follow(delta, await delta.with_url(link).get(), held)
    assert held[user.id] == "Delta"
    await either.users.by_user_id(user.id).delete()
    await follow(delta, await delta.with_url(link).get(), held)
    assert user.id not in held


def test_cloud_pcs_change_with_their_actions(office):
    path = "/beta/deviceManagement/virtualEndpoint/cloudPCs"
    first = office.call("GET", f"{path}/delta?$deltatoken=latest").json()
    assert first["value"] == []
    cloud_pc = office.call("GET", f"{path}?$filter=status%20eq%20'provisioned'").json()["value"][0]
    assert office.call("POST", f"{path}/{cloud_pc['id']}/reboot").status == 204
    changed = office.call("GET", first["@odata.deltaLink"].removeprefix(office.https)).json()
    assert cloud_pc["id"] in [row["id"] for row in changed["value"]]
    office.rest()
