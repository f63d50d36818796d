//! How many licences of each frontline service plan are in use now.

use cloudpc_model::{Product, ServicePlanId};
use cloudpc_store::Reader;
use std::collections::BTreeSet;

use super::row;
use crate::pipeline::Problem;
use crate::reports::ReportScope;
use crate::reports::column::time;
use crate::reports::scan::{ReportPiece, ReportSource};

/// A row for each frontline service plan that the tenant subscribes to; there are few.
pub(in crate::reports) struct FrontlineLicenses(ReportScope);

impl FrontlineLicenses {
    pub(in crate::reports) fn boxed(scope: ReportScope) -> Box<dyn ReportSource> {
        Box::new(Self(scope))
    }
}

impl ReportSource for FrontlineLicenses {
    fn next(&mut self, reader: &Reader<'_>) -> Result<ReportPiece, Problem> {
        let ReportScope { tenant, now, .. } = self.0;
        let plans: BTreeSet<ServicePlanId> =
            reader.subscription_list(tenant)?.into_iter().map(|subscription| subscription.service_plan_id).collect();
        let mut piece = ReportPiece { rows: Vec::new(), read: plans.len(), ended: true };
        for id in plans {
            let Some(plan) = reader.service_plan(tenant, id)?.filter(|plan| plan.product == Product::Frontline) else {
                continue;
            };
            piece.rows.push(row([
                ("ServicePlanId", id.to_string().into()),
                ("ServicePlanName", plan.display_name.into()),
                ("LicensesCount", cloudpc_engine::licenses(reader, tenant, id)?.into()),
                ("UsedLicensesCount", reader.frontline_activation_count(tenant, id)?.into()),
                ("DateTime", time(Some(now))),
            ]));
        }
        Ok(piece)
    }
}
