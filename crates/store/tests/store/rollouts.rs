//! Which Cloud PCs of a policy a rollout changes.

use cloudpc_model::{CloudPcStatus, ServicePlanId, Timestamp, UserId};
use cloudpc_store::{Entitlement, PolicyValues};
use strum::IntoEnumIterator as _;
use uuid::Uuid;

use crate::fixture::{Book, TENANT, cloud_pc};

#[test]
fn the_store_and_the_model_agree_on_which_cloud_pcs_take_policy_changes() {
    let book = Book::new();
    let mut cloud_pc = cloud_pc(TENANT, 1, 1);
    let (entitled, added) = (cloud_pc.id, cloud_pc.clone());
    book.write(move |tx| {
        tx.cloud_pc_insert(&added)?;
        tx.entitlement_insert(&Entitlement {
            tenant_id: TENANT,
            cloud_pc_id: entitled,
            user_id: Some(UserId(Uuid::from_u128(1))),
            policy_id: "policy".into(),
            assignment_id: String::new(),
            service_plan_id: ServicePlanId(Uuid::nil()),
            sku_id: None,
        })
    })
    .unwrap();
    let elsewhere = PolicyValues { region: Some("elsewhere".into()), single_sign_on: None };
    let mut taken = 0;
    for status in CloudPcStatus::iter() {
        for (provisioned_at, grace_ends_at) in
            [(None, None), (Some(Timestamp(1)), None), (Some(Timestamp(1)), Some(Timestamp(9)))]
        {
            (cloud_pc.status, cloud_pc.provisioned_at, cloud_pc.grace_ends_at) =
                (status, provisioned_at, grace_ends_at);
            let (changed, values) = (cloud_pc.clone(), elsewhere.clone());
            book.write(move |tx| tx.cloud_pc_update(&changed)).unwrap();
            let is_outdated = book.read(move |reader| reader.rollout_is_outdated(TENANT, "policy", &values));
            assert_eq!(is_outdated, cloud_pc.takes_policy_changes(), "{cloud_pc:?}");
            taken += usize::from(is_outdated);
        }
    }
    assert_eq!(taken, CloudPcStatus::iter().count() - 4);
}
