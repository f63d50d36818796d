//! Client-side view of the fleet: ids and requests.

use serde_json::json;

use crate::BenchError;
use crate::load::{self, Request};
use crate::server::Server;

/// Returns the ids of a collection below `/beta/deviceManagement`, in its order.
pub async fn ids(server: &Server, token: &str, collection: &str) -> Result<Vec<String>, BenchError> {
    let mut path = format!("/beta/deviceManagement/{collection}?$select=id&$top=999");
    let mut ids = Vec::new();
    loop {
        let page = load::once(server.address, &Request::get(&path, token).bytes(server.address)).await?.json()?;
        let rows = page["value"].as_array().ok_or_else(|| format!("no collection: {page}"))?;
        ids.extend(rows.iter().filter_map(|row| row["id"].as_str()).map(str::to_owned));
        match page["@odata.nextLink"].as_str() {
            Some(link) => path = path_of(link)?.to_owned(),
            None => return Ok(ids),
        }
    }
}

/// Returns the managed device of a Cloud PC.
pub async fn device_of(server: &Server, token: &str, cloud_pc: &str) -> Result<String, BenchError> {
    let path = format!("/beta/deviceManagement/virtualEndpoint/cloudPCs/{cloud_pc}");
    let answer = load::once(server.address, &Request::get(&path, token).bytes(server.address)).await?.json()?;
    Ok(answer["managedDeviceId"].as_str().ok_or_else(|| format!("no Cloud PC: {answer}"))?.to_owned())
}

/// Returns a request that deploys a partner's agent.
pub fn deploy(server: &Server, token: &str, partner: &str, cloud_pcs: &[String]) -> Vec<u8> {
    let path = format!("/beta/deviceManagement/virtualEndpoint/externalPartners/{partner}/deployAgent");
    let body = json!({ "cloudPcIds": cloud_pcs }).to_string();
    Request { method: "POST", path: &path, token, body: Some(("application/json", body)) }.bytes(server.address)
}

/// Returns a request that reprovisions a managed device.
pub fn reprovision(server: &Server, token: &str, device: &str) -> Vec<u8> {
    let path = format!("/beta/deviceManagement/managedDevices/{device}/reprovisionCloudPc");
    Request { method: "POST", path: &path, token, body: None }.bytes(server.address)
}

/// Pauses the clock of the fleet: actions accepted from now on start, then wait forever.
pub async fn pause(server: &Server, token: &str) -> Result<(), BenchError> {
    let request = Request { method: "POST", path: "/_cloudpc/clock/pause", token, body: None };
    let answer = load::once(server.address, &request.bytes(server.address)).await?;
    if answer.status == 200 {
        Ok(())
    } else {
        Err(format!("pausing the clock failed with status {}", answer.status).into())
    }
}

/// Returns the path and query of a URL.
pub fn path_of(link: &str) -> Result<&str, BenchError> {
    let rest = link.split_once("://").map(|(_, rest)| rest).ok_or("a link is an absolute URL")?;
    Ok(&rest[rest.find('/').ok_or("a link has a path")?..])
}
