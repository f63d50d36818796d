//! Operations on groups.

pub(super) mod assign_license;
pub(super) mod count;
pub(super) mod create;
pub(super) mod delete;
pub(super) mod delta;
pub(super) mod get;
pub(super) mod list;
mod property;
pub(super) mod update;

use cloudpc_graph::TypeRef;
use cloudpc_graph::body::Leniency;
use cloudpc_model::{AuditEntry, AuditResource, AuditVerb, GroupId, ResourceType, SkuId};
use cloudpc_store::{Group, LicenseHolder, Reader};

use crate::pipeline::list::PropertySet;
use crate::pipeline::{Call, Problem};
use crate::views::directory::GroupView;

pub use property::REFERENCES_MAX;

/// Most groups of a tenant.
pub const GROUPS_MAX: u64 = 5_000;

/// Property of the body that names new members.
const MEMBERS: &str = "members@odata.bind";

/// Bodies of groups may name members.
pub(super) fn leniency() -> Leniency {
    let links = TypeRef { name: "Edm.String".into(), collection: true, nullable: false, navigation: false };
    Leniency { observed: [(MEMBERS.to_owned(), links)].into(), ..Leniency::default() }
}

/// Returns the group in the path.
pub(super) fn find(call: &Call, reader: &Reader<'_>) -> Result<Group, Problem> {
    let id: GroupId = call.id(0, "group")?;
    reader.group(call.tenant(), id)?.ok_or_else(|| Problem::not_found("group", call.key(0)))
}

/// A group with what an answer shows of it.
#[derive(Clone)]
pub(super) struct Shown {
    pub group: Group,
    licenses: Vec<SkuId>,
}

impl Shown {
    /// Reads the licences only if the request asks for them.
    pub(super) fn read(call: &Call, reader: &Reader<'_>, group: Group) -> Result<Self, Problem> {
        let wanted = call.mentions("assignedLicenses");
        let licenses = if wanted {
            reader.license_assignments(call.tenant(), LicenseHolder::Group(group.id))?
        } else {
            Vec::new()
        };
        Ok(Self { group, licenses })
    }

    pub(super) fn view(&self, set: PropertySet) -> GroupView {
        GroupView::new(&self.group, &self.licenses, set, false)
    }

    /// The view in a list that can have objects of other types in Graph.
    pub(super) fn view_as_member(&self, set: PropertySet) -> GroupView {
        GroupView::new(&self.group, &self.licenses, set, true)
    }
}

/// The properties of one entity: all if the client selects any.
fn set_of(call: &Call) -> PropertySet {
    if call.options.select.is_some() { PropertySet::All } else { PropertySet::Default }
}

pub(super) fn audit(call: &Call, verb: AuditVerb, group: &Group) -> AuditEntry {
    call.audit(verb, AuditResource::new(ResourceType::Group, group.id).named(&group.display_name))
}
