//! Where Cloud PCs can be opened.

use cloudpc_server::desktop::Admission;
use insta::assert_snapshot;

use super::CLOUD_PCS;
use crate::world::{BASE, DESK_1, Reply, Who, World};

/// The answer without its ticket, and the ticket.
fn parted(reply: &Reply) -> (String, String) {
    let url = reply.json()["cloudPcLaunchUrl"].as_str().unwrap().to_owned();
    let ticket = url.strip_prefix(&format!("{BASE}/desktop/")).unwrap().to_owned();
    assert!(ticket.len() > 40, "a ticket is long enough not to be guessed: {ticket}");
    (reply.to_string().replace(&ticket, "TICKET"), ticket)
}

#[tokio::test]
async fn where_a_cloud_pc_can_be_opened() {
    let world = World::new().await;
    let detail = |root: &str| format!("/{root}/{CLOUD_PCS}/{DESK_1}/retrieveCloudPcLaunchDetail");
    let (beta, first) = parted(&world.get(Who::Reader, &detail("beta")).await);
    let (v1, second) = parted(&world.get(Who::Reader, &detail("v1.0")).await);
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
    assert_snapshot!(parted(&info).0, @r#"
    200
    content-type: application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8
    {
      "@odata.context": "https://cloudpc.test/beta/$metadata#microsoft.graph.cloudPcLaunchInfo",
      "cloudPcId": "10000000-0000-4000-8000-0000000000d1",
      "cloudPcLaunchUrl": "https://cloudpc.test/desktop/TICKET",
      "windows365SwitchCompatible": false,
      "windows365SwitchNotCompatibleReason": "CPCHardwareNotMeetRequirement"
    }
    "#);
}

#[tokio::test]
async fn a_ticket_is_bound_to_who_asked_for_what() {
    let world = World::new().await;
    let ask = async |who, path: &str| {
        let (_, ticket) = parted(&world.get(who, &format!("{path}/{DESK_1}/retrieveCloudPcLaunchDetail")).await);
        world.app.desktops.tickets.redeem(&ticket).unwrap()
    };
    let Admission { tenant_id, cloud_pc_id, owner, actor } = ask(Who::Reader, &format!("/beta/{CLOUD_PCS}")).await;
    assert!(tenant_id.to_string().starts_with("10000000"));
    assert_eq!((cloud_pc_id.to_string().as_str(), owner, actor.user_id), (DESK_1, None, None));
    let own = ask(Who::Ada, "/v1.0/me/cloudPCs").await;
    assert_eq!(own.actor.user_principal_name, "ada@contoso.test");
    assert!(own.owner.is_some() && own.owner == own.actor.user_id);
    let others = world.get(Who::Alan, &format!("/beta/me/cloudPCs/{DESK_1}/retrieveCloudPcLaunchDetail")).await;
    assert_eq!(others.error(), (404, "ResourceNotFound".into()));
    let application = format!("/beta/users/ada@contoso.test/cloudPCs/{DESK_1}/getCloudPcLaunchInfo");
    assert_eq!(world.get(Who::Writer, &application).await.error(), (403, "Forbidden".into()));
}
