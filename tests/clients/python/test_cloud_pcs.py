"""Cloud PCs through the beta SDK."""

from msgraph_beta.generated.models.cloud_pc_status import CloudPcStatus


async def test_the_list_is_typed(beta):
    cloud_pcs = (await beta.device_management.virtual_endpoint.cloud_p_cs.get()).value
    assert sorted(cloud_pc.display_name for cloud_pc in cloud_pcs) == [f"desk-{n:02}" for n in range(1, 41)]
    assert {cloud_pc.status for cloud_pc in cloud_pcs} == {CloudPcStatus.Provisioned}
