//! Imports of device images.

use cloudpc_model::{ActionId, Clock, Document, DocumentKey, DocumentType, Object, Params, StepState, TenantId};
use cloudpc_store::DocumentIndex;
use serde_json::json;
use uuid::Uuid;

use crate::world::{START, TestEngine, asked, tenant};

const SOURCE: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/office";

fn device_image(tenant: TenantId, number: u128) -> Document {
    let mut body = Object::new();
    body.insert("displayName".into(), json!(format!("Image {number}")));
    Document {
        tenant_id: tenant,
        key: DocumentKey::new(DocumentType::CloudPcDeviceImage, &Uuid::from_u128(number).to_string()),
        revision: 1,
        body,
        status: Object::new(),
        secret_counts: Object::new(),
        created_at: START,
        modified_at: START,
    }
}

impl TestEngine {
    async fn import(&self, image: Document) -> ActionId {
        let engine = self.engine.clone();
        self.change(move |tx| {
            tx.document_insert(&image, &DocumentIndex::default())?.unwrap();
            let by = cloudpc_engine::RequestContext { tenant_id: image.tenant_id, ..asked() };
            engine.accept_on_document(tx, &by, &image, Params::ImportImage { source: SOURCE.into() }, START)
        })
        .await
    }
}

#[tokio::test]
async fn tenant_with_many_imports_has_one_of_them_at_the_driver() {
    let other = TenantId(Uuid::from_u128(2));
    let mut world = TestEngine::new(1).await;
    let mut imports = Vec::new();
    for number in 1..=4 {
        imports.push((tenant(), world.import(device_image(tenant(), number)).await));
    }
    imports.push((other, world.import(device_image(other, 5)).await));
    world.start();
    world.rest().await;
    let mut copied = Vec::new();
    while copied.len() < imports.len() {
        for &(tenant, id) in &imports {
            let action = world.change(move |tx| tx.action(tenant, id)).await.unwrap();
            let is_copied = action.step("copyImage").is_some_and(|step| step.state == StepState::Succeeded);
            if is_copied && !copied.iter().any(|(_, known)| *known == id) {
                copied.push((world.clock.now(), id));
            }
        }
        assert!(world.tick().await);
    }
    let at = |id: ActionId| copied.iter().find(|(_, known)| *known == id).unwrap().0;
    let times: Vec<_> = imports.iter().map(|(_, id)| at(*id)).collect();
    assert!(times[..4].is_sorted_by(|earlier, later| earlier < later), "one after the other: {times:?}");
    assert!(times[4] < times[3], "another tenant does not wait for all of them: {times:?}");
}
