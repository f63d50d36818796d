//! `cloudPcSettingProfile`: settings of Cloud PCs and of the client app, by group. No SDK has it;
//! its shape is what public clients send and read. The settings are kept and not applied.

use cloudpc_graph::GraphError;
use cloudpc_model::{Document, DocumentType};
use cloudpc_store::Reader;
use serde_json::{Value, json};

use super::rights;
use crate::documents::assign::ToGroups;
use crate::documents::kind::Const::{Text, Texts};
use crate::documents::kind::Fact::{CharsMax, Computed, CreatedAt, Default, ModifiedAt, ParentId, Required};
use crate::documents::kind::{ASSIGNABLE, DocumentChange, DocumentKind, Hooks, Rights, WRITABLE};
use crate::pipeline::{Call, Problem, required};

static RIGHTS: Rights = rights("Settings");

/// Most setting profiles of a tenant.
pub(crate) const SETTING_PROFILES_MAX: u64 = 100;
/// Most settings of a profile, children included.
const SETTINGS_MAX: usize = 200;
/// Most levels of settings: a setting of the profile is on the first, its children on the second.
const SETTING_LEVELS_MAX: usize = 4;

/// `cloudPcSettingProfile`
pub(super) static SETTING_PROFILE: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcSettingProfile,
    "/deviceManagement/virtualEndpoint/settingProfiles",
    &RIGHTS,
    ASSIGNABLE,
    &[
        Required("displayName"),
        CharsMax("displayName", 120),
        CharsMax("description", 512),
        Default("profileType", Text("template")),
        CharsMax("profileType", 64),
        CharsMax("templateId", 128),
        Default("roleScopeTagIds", Texts(&["0"])),
        Computed("isAssigned"),
        CreatedAt("createdDateTime"),
        ModifiedAt("lastModifiedDateTime"),
    ],
)
.at_most(SETTING_PROFILES_MAX)
.expands(&["assignments", "settings"])
.hooks(&ProfileHooks);

/// `cloudPcSettingProfileAssignment`
pub(super) static ASSIGNMENT: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcSettingProfileAssignment,
    "/deviceManagement/virtualEndpoint/settingProfiles/{cloudPcSettingProfile-id}/assignments",
    &RIGHTS,
    WRITABLE,
    &[Required("groupId"), Default("assignType", Text("group")), ParentId("profileId")],
)
.within(&SETTING_PROFILE)
.hooks(&ToGroups);

struct ProfileHooks;

impl Hooks for ProfileHooks {
    fn check(&self, _reader: &Reader<'_>, change: &mut DocumentChange<'_>) -> Result<(), Problem> {
        let settings = change.new.body.get("settings").and_then(Value::as_array).map(Vec::as_slice);
        check_settings(settings.unwrap_or_default(), 1, &mut 0)?;
        Ok(())
    }

    fn computed(&self, reader: &Reader<'_>, _call: &Call, page: &mut [Document]) -> Result<(), Problem> {
        for profile in page {
            let kind = DocumentType::CloudPcSettingProfileAssignment;
            let count = reader.document_count(profile.tenant_id, kind, &profile.key.id)?;
            profile.status.insert("isAssigned".into(), json!(count > 0));
        }
        Ok(())
    }
}

/// Checks settings and their children, and counts them.
fn check_settings(settings: &[Value], level: usize, count: &mut usize) -> Result<(), GraphError> {
    let wrong = |message: String| Err(GraphError::bad_request(message).about("settings"));
    if level > SETTING_LEVELS_MAX && !settings.is_empty() {
        return wrong(format!("'settings' has {level} levels; at most {SETTING_LEVELS_MAX} are allowed. Nest fewer."));
    }
    *count += settings.len();
    if *count > SETTINGS_MAX {
        return wrong(format!("'settings' has more than {SETTINGS_MAX} settings, children included. Send fewer."));
    }
    for setting in settings {
        if setting.get("settingDefinitionId").and_then(Value::as_str).is_none_or(|id| id.trim().is_empty()) {
            return Err(required("settings/settingDefinitionId"));
        }
        let children = setting.get("children").and_then(Value::as_array).map(Vec::as_slice);
        check_settings(children.unwrap_or_default(), level + 1, count)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> Value {
        let children = if levels > 1 { vec![nested(levels - 1)] } else { Vec::new() };
        json!({"settingDefinitionId": "s", "children": children})
    }

    #[test]
    fn settings_are_limited_in_number_and_levels() {
        assert_eq!(check_settings(&[nested(SETTING_LEVELS_MAX)], 1, &mut 0), Ok(()));
        let deep = check_settings(&[nested(SETTING_LEVELS_MAX + 1)], 1, &mut 0).unwrap_err();
        assert!(deep.message.contains("5 levels; at most 4"), "{deep:?}");
        assert_eq!(check_settings(&vec![nested(2); SETTINGS_MAX / 2], 1, &mut 0), Ok(()));
        assert!(check_settings(&vec![nested(2); SETTINGS_MAX / 2 + 1], 1, &mut 0).is_err());
        assert!(check_settings(&[json!({"settingDefinitionId": " "})], 1, &mut 0).is_err());
    }
}
