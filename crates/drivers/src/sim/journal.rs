//! The machines on disk: an append-only file of whole machines, one JSON line for each change, the latest line of a machine being the truth.
//!
//! A line is written to the operating system before the verb that wrote it returns, so it survives the death of this process at any moment. It is not forced to
//! the disk: after a power cut the latest changes may be missing, as if they had not happened. A last line cut off in the middle is dropped.

use cloudpc_model::CloudPcId;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::machine::Machine;

const FILE_NAME: &str = "machines.jsonl";
const NEW_FILE_NAME: &str = "machines.jsonl.new";

/// The file is rewritten when it holds this many lines and more than twice as many as there are machines.
pub const COMPACT_LINES_MIN: usize = 4_096;

pub type Machines = HashMap<CloudPcId, Box<Machine>>;

pub struct Journal {
    directory: PathBuf,
    file: File,
    size_bytes: u64,
    lines: usize,
    buffer: Vec<u8>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum LineRef<'a> {
    Is(&'a Machine),
    Gone(CloudPcId),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Is(Box<Machine>),
    Gone(CloudPcId),
}

impl Journal {
    /// Opens the journal of `directory` and reads its machines, or makes an empty one.
    ///
    /// # Errors
    /// The file cannot be used, or a line before the last one cannot be read.
    pub fn open(directory: &Path) -> io::Result<(Self, Machines)> {
        std::fs::create_dir_all(directory)?;
        // What a rewrite left when it was interrupted; the old file is whole.
        match std::fs::remove_file(directory.join(NEW_FILE_NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let path = directory.join(FILE_NAME);
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        let mut reader = BufReader::with_capacity(1 << 18, &file);
        let (mut machines, mut buffer) = (Machines::new(), Vec::new());
        let (mut size_bytes, mut lines) = (0, 0);
        while reader.read_until(b'\n', &mut buffer)? > 0 && buffer.last() == Some(&b'\n') {
            lines += 1;
            let line = serde_json::from_slice(&buffer).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidData, format!("{}:{lines}: {error}", path.display()))
            })?;
            match line {
                Line::Is(machine) => drop(machines.insert(machine.spec.id, machine)),
                Line::Gone(id) => drop(machines.remove(&id)),
            }
            size_bytes += buffer.len() as u64;
            buffer.clear();
        }
        file.set_len(size_bytes)?;
        buffer.clear();
        let mut journal = Self { directory: directory.to_owned(), file, size_bytes, lines, buffer };
        journal.compact_if_due(&machines)?;
        Ok((journal, machines))
    }

    /// Writes what `machine` is now.
    pub fn put(&mut self, machine: &Machine) -> io::Result<()> {
        self.append(&LineRef::Is(machine))
    }

    /// Writes that a machine is gone.
    pub fn remove(&mut self, id: CloudPcId) -> io::Result<()> {
        self.append(&LineRef::Gone(id))
    }

    /// Forgets every machine.
    pub fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        (self.size_bytes, self.lines) = (0, 0);
        Ok(())
    }

    /// Rewrites the file with one line for each of `machines` if it is mostly garbage.
    pub fn compact_if_due(&mut self, machines: &Machines) -> io::Result<()> {
        if self.lines < COMPACT_LINES_MIN || self.lines <= 2 * machines.len() {
            return Ok(());
        }
        let new_path = self.directory.join(NEW_FILE_NAME);
        let mut writer = BufWriter::with_capacity(1 << 18, File::create(&new_path)?);
        for machine in machines.values() {
            serde_json::to_writer(&mut writer, &LineRef::Is(machine))?;
            writer.write_all(b"\n")?;
        }
        // The new content must be on disk before its name is, or a power cut could leave an empty file.
        writer.into_inner()?.sync_all()?;
        let path = self.directory.join(FILE_NAME);
        std::fs::rename(&new_path, &path)?;
        self.file = OpenOptions::new().append(true).open(&path)?;
        self.size_bytes = self.file.metadata()?.len();
        self.lines = machines.len();
        Ok(())
    }

    fn append(&mut self, line: &LineRef<'_>) -> io::Result<()> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, line)?;
        self.buffer.push(b'\n');
        if let Err(error) = self.file.write_all(&self.buffer) {
            // Half a line must not stay in front of the next one.
            self.file.set_len(self.size_bytes)?;
            return Err(error);
        }
        self.size_bytes += self.buffer.len() as u64;
        self.lines += 1;
        Ok(())
    }
}
