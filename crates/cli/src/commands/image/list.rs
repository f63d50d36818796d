//! `cloudpc image list`

use clap::Args;
use cloudpc_server::images::{GuestOs, Images};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

use super::gallery::{Gallery, system};
use crate::failure::CommandError;
use crate::output::{Column, Format, tell, text};

const COLUMNS: &[Column] = &[
    ("IMAGE", |row| text(row, "id")),
    ("ON HOST", |row| match text(row, "onHost/os") {
        os if os.is_empty() => os,
        os => format!("{os}, {} GiB", text(row, "onHost/sizeInGB")),
    }),
    ("IN GALLERY FOR", |row| row.get("gallery").map(system).unwrap_or_default()),
    ("NAME", |row| text(row, "gallery/displayName")),
];

/// List the images on this host and in the gallery of the running service
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudpc image list\n  cloudpc image list -o json")]
pub struct List {}

impl List {
    pub async fn run(self, images: Images, data: &Path, format: Format) -> Result<(), CommandError> {
        let unreadable = |error| CommandError::local(format!("Cannot read the images of {}: {error}.", data.display()));
        let mut rows = BTreeMap::new();
        for id in images.list().map_err(unreadable)? {
            if let Some(found) = images.describe(&id).map_err(unreadable)? {
                let os = match found.os {
                    GuestOs::Linux => "linux",
                    GuestOs::Windows => "windows",
                };
                let on_host = json!({"os": os, "sizeInGB": found.size_gib});
                rows.insert(id.0.clone(), json!({"id": id.0, "onHost": on_host, "gallery": null}));
            }
        }
        match Gallery::of(data).await? {
            Some(gallery) => {
                for row in gallery.images().await? {
                    let id = text(&row, "id");
                    let shown = rows.entry(id.clone());
                    shown.or_insert_with(|| json!({"id": id, "onHost": null}))["gallery"] = row;
                }
            }
            None => tell(&format!("No service is running on {}; its gallery is not shown.", data.display())),
        }
        format.rows(&rows.into_values().collect::<Vec<Value>>(), COLUMNS)
    }
}
