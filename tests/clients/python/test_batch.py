"""Batches, with the SDK's own batch classes."""

from msgraph_beta.generated.device_management.virtual_endpoint.cloud_p_cs.item.rename.rename_post_request_body import (
    RenamePostRequestBody,
)
from msgraph_beta.generated.models.action_state import ActionState
from msgraph_core.requests.batch_request_builder import BatchRequestBuilder
from msgraph_core.requests.batch_request_content import BatchRequestContent
from msgraph_core.requests.batch_request_item import BatchRequestItem

from graph import ask, get

GPU = "0ff1ce00-0000-4000-8000-0000000000d1"
NOBODY = "00000000-0000-4000-8000-000000000000"


async def test_reads_and_a_write(office, beta):
    cloud_pcs = beta.device_management.virtual_endpoint.cloud_p_cs
    (desk,) = (await get(cloud_pcs, filter="displayName eq 'desk-40'")).value
    rename = cloud_pcs.by_cloud_p_c_id(desk.id).rename
    requests = {
        "one": cloud_pcs.by_cloud_p_c_id(GPU).to_get_request_information(),
        "nobody": cloud_pcs.by_cloud_p_c_id(NOBODY).to_get_request_information(),
        "some": cloud_pcs.to_get_request_information(ask(cloud_pcs, top=2, select=["id"])),
        "rename": rename.to_post_request_information(RenamePostRequestBody(display_name="desk-40")),
    }
    items = {}
    for name, information in requests.items():
        information.path_parameters["baseurl"] = beta.request_adapter.base_url
        items[name] = BatchRequestItem(information, id=name)
    content = BatchRequestContent(items)
    answer = await BatchRequestBuilder(beta.request_adapter).post(content)
    assert answer.get_response_status_codes() == {"one": 200, "nobody": 404, "some": 200, "rename": 204}
    # The response contains the bodies, but this SDK cannot read those that are objects.
    office.rest()
    results = (await cloud_pcs.by_cloud_p_c_id(desk.id).retrieve_cloud_p_c_remote_action_results.get()).value
    assert [(row.action_name, row.action_state) for row in results] == [("Rename", ActionState.Done)]
