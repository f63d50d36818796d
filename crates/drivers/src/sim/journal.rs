//! The machines on disk: an append-only file with one JSON line for each change. The latest line of
//! a machine is its current state.
//!
//! A line is written to the operating system before its verb returns, so it survives a crash of the
//! process at any moment. It is not synced to the disk: after a power cut the latest changes may be
//! lost, as if they had not happened. An incomplete last line is dropped.
//!
//! Most machines are not used between two starts, so opening the journal parses only the id of each
//! line; the rest is parsed when the machine is first used.

use cloudpc_model::{CloudPcId, Power};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::machine::Machine;

const FILE_NAME: &str = "machines.jsonl";
const NEW_FILE_NAME: &str = "machines.jsonl.new";

/// The file mode: the file holds the content of disks.
const OWNER_ONLY: u32 = 0o600;

/// The file is compacted when it has at least this many lines and more than twice as many as there
/// are machines.
pub const COMPACT_LINES_MIN: usize = 1_024;

pub type Machines = HashMap<CloudPcId, StoredMachine>;

/// A machine in memory.
pub enum StoredMachine {
    /// Its line, not parsed yet.
    JournalEntry(Box<[u8]>),
    /// Parsed.
    Machine(Box<Machine>),
}

pub struct Journal {
    directory: PathBuf,
    file: File,
    size_bytes: u64,
    lines: usize,
    buffer: Vec<u8>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum JournalEntryRef<'a> {
    Is(&'a Machine),
    Gone(CloudPcId),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum JournalEntry {
    Is(Box<Machine>),
    Gone(CloudPcId),
}

/// The start of a machine's line, up to its id.
const ID_FOLLOWS: &[u8] = br#"{"is":{"spec":{"id":""#;
const ID_BYTES: usize = uuid::fmt::Hyphenated::LENGTH;

impl JournalEntry {
    fn read(line: &[u8]) -> io::Result<Self> {
        serde_json::from_slice(line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Returns the id in a line that looks like the complete line of a machine.
    fn id(line: &[u8]) -> Option<CloudPcId> {
        let rest = line.strip_prefix(ID_FOLLOWS)?.strip_suffix(b"}}\n")?;
        std::str::from_utf8(rest.get(..ID_BYTES)?).ok()?.parse().ok()
    }
}

/// The text that only the line of a stopped machine contains: a quotation mark within a string is
/// escaped.
const OFF: &str = r#","power":"poweredOff","#;

impl StoredMachine {
    /// Returns whether the machine is powered off.
    pub fn is_off(&self) -> bool {
        match self {
            Self::JournalEntry(line) => std::str::from_utf8(line).is_ok_and(|line| line.contains(OFF)),
            Self::Machine(machine) => machine.power == Power::PoweredOff,
        }
    }

    /// Parses the machine's line if needed.
    ///
    /// # Errors
    /// The line cannot be parsed.
    pub fn machine(&mut self) -> io::Result<&mut Machine> {
        if let Self::JournalEntry(line) = self {
            *self = match JournalEntry::read(line)? {
                JournalEntry::Is(machine) => Self::Machine(machine),
                JournalEntry::Gone(id) => unreachable!("the line of {id} is that of a machine"),
            };
        }
        match self {
            Self::Machine(machine) => Ok(machine),
            Self::JournalEntry(_) => unreachable!("the line has been parsed"),
        }
    }
}

/// Creates the directory, or restricts an existing one to its owner.
fn create_owner_only(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    std::fs::set_permissions(directory, Permissions::from_mode(0o700))
}

impl Journal {
    /// Opens the journal of `directory` and reads its machines, or creates an empty one.
    ///
    /// # Errors
    /// The file cannot be used, or a line other than the last one is invalid.
    pub fn open(directory: &Path) -> io::Result<(Self, Machines)> {
        create_owner_only(directory)?;
        // Removes the rest of an interrupted compaction; the old file is complete.
        match std::fs::remove_file(directory.join(NEW_FILE_NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let path = directory.join(FILE_NAME);
        let file = OpenOptions::new().read(true).append(true).create(true).mode(OWNER_ONLY).open(&path)?;
        file.set_permissions(Permissions::from_mode(OWNER_ONLY))?;
        let mut reader = BufReader::with_capacity(1 << 18, &file);
        let (mut machines, mut buffer) = (Machines::new(), Vec::new());
        let (mut size_bytes, mut lines) = (0, 0);
        while reader.read_until(b'\n', &mut buffer)? > 0 && buffer.last() == Some(&b'\n') {
            lines += 1;
            if let Some(id) = JournalEntry::id(&buffer) {
                machines.insert(id, StoredMachine::JournalEntry(buffer.as_slice().into()));
            } else {
                let line = JournalEntry::read(&buffer)
                    .map_err(|error| io::Error::new(error.kind(), format!("{}:{lines}: {error}", path.display())))?;
                match line {
                    JournalEntry::Is(machine) => {
                        drop(machines.insert(machine.spec.id, StoredMachine::Machine(machine)))
                    }
                    JournalEntry::Gone(id) => drop(machines.remove(&id)),
                }
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

    /// Records the current state of `machine`.
    pub fn put(&mut self, machine: &Machine) -> io::Result<()> {
        self.append(&JournalEntryRef::Is(machine))
    }

    /// Records that a machine was deleted.
    pub fn remove(&mut self, id: CloudPcId) -> io::Result<()> {
        self.append(&JournalEntryRef::Gone(id))
    }

    /// Deletes every machine.
    pub fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        (self.size_bytes, self.lines) = (0, 0);
        Ok(())
    }

    /// Compacts the file to one line for each of `machines` if most lines are outdated.
    pub fn compact_if_due(&mut self, machines: &Machines) -> io::Result<()> {
        if self.lines < COMPACT_LINES_MIN || self.lines <= 2 * machines.len() {
            return Ok(());
        }
        let new_path = self.directory.join(NEW_FILE_NAME);
        let new_file = OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY).open(&new_path)?;
        let mut writer = BufWriter::with_capacity(1 << 18, new_file);
        for machine in machines.values() {
            match machine {
                StoredMachine::JournalEntry(line) => writer.write_all(line)?,
                StoredMachine::Machine(machine) => {
                    serde_json::to_writer(&mut writer, &JournalEntryRef::Is(machine))?;
                    writer.write_all(b"\n")?;
                }
            }
        }
        // The new content must be on disk before the rename, or a power cut could leave an empty
        // file.
        writer.into_inner()?.sync_all()?;
        let path = self.directory.join(FILE_NAME);
        std::fs::rename(&new_path, &path)?;
        self.file = OpenOptions::new().append(true).open(&path)?;
        self.size_bytes = self.file.metadata()?.len();
        self.lines = machines.len();
        Ok(())
    }

    fn append(&mut self, line: &JournalEntryRef<'_>) -> io::Result<()> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, line)?;
        self.buffer.push(b'\n');
        if let Err(error) = self.file.write_all(&self.buffer) {
            // An incomplete line must not precede the next one.
            self.file.set_len(self.size_bytes)?;
            return Err(error);
        }
        self.size_bytes += self.buffer.len() as u64;
        self.lines += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::ScriptedCondition;
    use super::super::tests::spec;
    use super::*;
    use cloudpc_model::Timestamp;
    use proptest::prelude::*;
    use std::fs;

    fn machine(number: u128) -> Machine {
        Machine::settled(&spec(number), ScriptedCondition::default(), Timestamp(5))
    }

    fn booted(number: u128, boots: u64) -> Machine {
        let mut machine = machine(number);
        machine.boots = boots;
        machine
    }

    type Read = HashMap<CloudPcId, Machine>;

    fn read(directory: &Path) -> Read {
        all(Journal::open(directory).unwrap().1)
    }

    fn all(machines: Machines) -> Read {
        machines.into_iter().map(|(id, mut stored)| (id, stored.machine().unwrap().clone())).collect()
    }

    fn stored(machine: &Machine) -> StoredMachine {
        StoredMachine::Machine(Box::new(machine.clone()))
    }

    #[test]
    fn journal_line_format() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(directory.path()).unwrap();
        journal.put(&machine(1)).unwrap();
        journal.remove(spec(1).id).unwrap();
        insta::assert_snapshot!(fs::read_to_string(directory.path().join(FILE_NAME)).unwrap(), @r#"
        {"is":{"spec":{"id":"00000000-0000-0000-0000-000000000001","hostname":"CPC-1","vcpu_count":2,"ram_gib":8,"storage_gib":128,"gpu":false,"image":"a_b_old"},"power":"running","boots":1,"ready_at":5,"disk":{"image":"a_b_old","size_gib":128,"enrolled_as":"CPC-1"}}}
        {"gone":"00000000-0000-0000-0000-000000000001"}
        "#);
    }

    #[test]
    fn the_latest_line_of_a_machine_wins() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, machines) = Journal::open(directory.path()).unwrap();
        assert!(machines.is_empty());
        for number in [1, 2, 3] {
            journal.put(&machine(number)).unwrap();
        }
        let later = booted(2, 9);
        journal.put(&later).unwrap();
        journal.remove(spec(3).id).unwrap();
        let expected = [machine(1), later].map(|machine| (machine.spec.id, machine));
        assert_eq!(read(directory.path()), Read::from(expected));
        journal.clear().unwrap();
        journal.put(&machine(4)).unwrap();
        assert_eq!(read(directory.path()), Read::from([(spec(4).id, machine(4))]));
    }

    #[test]
    fn a_line_is_parsed_when_its_machine_is_first_used() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(directory.path()).unwrap();
        journal.put(&machine(1)).unwrap();
        journal.put(&machine(2)).unwrap();
        let path = directory.path().join(FILE_NAME);
        fs::write(&path, fs::read_to_string(&path).unwrap().replacen("vcpu_count", "vcpu_cuont", 1)).unwrap();
        let off = Machine::new(&spec(3), ScriptedCondition::default());
        journal.put(&off).unwrap();
        let (_, mut machines) = Journal::open(directory.path()).unwrap();
        assert!(machines.values().all(|stored| matches!(stored, StoredMachine::JournalEntry(_))));
        let is_off = |number| machines[&spec(number).id].is_off();
        assert_eq!([1, 2, 3].map(is_off), [false, false, true]);
        let mut parse = |number| machines.get_mut(&spec(number).id).unwrap().machine().cloned();
        assert!(parse(1).unwrap_err().to_string().contains("vcpu_count"));
        assert_eq!([parse(2).unwrap(), parse(3).unwrap()], [machine(2), off]);
    }

    #[test]
    fn an_invalid_line_before_the_last_one_is_reported_with_its_number() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(directory.path()).unwrap();
        journal.put(&machine(1)).unwrap();
        let path = directory.path().join(FILE_NAME);
        fs::write(&path, [fs::read(&path).unwrap(), b"{\"is\"\n".to_vec()].concat()).unwrap();
        let error = Journal::open(directory.path()).err().unwrap();
        assert!(error.to_string().contains("machines.jsonl:2: "), "{error}");
    }

    #[test]
    fn a_mostly_outdated_journal_is_compacted() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, mut machines) = Journal::open(directory.path()).unwrap();
        let mut put = |journal: &mut Journal, machine: Machine| {
            journal.put(&machine).unwrap();
            machines.insert(machine.spec.id, stored(&machine));
            journal.compact_if_due(&machines).unwrap();
        };
        for boots in 1..COMPACT_LINES_MIN as u64 {
            put(&mut journal, booted(1, boots));
        }
        assert_eq!(journal.lines, COMPACT_LINES_MIN - 1);
        put(&mut journal, booted(1, 0));
        assert_eq!(journal.lines, 1);
        // Writes continue in the new file.
        put(&mut journal, machine(2));
        let machines = all(machines);
        assert_eq!(read(directory.path()), machines);
        // An interrupted compaction leaves the old file complete.
        fs::write(directory.path().join(NEW_FILE_NAME), "{\"is").unwrap();
        assert_eq!(read(directory.path()), machines);
        assert!(!directory.path().join(NEW_FILE_NAME).exists());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_truncated_journal_yields_the_machines_of_its_complete_lines(
            changes in proptest::collection::vec((1u128..5, any::<Option<u64>>()), 1..12),
            cut in any::<prop::sample::Index>(),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let (mut journal, machines) = Journal::open(directory.path()).unwrap();
            let mut machines = all(machines);
            // The file's length and the machines after each change.
            let mut history = vec![(0, machines.clone())];
            for (number, boots) in changes {
                match boots {
                    Some(boots) => {
                        let machine = booted(number, boots);
                        journal.put(&machine).unwrap();
                        machines.insert(machine.spec.id, machine);
                    }
                    None => {
                        journal.remove(spec(number).id).unwrap();
                        machines.remove(&spec(number).id);
                    }
                }
                history.push((journal.size_bytes, machines.clone()));
            }
            let cut = cut.index(usize::try_from(journal.size_bytes).unwrap() + 1) as u64;
            journal.file.set_len(cut).unwrap();
            let (_, expected) = history.iter().rfind(|(length, _)| *length <= cut).unwrap();
            let (mut journal, found) = Journal::open(directory.path()).unwrap();
            assert_eq!(&all(found), expected);
            // A write after the truncation is not corrupted by it.
            journal.put(&machine(9)).unwrap();
            assert_eq!(read(directory.path()).len(), expected.len() + 1);
        }
    }
}
