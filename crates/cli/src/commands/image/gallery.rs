//! The gallery of the service that runs on the data directory.

use clap::Args;
use cloudpc_server::images::{ImageId, Images, OsVersion};
use serde_json::{Map, Value, json};
use std::path::Path;

use crate::connection::ServiceConnection;
use crate::failure::{CommandError, ExitStatus};
use crate::output::{tell, text};

/// Path of the gallery.
const GALLERY: &str = "/beta/deviceManagement/virtualEndpoint/galleryImages";

/// Gallery properties of an image.
#[derive(Clone, Debug, Args)]
pub struct GalleryEntry {
    /// Display name [default: the current one, or the id]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Windows version for which `cloudpc reprovision --os` selects the image [default: the current
    /// one, or windows11]. Graph knows only Windows, so Linux images use these names too
    #[arg(long, value_name = "SYSTEM", value_parser = ["windows10", "windows11"])]
    os_version: Option<String>,
}

/// The gallery of a running service.
pub struct Gallery(ServiceConnection);

impl Gallery {
    /// Connects to the service on a data directory; none if no service runs there.
    pub async fn of(data: &Path) -> Result<Option<Self>, CommandError> {
        match ServiceConnection::open(Some(data.to_owned())).await {
            Ok(connection) => Ok(Some(Self(connection))),
            Err(failure) if failure.exit == ExitStatus::Unreachable => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// All images, sorted by id.
    pub async fn images(&self) -> Result<Vec<Value>, CommandError> {
        self.0.rows(GALLERY, &[], None).await
    }

    /// Deletes an image. Returns whether it existed.
    pub async fn remove(&self, id: &ImageId) -> Result<bool, CommandError> {
        match self.0.delete(&format!("{GALLERY}/{id}")).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.exit == ExitStatus::NotFound => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Adds or updates an image and prints how to use it. `default_name` is its display name unless
    /// the entry has one.
    pub async fn put(
        &self,
        id: &ImageId,
        default_name: &str,
        entry: GalleryEntry,
        size_gib: u32,
    ) -> Result<(), CommandError> {
        let system = |name: &str| name.parse::<OsVersion>().ok().map(OsVersion::number);
        let number = entry.os_version.as_deref().and_then(system);
        let mut properties = Map::from_iter([("sizeInGB".to_owned(), json!(size_gib))]);
        properties.extend(entry.name.map(|name| ("displayName".to_owned(), json!(name))));
        properties.extend(number.map(|number| ("osVersionNumber".to_owned(), json!(number))));
        let is_there = self.images().await?.iter().any(|row| text(row, "id") == id.0);
        if is_there {
            self.0.patch(&format!("{GALLERY}/{id}"), &Value::Object(properties)).await?;
        } else {
            properties.insert("id".into(), json!(id.0));
            properties.entry("displayName").or_insert_with(|| json!(default_name));
            properties.entry("osVersionNumber").or_insert_with(|| json!(OsVersion::Windows11.number()));
            self.0.post(GALLERY, &Value::Object(properties)).await?;
        }
        let rows = self.images().await?;
        tell(&chosen(id, &rows));
        Ok(())
    }
}

/// The Windows version of a gallery row, as in `cloudpc reprovision --os`.
pub fn system(row: &Value) -> String {
    let system = OsVersion::of_number(&text(row, "osVersionNumber"));
    system.map(|system| <&str>::from(system).to_owned()).unwrap_or_default()
}

/// Explains when `cloudpc reprovision --os` selects an image.
fn chosen(id: &ImageId, rows: &[Value]) -> String {
    let system_of = |id: &str| rows.iter().find(|row| text(row, "id") == id).map(system).unwrap_or_default();
    let system = system_of(&id.0);
    let first = rows.iter().map(|row| text(row, "id")).filter(|other| system_of(other) == system).min();
    match first {
        Some(first) if first != id.0 => format!(
            "{id} is in the gallery for {system}. `cloudpc reprovision --os {system}` selects {first}, which comes first by id."
        ),
        _ => format!(
            "{id} is in the gallery. `cloudpc reprovision NAME --os {system}` installs it on Cloud PCs with another system."
        ),
    }
}

/// Adds an image of this host to the gallery of the service on the data directory. Without a
/// service, prints how to do it later.
pub async fn enter(
    data: &Path,
    images: &Images,
    id: &ImageId,
    default_name: &str,
    entry: GalleryEntry,
) -> Result<(), CommandError> {
    let Some(gallery) = Gallery::of(data).await? else {
        tell(&format!(
            "{id} is on this host but in no gallery: no service is running on {}. Add it later with `cloudpc image add {id}`, or name it in a scenario.",
            data.display()
        ));
        return Ok(());
    };
    let size_gib = images.describe(id).ok().flatten().map_or(1, |found| found.size_gib);
    gallery.put(id, default_name, entry, size_gib).await.map_err(|failure| {
        CommandError::new(failure.exit, format!("{id} is on this host but was not added to the gallery: {failure}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn selection_of_an_image_is_explained() {
        let rows = [("a", "10.0.22000"), ("b", "10.0.26100.1742"), ("c", "10.0.19045")]
            .map(|(id, number)| json!({"id": id, "osVersionNumber": number}));
        let told = ["b", "c"].map(|id| chosen(&ImageId(id.into()), &rows)).join("\n");
        assert_snapshot!(told, @"
        b is in the gallery for windows11. `cloudpc reprovision --os windows11` selects a, which comes first by id.
        c is in the gallery. `cloudpc reprovision NAME --os windows10` installs it on Cloud PCs with another system.
        ");
    }
}
