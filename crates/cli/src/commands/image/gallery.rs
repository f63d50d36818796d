//! The images of this host in the gallery of the service that runs on the same data directory.

use clap::Args;
use cloudpc_server::images::{ImageId, Images, OsVersion};
use serde_json::{Map, Value, json};
use std::path::Path;

use crate::connection::Connection;
use crate::failure::{Exit, Failure};
use crate::output::{tell, text};

/// Where the gallery is.
const GALLERY: &str = "/beta/deviceManagement/virtualEndpoint/galleryImages";

/// How an image is shown in the gallery.
#[derive(Clone, Debug, Args)]
pub struct Entry {
    /// What the gallery calls it; otherwise what it does now, or its id
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// For which system `cloudpc reprovision --os` chooses it; otherwise for which it does now, or windows11. Graph knows Windows only, so a Linux image bears one of its names too
    #[arg(long, value_name = "SYSTEM", value_parser = ["windows10", "windows11"])]
    os_version: Option<String>,
}

/// The gallery of a service.
pub struct Gallery(Connection);

impl Gallery {
    /// That of the service on a data directory; none if no service runs there.
    pub async fn of(data: &Path) -> Result<Option<Self>, Failure> {
        match Connection::open(Some(data.to_owned())).await {
            Ok(connection) => Ok(Some(Self(connection))),
            Err(failure) if failure.exit == Exit::Unreachable => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Its images, by id.
    pub async fn images(&self) -> Result<Vec<Value>, Failure> {
        self.0.rows(GALLERY, &[], None).await
    }

    /// Whether there was one to take out.
    pub async fn remove(&self, id: &ImageId) -> Result<bool, Failure> {
        match self.0.delete(&format!("{GALLERY}/{id}")).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.exit == Exit::NotFound => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Adds an image, which is `called` so unless the entry says otherwise, or says anew what is known of it. Tells what can be done with it.
    pub async fn put(&self, id: &ImageId, called: &str, entry: Entry, size_gib: u32) -> Result<(), Failure> {
        let system = |name: &str| name.parse::<OsVersion>().ok().map(OsVersion::number);
        let number = entry.os_version.as_deref().and_then(system);
        let mut said = Map::from_iter([("sizeInGB".to_owned(), json!(size_gib))]);
        said.extend(entry.name.map(|name| ("displayName".to_owned(), json!(name))));
        said.extend(number.map(|number| ("osVersionNumber".to_owned(), json!(number))));
        let is_there = self.images().await?.iter().any(|row| text(row, "id") == id.0);
        if is_there {
            self.0.patch(&format!("{GALLERY}/{id}"), &Value::Object(said)).await?;
        } else {
            said.insert("id".into(), json!(id.0));
            said.entry("displayName").or_insert_with(|| json!(called));
            said.entry("osVersionNumber").or_insert_with(|| json!(OsVersion::Windows11.number()));
            self.0.post(GALLERY, &Value::Object(said)).await?;
        }
        let rows = self.images().await?;
        tell(&chosen(id, &rows));
        Ok(())
    }
}

/// The system that a row of the gallery is chosen for, as `cloudpc reprovision --os` names it.
pub fn system(row: &Value) -> String {
    let system = OsVersion::of_number(&text(row, "osVersionNumber"));
    system.map(|system| <&str>::from(system).to_owned()).unwrap_or_default()
}

/// When an image of the gallery is chosen.
fn chosen(id: &ImageId, rows: &[Value]) -> String {
    let system_of = |id: &str| rows.iter().find(|row| text(row, "id") == id).map(system).unwrap_or_default();
    let system = system_of(&id.0);
    let first = rows.iter().map(|row| text(row, "id")).filter(|other| system_of(other) == system).min();
    match first {
        Some(first) if first != id.0 => format!(
            "{id} is in the gallery, for {system}. Cloud PCs that are of another system now get {first} by `cloudpc reprovision --os {system}`: it comes first."
        ),
        _ => format!(
            "{id} is in the gallery. `cloudpc reprovision NAME --os {system}` makes Cloud PCs from it that are of another system now."
        ),
    }
}

/// Puts an image of this host into the gallery of the service on its data directory. Without one, tells what to do later.
pub async fn enter(data: &Path, images: &Images, id: &ImageId, called: &str, entry: Entry) -> Result<(), Failure> {
    let Some(gallery) = Gallery::of(data).await? else {
        tell(&format!(
            "{id} is on this host and in no gallery yet: no service runs on {}. Name it in a scenario, or add it with `cloudpc image add {id}` when one does.",
            data.display()
        ));
        return Ok(());
    };
    let size_gib = images.look(id).ok().flatten().map_or(1, |found| found.size_gib);
    gallery.put(id, called, entry, size_gib).await.map_err(|failure| {
        Failure::new(failure.exit, format!("{id} is on this host and not in the gallery: {failure}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn what_an_image_is_chosen_for_is_told() {
        let rows = [("a", "10.0.22000"), ("b", "10.0.26100.1742"), ("c", "10.0.19045")]
            .map(|(id, number)| json!({"id": id, "osVersionNumber": number}));
        let told = ["b", "c"].map(|id| chosen(&ImageId(id.into()), &rows)).join("\n");
        assert_snapshot!(told, @"
        b is in the gallery, for windows11. Cloud PCs that are of another system now get a by `cloudpc reprovision --os windows11`: it comes first.
        c is in the gallery. `cloudpc reprovision NAME --os windows10` makes Cloud PCs from it that are of another system now.
        ");
    }
}
