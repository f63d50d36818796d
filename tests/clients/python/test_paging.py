"""Paging returns each result once while new results arrive."""

from msgraph_beta.generated.device_management.virtual_endpoint.external_partners.item.deploy_agent.deploy_agent_post_request_body import (
    DeployAgentPostRequestBody,
)
from msgraph_beta.generated.models.cloud_pc_external_partner_action_status import CloudPcExternalPartnerActionStatus
from msgraph_core import PageIterator

from graph import get

PARTNER = "0ff1ce00-0000-4000-8000-00000000fab1"
IDS_MAX = 50


async def test_the_page_iterator_collects_each_result_once_while_more_arrive(roll_out, roll_out_beta):
    endpoint = roll_out_beta.device_management.virtual_endpoint
    partner = endpoint.external_partners.by_cloud_pc_external_partner_id(PARTNER)
    cloud_pcs = []
    page = await get(endpoint.cloud_p_cs, select=["id"], top=500)
    await PageIterator(page, roll_out_beta.request_adapter).iterate(lambda row: cloud_pcs.append(row.id) or True)
    assert len(set(cloud_pcs)) == 1_234

    asked = []
    for start in range(0, len(cloud_pcs), IDS_MAX):
        batch = cloud_pcs[start : start + IDS_MAX]
        activity = (await partner.deploy_agent.post(DeployAgentPostRequestBody(cloud_pc_ids=batch))).value
        asked += [(activity, cloud_pc) for cloud_pc in batch]
    roll_out.wait_for_rest()

    # Fifty results arrive between any two pages.
    address = f"/beta/deviceManagement/virtualEndpoint/externalPartners/{PARTNER}/deployAgent"
    collected = []

    def collect(row):
        if len(collected) % 100 == 50:
            assert roll_out.call("POST", address, {"cloudPcIds": cloud_pcs[:IDS_MAX]}).status == 200
        collected.append(row)
        return True

    results = partner.retrieve_deploy_agent_action_resultsactivity_id_activity_id_cloud_pc_id_cloud_pc_id
    first = await results.get()
    assert len(first.value) == 100
    await PageIterator(first, roll_out_beta.request_adapter).iterate(collect)
    assert [(row.activity_id, row.cloud_pc_id) for row in collected] == asked
    assert {row.state for row in collected} == {CloudPcExternalPartnerActionStatus.Succeeded}
    # A link never expires, and always returns the same page.
    for _ in range(2):
        page = await results.with_url(first.odata_next_link).get()
        assert [(row.activity_id, row.cloud_pc_id) for row in page.value] == asked[100:200]
    # A client that begins now sees the results that arrived meanwhile.
    assert (await get(results, count=True)).odata_count == 1_234 + 12 * IDS_MAX
