//! `POST …/galleryImages`

use cloudpc_drivers::{DriverError, IMAGE_NOT_ON_HOST};
use cloudpc_graph::GraphError;
use cloudpc_model::{AuditVerb, GalleryImage, ImageId};
use cloudpc_store::{StoreError, Tx};
use std::sync::Arc;

use super::properties::{CHANGEABLE, Properties};
use crate::pipeline::{Answer, Call, Problem, required};
use crate::views::catalog::gallery_image;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let image = parse(&call)?;
    call.app.driver.check_image(&image.id).await.map_err(image_error)?;
    let (request, new) = (call.clone(), image.clone());
    let write = move |tx: &mut Tx<'_>| {
        tx.gallery_image_insert(request.tenant(), &new).map_err(|error| match error {
            StoreError::Exists(_) => already_exists(&new.id),
            other => other.into(),
        })?;
        tx.audit_insert(&super::audit(&request, AuditVerb::Create, &new))?;
        Ok::<_, Problem>(())
    };
    call.app.store.write("galleryImage.create", write).await?;
    Ok(call.created(&image.id.0, &gallery_image(&image, call.version())))
}

/// Parses a new image. Publisher, offer and SKU are parts of its id.
fn parse(call: &Call) -> Result<GalleryImage, Problem> {
    call.reject_other_properties(&[&["id"], &CHANGEABLE[..]].concat())?;
    let id = call.required_text("id")?;
    let id = ImageId::new(id).ok_or_else(|| {
        let message = format!("Invalid gallery image id '{id}': {}.", ImageId::FORM);
        GraphError::bad_request(message).about("id")
    })?;
    let given = Properties::of(call)?;
    let (os_version, number) = given.os.ok_or_else(|| required("osVersionNumber"))?;
    Ok(GalleryImage {
        id,
        display_name: given.display_name.ok_or_else(|| required("displayName"))?,
        size_gib: given.size_gib.ok_or_else(|| required("sizeInGB"))?,
        os_version,
        os_version_number: Some(number),
    })
}

fn already_exists(id: &ImageId) -> Problem {
    GraphError::new(409, "nameAlreadyExists", format!("A gallery image with the id '{id}' already exists."))
        .about("id")
        .into()
}

fn image_error(error: DriverError) -> GraphError {
    match error {
        DriverError::Rejected { code, message } if code == IMAGE_NOT_ON_HOST => GraphError::new(
            409,
            IMAGE_NOT_ON_HOST,
            format!("The gallery image cannot be added: {message}, then add it."),
        )
        .about("id"),
        error => {
            tracing::warn!(%error, "image lookup failed");
            GraphError::new(
                503,
                "ServiceUnavailable",
                "The images of the host are temporarily unavailable. Retry later.",
            )
        }
    }
}
