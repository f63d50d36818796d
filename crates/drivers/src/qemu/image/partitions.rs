//! The partition table of a disk: how the disk boots, and what is probably on it.

use std::io;

use super::Firmware;
use super::disk_file::invalid;
use crate::GuestOs;

pub const SECTOR_BYTES: usize = 512;

/// Sectors with the boot sector, the header of a GUID partition table, and its 128 entries.
pub const TABLE_SECTORS: usize = 34;

/// Offsets in the boot sector: the boot code, the types of its four partitions, the signature.
const BOOT_CODE: std::ops::Range<usize> = 0..440;
const PARTITION_TYPES: [usize; 4] = [450, 466, 482, 498];
const SIGNATURE: (usize, [u8; 2]) = (510, [0x55, 0xAA]);

/// The type of a protective partition: the partitions are in a GUID partition table.
const PROTECTIVE: u8 = 0xEE;

/// The type of a partition with NTFS.
const NTFS: u8 = 0x07;

/// The header of a GUID partition table (UEFI specification, 5.3.2): its first bytes, and the
/// offsets of the first sector, number and size of its entries.
const GUID_TABLE_MAGIC: &[u8] = b"EFI PART";
const ENTRIES_AT: usize = 72;
const ENTRY_COUNT: usize = 80;
const ENTRY_BYTES: usize = 84;

/// Most entries that are read.
const ENTRIES_MAX: usize = 128;

/// Types of partitions in a GUID partition table, as they are stored: the EFI system partition, and
/// the one that Windows reserves on every such disk.
const EFI_SYSTEM: [u8; 16] =
    [0x28, 0x73, 0x2A, 0xC1, 0x1F, 0xF8, 0xD2, 0x11, 0xBA, 0x4B, 0, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B];
const MICROSOFT_RESERVED: [u8; 16] =
    [0x16, 0xE3, 0xC9, 0xE3, 0x5C, 0x0B, 0xB8, 0x4D, 0x81, 0x7D, 0xF9, 0x2D, 0xF0, 0x02, 0x15, 0xAE];

/// What a partition table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionTable {
    /// Whether there is boot code for BIOS.
    has_boot_code: bool,
    /// Whether there is an EFI system partition in a GUID partition table.
    has_efi_system: bool,
    /// Whether a partition has a type that only Windows makes.
    has_windows: bool,
}

impl PartitionTable {
    /// Returns whether a disk that starts with these bytes has a boot sector.
    pub fn has_boot_sector(start: &[u8]) -> bool {
        let (at, signature) = SIGNATURE;
        start.get(at..SECTOR_BYTES) == Some(&signature)
    }

    /// Parses the first [`TABLE_SECTORS`] sectors, or fewer of a smaller disk.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`]: the disk has no boot sector.
    pub fn parse(sectors: &[u8]) -> io::Result<Self> {
        if !Self::has_boot_sector(sectors) {
            return invalid("the disk has no boot sector, so no machine can boot from it");
        }
        let types = PARTITION_TYPES.map(|at| sectors[at]);
        let guid_types = if types.contains(&PROTECTIVE) { guid_types(sectors) } else { Vec::new() };
        Ok(Self {
            has_boot_code: sectors[BOOT_CODE].iter().any(|byte| *byte != 0),
            has_efi_system: guid_types.contains(&EFI_SYSTEM),
            has_windows: types.contains(&NTFS) || guid_types.contains(&MICROSOFT_RESERVED),
        })
    }

    /// Returns the probable family of the operating system.
    pub fn os(&self) -> GuestOs {
        if self.has_windows { GuestOs::Windows } else { GuestOs::Linux }
    }

    /// Returns the firmware that boots the disk. Windows writes boot code even where it boots by
    /// UEFI only, so the EFI system partition decides.
    pub fn firmware(&self) -> Firmware {
        if self.has_efi_system || !self.has_boot_code { Firmware::Uefi } else { Firmware::Bios }
    }
}

/// Returns the types of the partitions in a GUID partition table; none if it is invalid.
fn guid_types(sectors: &[u8]) -> Vec<[u8; 16]> {
    let header = sectors.get(SECTOR_BYTES..2 * SECTOR_BYTES).filter(|header| header.starts_with(GUID_TABLE_MAGIC));
    let number = |at: usize| {
        let bytes = header?.get(at..at + 4)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().expect("four bytes are four bytes"))).ok()
    };
    let (Some(first), Some(count), Some(bytes)) = (number(ENTRIES_AT), number(ENTRY_COUNT), number(ENTRY_BYTES)) else {
        return Vec::new();
    };
    let entry = |n: usize| {
        let at = first.checked_mul(SECTOR_BYTES)?.checked_add(n.checked_mul(bytes)?)?;
        sectors.get(at..at.checked_add(16)?)?.try_into().ok()
    };
    (0..count.min(ENTRIES_MAX)).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the first sectors of a disk with these partition types.
    fn sectors(types: &[u8]) -> Vec<u8> {
        let mut sectors = vec![0; TABLE_SECTORS * SECTOR_BYTES];
        sectors[510..512].copy_from_slice(&[0x55, 0xAA]);
        for (at, kind) in PARTITION_TYPES.iter().zip(types) {
            sectors[*at] = *kind;
        }
        sectors
    }

    /// Returns those of a disk with a GUID partition table, whose last entries have these types.
    fn guid_sectors(types: &[[u8; 16]]) -> Vec<u8> {
        let mut sectors = sectors(&[PROTECTIVE]);
        sectors[512..520].copy_from_slice(GUID_TABLE_MAGIC);
        sectors[512 + ENTRIES_AT] = 2;
        sectors[512 + ENTRY_COUNT] = 128;
        sectors[512 + ENTRY_BYTES] = 128;
        for (n, kind) in types.iter().enumerate() {
            let at = 2 * SECTOR_BYTES + (127 - n) * 128;
            sectors[at..at + 16].copy_from_slice(kind);
        }
        sectors
    }

    fn firmware(mut sectors: Vec<u8>, boot_code: u8) -> Firmware {
        sectors[0] = boot_code;
        PartitionTable::parse(&sectors).unwrap().firmware()
    }

    #[test]
    fn the_partition_table_determines_the_firmware() {
        assert_eq!(firmware(sectors(&[0x83]), 0xEB), Firmware::Bios);
        assert_eq!(firmware(sectors(&[0x83]), 0), Firmware::Uefi, "no BIOS can boot it");
        assert_eq!(firmware(guid_sectors(&[]), 0xEB), Firmware::Bios);
        assert_eq!(firmware(guid_sectors(&[[7; 16], EFI_SYSTEM]), 0xEB), Firmware::Uefi);
        let mut not_protective = guid_sectors(&[EFI_SYSTEM]);
        not_protective[PARTITION_TYPES[0]] = 0x83;
        assert_eq!(firmware(not_protective, 0xEB), Firmware::Bios);
    }

    #[test]
    fn the_partition_table_determines_the_operating_system() {
        let os = |sectors: &[u8]| PartitionTable::parse(sectors).unwrap().os();
        assert_eq!(os(&sectors(&[0xEF, 0x83])), GuestOs::Linux);
        assert_eq!(os(&sectors(&[NTFS])), GuestOs::Windows);
        assert_eq!(os(&guid_sectors(&[EFI_SYSTEM])), GuestOs::Linux);
        assert_eq!(os(&guid_sectors(&[EFI_SYSTEM, MICROSOFT_RESERVED])), GuestOs::Windows);
    }

    #[test]
    fn an_invalid_table_is_read_within_its_bounds() {
        for start in [&[][..], &[0; 511], &[0; 512]] {
            let refused = PartitionTable::parse(start).unwrap_err();
            assert!(refused.to_string().contains("no boot sector"), "{refused}");
        }
        assert!(PartitionTable::parse(&sectors(&[PROTECTIVE])[..512]).is_ok());
        for at in [ENTRIES_AT, ENTRY_COUNT, ENTRY_BYTES] {
            let mut sectors = guid_sectors(&[EFI_SYSTEM]);
            sectors[512 + at..512 + at + 4].fill(0xFF);
            assert!(PartitionTable::parse(&sectors).is_ok());
            assert!(guid_types(&sectors).len() <= ENTRIES_MAX);
        }
    }
}
