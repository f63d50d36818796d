//! Where the rows of reports come from.

pub(super) mod actions;
pub(super) mod bulk_actions;
pub(super) mod frontline;
pub(super) mod health;
pub(super) mod sessions;
pub(super) mod usage;

use cloudpc_model::{CloudPc, CloudPcId};
use cloudpc_store::Reader;

use super::scan::{ReportPiece, ReportSource};
use super::{ReportRow, ReportScope};
use crate::pipeline::Problem;

/// Cloud PCs of one read. Each costs a read of its sessions or health events.
const CLOUD_PCS_READ: usize = 50;

/// What a report has of one Cloud PC, and how many rows of the store were read for it.
type RowsFn = fn(&ReportScope, &Reader<'_>, &CloudPc) -> Result<(Vec<ReportRow>, usize), Problem>;

/// The rows that a function makes of each Cloud PC.
pub(super) struct OfCloudPcs {
    scope: ReportScope,
    after: Option<CloudPcId>,
    rows: RowsFn,
}

impl OfCloudPcs {
    pub(super) fn boxed(scope: ReportScope, rows: RowsFn) -> Box<dyn ReportSource> {
        Box::new(Self { scope, after: None, rows })
    }
}

impl ReportSource for OfCloudPcs {
    fn next(&mut self, reader: &Reader<'_>) -> Result<ReportPiece, Problem> {
        let scope = &mut self.scope;
        let cloud_pcs = match scope.cloud_pc {
            Some(id) => reader.cloud_pc(scope.tenant, id)?.into_iter().collect(),
            None => reader.cloud_pc_list(scope.tenant, None, self.after, CLOUD_PCS_READ)?,
        };
        let mut piece = ReportPiece { rows: Vec::new(), read: 0, ended: cloud_pcs.len() < CLOUD_PCS_READ };
        for cloud_pc in &cloud_pcs {
            if !scope.includes(reader, Some(cloud_pc))? {
                piece.read += 1;
                continue;
            }
            let (rows, read) = (self.rows)(scope, reader, cloud_pc)?;
            piece.rows.extend(rows);
            piece.read += read + 1;
        }
        self.after = cloud_pcs.last().map(|cloud_pc| cloud_pc.id);
        Ok(piece)
    }
}

/// Returns a row of these values.
fn row<const N: usize>(values: [(&'static str, serde_json::Value); N]) -> ReportRow {
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
