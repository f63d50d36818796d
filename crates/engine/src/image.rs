//! Choice of the image for a reprovision.

use cloudpc_model::{CloudPc, GalleryImage, OsVersion, Params};
use cloudpc_store::{Reader, StoreError};

use crate::policy::policy_image;

/// Returns the image of a reprovision: the one chosen on acceptance. Actions accepted by older
/// versions carry no image; their image is chosen now.
pub(crate) fn chosen(
    reader: &Reader<'_>,
    cloud_pc: &CloudPc,
    params: &Params,
) -> Result<Option<GalleryImage>, StoreError> {
    match params {
        Params::Reprovision { image_id: Some(id), .. } => reader.image(cloud_pc.tenant_id, id),
        Params::Reprovision { os_version, .. } => choose(reader, cloud_pc, *os_version),
        _ => Ok(None),
    }
}

/// Chooses the image for a reprovision: the present one of the Cloud PC's policy, or else the Cloud
/// PC's own, or the first gallery image with the requested operating system.
pub(crate) fn choose(
    reader: &Reader<'_>,
    cloud_pc: &CloudPc,
    wanted: Option<OsVersion>,
) -> Result<Option<GalleryImage>, StoreError> {
    let fits = |image: &GalleryImage| wanted.is_none_or(|wanted| image.os_version == wanted);
    for id in policy_image(reader, cloud_pc)?.iter().chain([&cloud_pc.image_id]) {
        if let Some(image) = reader.image(cloud_pc.tenant_id, id)?.filter(fits) {
            return Ok(Some(image));
        }
    }
    Ok(reader.gallery_image_list(cloud_pc.tenant_id)?.into_iter().find(|image| wanted.is_some() && fits(image)))
}
