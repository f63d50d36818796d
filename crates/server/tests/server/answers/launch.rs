//! Launch URLs of Cloud PCs.

use cloudpc_model::ADMINISTRATOR_ROLE;
use cloudpc_server::desktop::{CALLER_TICKETS_MAX, DesktopAdmission};
use insta::assert_snapshot;

use super::CLOUD_PCS;
use crate::world::{BASE, DESK_1, DESK_2, Reply, TestServer, Who};

/// Splits a response into the text without the ticket, and the ticket.
fn split_ticket(reply: &Reply) -> (String, String) {
    let url = reply.json()["cloudPcLaunchUrl"].as_str().unwrap().to_owned();
    let ticket = url.strip_prefix(&format!("{BASE}/desktop/")).unwrap().to_owned();
    assert!(ticket.len() > 40, "a ticket must not be guessable: {ticket}");
    (reply.to_string().replace(&ticket, "TICKET"), ticket)
}

#[tokio::test]
async fn launch_responses_have_a_url() {
    let world = TestServer::new().await;
    let detail = |root: &str| format!("/{root}/{CLOUD_PCS}/{DESK_1}/retrieveCloudPcLaunchDetail");
    let (beta, first) = split_ticket(&world.get(Who::Reader, &detail("beta")).await);
    let (v1, second) = split_ticket(&world.get(Who::Reader, &detail("v1.0")).await);
    assert_ne!(first, second);
    assert_eq!(v1, beta.replace("/beta/", "/v1.0/"));
    assert_snapshot!(beta, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#microsoft.graph.cloudPcLaunchDetail",
      "cloudPcId": "10000000-0000-4000-8000-0000000000d1",
      "cloudPcLaunchUrl": "https://cloudpc.test/desktop/TICKET",
      "windows365SwitchCompatibilityFailureReasonType": "hardwareNotSupported",
      "windows365SwitchCompatible": false
    }
    "#);
    let info = world.get(Who::Reader, &format!("/beta/{CLOUD_PCS}/{DESK_1}/getCloudPcLaunchInfo")).await;
    assert_snapshot!(split_ticket(&info).0, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    deprecation: Tue, 30 Sep 2025 23:59:59 GMT
    sunset: Fri, 30 Oct 2026 23:59:59 GMT
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#microsoft.graph.cloudPcLaunchInfo",
      "cloudPcId": "10000000-0000-4000-8000-0000000000d1",
      "cloudPcLaunchUrl": "https://cloudpc.test/desktop/TICKET",
      "windows365SwitchCompatible": false,
      "windows365SwitchNotCompatibleReason": "CPCHardwareNotMeetRequirement"
    }
    "#);
}

/// Returns the admission of a ticket issued to this caller.
async fn admission(world: &TestServer, who: Who, path: &str) -> DesktopAdmission {
    let (_, ticket) = split_ticket(&world.get(who, path).await);
    world.app.desktops.tickets.open_page(&ticket).await.unwrap().unwrap().0
}

#[tokio::test]
async fn ticket_is_bound_to_caller_and_cloud_pc() {
    let world = TestServer::new().await;
    let reader =
        admission(&world, Who::Reader, &format!("/beta/{CLOUD_PCS}/{DESK_1}/retrieveCloudPcLaunchDetail")).await;
    assert!(reader.caller.tenant_id.to_string().starts_with("10000000"));
    assert_eq!((reader.cloud_pc_id.to_string().as_str(), reader.owner, reader.caller.user), (DESK_1, None, None));
    let own = admission(&world, Who::Ada, &format!("/v1.0/me/cloudPCs/{DESK_1}/retrieveCloudPcLaunchDetail")).await;
    let user = own.caller.user.unwrap();
    assert_eq!((user.user_principal_name.as_str(), own.owner), ("ada@contoso.test", Some(user.id)));
    let others = world.get(Who::Alan, &format!("/beta/me/cloudPCs/{DESK_1}/retrieveCloudPcLaunchDetail")).await;
    assert_eq!(others.error(), (404, "ResourceNotFound".into()));
    let application = format!("/beta/users/ada@contoso.test/cloudPCs/{DESK_1}/getCloudPcLaunchInfo");
    assert_eq!(world.get(Who::Writer, &application).await.error(), (403, "Forbidden".into()));
}

#[tokio::test]
async fn read_only_caller_gets_a_view_only_ticket_except_for_their_own_cloud_pc() {
    let world = TestServer::new().await;
    crate::rbac::assign(&world, crate::rbac::ALAN, ADMINISTRATOR_ROLE.id, &[]).await;
    let read_only = |tx: &mut cloudpc_store::Tx<'_>| {
        let tenant = tx.tenant_list()?[0].0;
        let ada = tx.user_by_name(tenant, "ada@contoso.test")?.unwrap();
        tx.user_put(&cloudpc_store::User { permissions: vec!["CloudPC.Read.All".into()], ..ada })
    };
    world.app.store.write("test.write", read_only).await.unwrap();
    for verb in ["retrieveCloudPcLaunchDetail", "getCloudPcLaunchInfo"] {
        for (who, path, view_only) in [
            (Who::Reader, format!("{CLOUD_PCS}/{DESK_1}"), true),
            (Who::Writer, format!("{CLOUD_PCS}/{DESK_1}"), false),
            (Who::Ada, format!("me/cloudPCs/{DESK_1}"), false),
            (Who::Ada, format!("{CLOUD_PCS}/{DESK_1}"), false),
            (Who::Ada, format!("{CLOUD_PCS}/{DESK_2}"), true),
            (Who::Ada, format!("users/alan@contoso.test/cloudPCs/{DESK_2}"), true),
            (Who::Alan, format!("users/ada@contoso.test/cloudPCs/{DESK_1}"), false),
        ] {
            let admission = admission(&world, who, &format!("/beta/{path}/{verb}")).await;
            assert_eq!(admission.view_only, view_only, "{who:?} {path} {verb}");
        }
    }
}

#[tokio::test]
async fn ticket_limit_applies_per_caller() {
    let world = TestServer::new().await;
    let path = format!("/beta/{CLOUD_PCS}/{DESK_1}/retrieveCloudPcLaunchDetail");
    for _ in 0..CALLER_TICKETS_MAX {
        assert_eq!(world.get(Who::Reader, &path).await.status.as_u16(), 200);
    }
    assert_eq!(world.get(Who::Reader, &path).await.error(), (429, "TooManyRequests".into()));
    assert_eq!(world.get(Who::Writer, &path).await.status.as_u16(), 200);
}
