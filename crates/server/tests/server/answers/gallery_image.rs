//! Responses of changes to the gallery.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::world::{DESK_1, Reply, TestServer, Who};

const IMAGES: &str = "/v1.0/deviceManagement/virtualEndpoint/galleryImages";
const WINDOWS_11: &str = "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc";

fn debian() -> Value {
    json!({
        "@odata.type": "#microsoft.graph.cloudPcGalleryImage",
        "id": "debian-12.5_cloud",
        "displayName": "Debian 12",
        "sizeInGB": 2,
        "osVersionNumber": "10.0.19045.4651",
    })
}

/// Formats an error without values that vary between runs.
fn error_line(reply: &Reply) -> String {
    let error = &reply.json()["error"];
    let text = |name: &str| error[name].as_str().unwrap_or("-").to_owned();
    format!("{} {} [{}] {}\n", reply.status.as_u16(), text("code"), text("target"), text("message"))
}

#[tokio::test]
async fn image_from_creation_to_removal() {
    let world = TestServer::new().await;
    let created = world.call(Who::Writer, "POST", IMAGES, Some(debian())).await;
    assert_snapshot!(created, @r#"
    201
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    location: https://cloudpc.test/v1.0/deviceManagement/virtualEndpoint/galleryImages/debian-12.5_cloud
    etag: W/"1"
    {
      "@odata.context": "https://cloudpc.test/v1.0/$metadata#deviceManagement/virtualEndpoint/galleryImages/$entity",
      "displayName": "Debian 12",
      "endDate": null,
      "expirationDate": null,
      "id": "debian-12.5_cloud",
      "offerName": "cloud",
      "osVersionNumber": "10.0.19045.4651",
      "publisherName": "debian-12.5",
      "sizeInGB": 2,
      "skuName": "",
      "startDate": null,
      "status": "supported"
    }
    "#);
    let path = format!("{IMAGES}/debian-12.5_cloud");
    assert_eq!(world.get(Who::Reader, created.headers["location"].to_str().unwrap()).await.json(), created.json());

    // Reprovisioning selects the image by operating system, and Cloud PCs that use it prevent its
    // removal.
    world.run();
    let desk = format!("/beta/deviceManagement/virtualEndpoint/cloudPCs/{DESK_1}");
    let body = Some(json!({"osVersion": "windows10"}));
    assert_eq!(world.call(Who::Writer, "POST", &format!("{desk}/reprovision"), body).await.status, 204);
    let mut refusals = error_line(&world.call(Who::Writer, "DELETE", &path, None).await);
    world.rest().await;
    assert_eq!(world.get(Who::Reader, &desk).await.json()["imageDisplayName"], "Debian 12");
    refusals += &error_line(&world.call(Who::Writer, "DELETE", &path, None).await);
    let body = Some(json!({"osVersion": "windows11"}));
    assert_eq!(world.call(Who::Writer, "POST", &format!("{desk}/reprovision"), body).await.status, 204);
    world.rest().await;
    refusals += &error_line(&world.call(Who::Writer, "DELETE", &path, None).await);
    assert_snapshot!(refusals, @"
    409 imageInUse [-] The gallery image 'debian-12.5_cloud' cannot be removed: open reprovisions use it (1). Wait for them to end, or cancel them.
    409 imageInUse [-] The gallery image 'debian-12.5_cloud' cannot be removed: Cloud PCs use it (1). Reprovision them with another operating system first.
    409 imageInUse [-] The gallery image 'debian-12.5_cloud' cannot be removed: undo records refer to it (1). Wait until they expire.
    ");
    world.clock.advance(std::time::Duration::from_hours(7 * 24 + 1)).await;
    world.rest().await;
    let removed = world.call(Who::Writer, "DELETE", &path, None).await;
    assert_eq!((removed.status.as_u16(), removed.body.as_str()), (204, ""));
    assert_eq!(world.get(Who::Reader, &path).await.error(), (404, "ResourceNotFound".into()));

    let audited = world.get(Who::Reader, "/beta/deviceManagement/virtualEndpoint/auditEvents?$top=100").await.rows();
    let of_images = audited.iter().filter(|row| row["resources"][0]["resourceId"] == "debian-12.5_cloud");
    let lines: Vec<_> = of_images.map(|row| row["activityType"].as_str().unwrap()).collect();
    assert_eq!(lines, ["Delete CloudPcGalleryImage", "Create CloudPcGalleryImage"]);
}

#[tokio::test]
async fn image_properties_can_be_updated_but_not_the_id() {
    let world = TestServer::new().await;
    let path = format!("{IMAGES}/{WINDOWS_11}");
    let mut whole = world.get(Who::Reader, &path).await.json();
    whole.as_object_mut().unwrap().remove("@odata.context");
    whole["displayName"] = json!(" Windows 11, ours ");
    whole["osVersionNumber"] = json!("10.0.26100.1742");
    let changed = world.call(Who::Writer, "PATCH", &path, Some(whole.clone())).await;
    assert_eq!(changed.status, 200, "{changed}");
    let now = world.get(Who::Reader, &path).await.json();
    assert_eq!(
        (&now["displayName"], &now["osVersionNumber"], &now["sizeInGB"]),
        (&json!(" Windows 11, ours "), &json!("10.0.26100.1742"), &json!(64))
    );
    // What the service sets is ignored.
    let ignored = json!({"id": "another", "status": "notSupported", "publisherName": "Contoso"});
    let same = world.call(Who::Writer, "PATCH", &path, Some(ignored)).await.json();
    assert_eq!((&same["id"], &same["status"]), (&json!(WINDOWS_11), &json!("supported")));
    let mut refusals = String::new();
    for body in [json!({"displayName": null}), json!({"sizeInGB": 0})] {
        refusals += &error_line(&world.call(Who::Writer, "PATCH", &path, Some(body)).await);
    }
    assert_snapshot!(refusals, @"
    400 BadRequest [displayName] The property 'displayName' is required.
    400 BadRequest [sizeInGB] The property 'sizeInGB' is 0. Expected a number from 1 to 4294967295.
    ");
}

#[tokio::test]
async fn invalid_image_is_rejected_with_a_reason() {
    let world = TestServer::new().await;
    let mut refusals = String::new();
    let but = |name: &str, value: Value| {
        let mut body = debian();
        body[name] = value;
        body
    };
    for body in [
        but("id", json!(WINDOWS_11)),
        but("id", json!("a/../b")),
        but("id", Value::Null),
        but("displayName", json!("")),
        but("sizeInGB", json!(0)),
        but("osVersionNumber", json!("12")),
        but("osVersionNumber", Value::Null),
        but("displayName", json!("a\u{202e}b")),
    ] {
        refusals += &error_line(&world.call(Who::Writer, "POST", IMAGES, Some(body)).await);
    }
    let body = debian().to_string();
    refusals += &error_line(&world.call(Who::Reader, "POST", IMAGES, Some(serde_json::from_str(&body).unwrap())).await);
    assert_snapshot!(refusals, @r#"
    409 nameAlreadyExists [id] There is a cloudPcGalleryImage with the id 'microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc' already. Choose another id.
    400 BadRequest [id] Invalid gallery image id 'a/../b': expected 1 to 128 letters, digits, '.', '-' or '_', starting with a letter or digit.
    400 BadRequest [id] The property 'id' is required.
    400 BadRequest [displayName] The property 'displayName' is required.
    400 BadRequest [sizeInGB] The property 'sizeInGB' is 0. Expected a number from 1 to 4294967295.
    400 BadRequest [osVersionNumber] '12' is not a Windows 10 or 11 version number. Reprovisioning selects images by it. Use one such as 10.0.19045 or 10.0.22000, also for a Linux image.
    400 BadRequest [osVersionNumber] The property 'osVersionNumber' is required.
    400 BadRequest [displayName] The display name contains a control or text-direction character. Remove it.
    403 Forbidden [-] The token lacks the application permission Cloudpc.Administer.All.
    "#);
}
