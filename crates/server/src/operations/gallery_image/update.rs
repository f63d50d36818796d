//! `PATCH …/galleryImages/{id}`: changes the properties of an image. Existing Cloud PCs are not
//! affected.

use cloudpc_graph::GraphError;
use cloudpc_model::AuditVerb;
use cloudpc_store::Tx;
use std::sync::Arc;

use super::properties::{CHANGEABLE, Properties};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::catalog::gallery_image;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let write = move |tx: &mut Tx<'_>| {
        let before = super::find(&request, tx)?;
        let mut image = before.clone();
        request.reject_other_changes(&CHANGEABLE, &gallery_image(&image, request.version()))?;
        match Properties::of(&request)? {
            Properties { display_name: None, os: None, size_gib: None } => {
                let message =
                    format!("The update has none of the properties that it can change: {}.", CHANGEABLE.join(", "));
                return Err(GraphError::bad_request(message).into());
            }
            Properties { display_name, os, size_gib } => {
                image.display_name = display_name.unwrap_or(image.display_name);
                image.size_gib = size_gib.unwrap_or(image.size_gib);
                if let Some((system, number)) = os {
                    (image.os_version, image.os_version_number) = (system, Some(number));
                }
            }
        }
        tx.gallery_image_put(request.tenant(), &image)?;
        let entry = super::audit(&request, AuditVerb::Update, &image)
            .changed("displayName", Some(&before.display_name), &image.display_name)
            .changed("sizeInGB", Some(&before.size_gib.to_string()), &image.size_gib.to_string())
            .changed(
                "osVersionNumber",
                before.os_version_number.as_deref(),
                image.os_version_number.as_deref().unwrap_or_default(),
            );
        tx.audit_insert(&entry)?;
        Ok::<_, Problem>(image)
    };
    let image = call.app.store.write("galleryImage.update", write).await?;
    Ok(call.updated(&gallery_image(&image, call.version())))
}
