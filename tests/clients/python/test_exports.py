"""Export jobs with the beta SDK: from the request to the file."""

import ssl
import urllib.request

from msgraph_beta.generated.models.cloud_pc_export_job import CloudPcExportJob
from msgraph_beta.generated.models.cloud_pc_export_job_status import CloudPcExportJobStatus
from msgraph_beta.generated.models.cloud_pc_report_name import CloudPcReportName

from graph import eventually


async def test_a_report_is_exported(office, beta):
    jobs = beta.device_management.virtual_endpoint.reports.export_jobs
    wanted = CloudPcExportJob(
        report_name=CloudPcReportName.ActionStatusReport, select=["CloudPcId", "Action"], format="csv"
    )
    made = await jobs.post(wanted)
    assert made.id.startswith("ActionStatusReport__")
    job = jobs.by_cloud_pc_export_job_id(made.id)

    async def status():
        return (await job.get()).export_job_status

    await eventually(status, CloudPcExportJobStatus.Completed)
    done = await job.get()
    assert done.expiration_date_time > done.request_date_time
    assert made.id in [row.id for row in (await jobs.get()).value]
    assert await jobs.count.get() >= 1
    context = ssl.create_default_context(cafile=office.authority_file)
    with urllib.request.urlopen(done.export_url, context=context) as reply:
        assert reply.read().splitlines()[0] == b"CloudPcId,Action"
    await job.delete()
