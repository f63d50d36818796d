//! Remote sessions, one by one and by day.

use cloudpc_model::{CloudPc, CloudPcId, RemoteSession, Timestamp};
use cloudpc_store::Reader;
use std::collections::BTreeMap;

use super::row;
use crate::pipeline::Problem;
use crate::pipeline::list::SLICE_ROWS;
use crate::reports::column::{hours, median, thousandths, time};
use crate::reports::scan::{ReportPiece, ReportSource};
use crate::reports::{ReportRow, ReportScope};

/// Microseconds of a day.
pub(super) const DAY_MICROS: i64 = 86_400_000_000;

/// The sessions of a tenant, or of one Cloud PC, each a row.
pub(in crate::reports) struct RemoteSessions {
    scope: ReportScope,
    after: Option<(CloudPcId, i64)>,
    /// The Cloud PC of the last row; sessions come by Cloud PC.
    cloud_pc: Option<CloudPc>,
}

impl RemoteSessions {
    pub(in crate::reports) fn boxed(scope: ReportScope) -> Box<dyn ReportSource> {
        Box::new(Self { scope, after: None, cloud_pc: None })
    }
}

impl ReportSource for RemoteSessions {
    fn next(&mut self, reader: &Reader<'_>) -> Result<ReportPiece, Problem> {
        let tenant = self.scope.tenant;
        let sessions: Vec<_> = match self.scope.cloud_pc {
            Some(id) => {
                let sessions = reader.remote_session_list(tenant, id, None, usize::MAX)?;
                sessions.into_iter().map(|session| (id, session)).collect()
            }
            None => reader.remote_session_list_all(tenant, self.after, SLICE_ROWS)?,
        };
        let ended = self.scope.cloud_pc.is_some() || sessions.len() < SLICE_ROWS;
        self.after = sessions.last().map(|(id, session)| (*id, session.id));
        let mut rows = Vec::with_capacity(sessions.len());
        for (id, session) in &sessions {
            if self.cloud_pc.as_ref().is_none_or(|cloud_pc| cloud_pc.id != *id) {
                self.cloud_pc = reader.cloud_pc(tenant, *id)?;
            }
            let Some(cloud_pc) = &self.cloud_pc else { continue };
            if self.scope.includes(reader, Some(cloud_pc))? {
                rows.push(session_row(&self.scope, cloud_pc, session));
            }
        }
        Ok(ReportPiece { read: sessions.len(), rows, ended })
    }
}

/// A row for each day on which a Cloud PC was used, days in UTC.
pub(in crate::reports) fn by_day(
    scope: &ReportScope,
    reader: &Reader<'_>,
    cloud_pc: &CloudPc,
) -> Result<(Vec<ReportRow>, usize), Problem> {
    let sessions = reader.remote_session_list(scope.tenant, cloud_pc.id, None, usize::MAX)?;
    let read = sessions.len();
    let mut days: BTreeMap<i64, Vec<RemoteSession>> = BTreeMap::new();
    for session in sessions {
        for (day, part) in split_by_day(session, scope.now) {
            days.entry(day).or_default().push(part);
        }
    }
    Ok((days.values().map(|parts| day_row(scope, cloud_pc, parts)).collect(), read))
}

/// Returns the parts of a session that belong to different days, with the numbers of the days.
fn split_by_day(session: RemoteSession, now: Timestamp) -> Vec<(i64, RemoteSession)> {
    let end = session.signed_out_at.unwrap_or(now).max(session.signed_in_at);
    let day_of = |at: Timestamp| at.0.div_euclid(DAY_MICROS);
    // A session that ends at midnight has no part in the next day.
    let last = day_of(Timestamp((end.0 - 1).max(session.signed_in_at.0)));
    (day_of(session.signed_in_at)..=last)
        .map(|day| {
            let ends_here = day == last;
            let part = RemoteSession {
                signed_in_at: session.signed_in_at.max(Timestamp(day * DAY_MICROS)),
                signed_out_at: if ends_here { session.signed_out_at } else { Some(Timestamp((day + 1) * DAY_MICROS)) },
                ..session.clone()
            };
            (day, part)
        })
        .collect()
}

fn day_row(scope: &ReportScope, cloud_pc: &CloudPc, parts: &[RemoteSession]) -> ReportRow {
    let first = parts.iter().map(|part| part.signed_in_at).min();
    let is_open = parts.iter().any(|part| part.signed_out_at.is_none());
    let last = parts.iter().filter_map(|part| part.signed_out_at).max().filter(|_| !is_open);
    row([
        ("CloudPcId", cloud_pc.id.to_string().into()),
        ("ManagedDeviceName", cloud_pc.managed_device_name.as_str().into()),
        ("UserPrincipalName", cloud_pc.user_principal_name.as_str().into()),
        ("SignInDateTime", time(first)),
        ("SignOutDateTime", time(last)),
        ("UsageInHour", hours(parts.iter().map(|part| part.micros(scope.now)).sum())),
        ("RoundTripTimeInMsP50", median(parts.iter().map(|part| part.round_trip_ms)).into()),
        ("AvailableBandwidthInMBpsP50", thousandths(median(parts.iter().map(|part| part.bandwidth_kbps)))),
        ("RemoteSignInTimeInSec", thousandths(median(parts.iter().map(|part| part.sign_in_ms)))),
    ])
}

fn session_row(scope: &ReportScope, cloud_pc: &CloudPc, session: &RemoteSession) -> ReportRow {
    row([
        ("ActivityId", format!("{}-{}", cloud_pc.id, session.id).into()),
        ("CloudPcId", cloud_pc.id.to_string().into()),
        ("ManagedDeviceName", cloud_pc.managed_device_name.as_str().into()),
        ("UserPrincipalName", session.user_principal_name.as_str().into()),
        ("SignInDateTime", time(Some(session.signed_in_at))),
        ("SignOutDateTime", time(session.signed_out_at)),
        ("UsageInHour", hours(session.micros(scope.now))),
        ("RoundTripTimeInMsP50", session.round_trip_ms.into()),
        ("AvailableBandwidthInMBpsP50", thousandths(session.bandwidth_kbps)),
        ("RemoteSignInTimeInSec", thousandths(session.sign_in_ms)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(signed_in_at: i64, signed_out_at: Option<i64>) -> RemoteSession {
        RemoteSession {
            id: 1,
            user_principal_name: "ada@contoso.test".into(),
            signed_in_at: Timestamp(signed_in_at),
            signed_out_at: signed_out_at.map(Timestamp),
            seen_at: None,
            round_trip_ms: None,
            bandwidth_kbps: None,
            sign_in_ms: None,
        }
    }

    fn parts(session: RemoteSession, now: i64) -> Vec<(i64, i64, Option<i64>)> {
        let parts = split_by_day(session, Timestamp(now));
        parts.into_iter().map(|(day, part)| (day, part.signed_in_at.0, part.signed_out_at.map(|at| at.0))).collect()
    }

    #[test]
    fn a_session_over_midnight_is_split_between_the_days() {
        const DAY: i64 = DAY_MICROS;
        let over = session(DAY - 10, Some(2 * DAY + 5));
        let days = [(0, DAY - 10, Some(DAY)), (1, DAY, Some(2 * DAY)), (2, 2 * DAY, Some(2 * DAY + 5))];
        assert_eq!(parts(over.clone(), 9 * DAY), days);
        let total: i64 =
            split_by_day(over.clone(), Timestamp(0)).iter().map(|(_, part)| part.micros(Timestamp(0))).sum();
        assert_eq!(total, over.micros(Timestamp(0)));
        assert_eq!(parts(session(5, Some(DAY)), 9 * DAY), [(0, 5, Some(DAY))], "it ends at midnight");
        assert_eq!(parts(session(5, None), DAY + 1), [(0, 5, Some(DAY)), (1, DAY, None)], "it lasts");
        assert_eq!(parts(session(7, None), 3), [(0, 7, None)], "the clock was set back");
    }
}
