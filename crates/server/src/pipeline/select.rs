//! `$select`: limits a value to the properties that the client names.

use cloudpc_graph::control::UNSELECTED_KEY;
use cloudpc_graph::{Edm, MetadataLevel};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;

use super::Call;

/// The annotation by which clients choose the type of an object, which is no property.
const TYPE: &str = "@odata.type";

/// A value limited to the properties that `$select` names, in that order. A property that the model
/// declares and this server lacks is null or an empty collection. Navigation properties are
/// omitted, as they are without `$expand`.
pub(super) struct Picked<'a> {
    edm: &'static Edm,
    type_name: &'a str,
    value: Value,
    names: &'a [String],
    /// Expanded properties, which are sent whether or not they are selected.
    expanded: Vec<&'a str>,
    /// Whether the id is needed for the object's address, or for what is expanded within it.
    has_address: bool,
}

impl<'a> Picked<'a> {
    pub(super) fn new(call: &'a Call, view: &impl Serialize, names: &'a [String]) -> Self {
        let type_name = call.target.operation.item_type.as_deref().unwrap_or_default();
        let expanded = call.options.expand.iter().map(|expansion| expansion.property.as_str()).collect();
        let has_address = call.metadata == MetadataLevel::Full || call.expands_further();
        Self { expanded, has_address, ..Self::of(call.edm, type_name, view, names) }
    }

    fn of(edm: &'static Edm, type_name: &'a str, view: &impl Serialize, names: &'a [String]) -> Self {
        let value = serde_json::to_value(view).expect("a view is plain data");
        Self { edm, type_name, value, names, expanded: Vec::new(), has_address: false }
    }

    /// Returns the value of a property that the view lacks.
    fn absent(&self, name: &str) -> Option<Value> {
        // A property of a derived type is left out of objects of other types.
        let property = self.edm.type_named(self.type_name).and_then(|declared| declared.property(name))?;
        match &property.type_ref {
            type_ref if type_ref.navigation => None,
            type_ref if type_ref.collection => Some(Value::Array(Vec::new())),
            _ => Some(Value::Null),
        }
    }
}

impl Serialize for Picked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.names.iter().any(|name| name == "*") {
            return self.value.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        if let Some(of) = self.value.get(TYPE) {
            map.serialize_entry(TYPE, of)?;
        }
        if let Some(id) =
            self.value.get("id").filter(|_| self.has_address && !self.names.iter().any(|name| name == "id"))
        {
            map.serialize_entry(UNSELECTED_KEY, id)?;
        }
        for (place, name) in self.names.iter().enumerate() {
            let name = name.split('/').next().unwrap_or(name);
            let seen = |other: &String| other.split('/').next() == Some(name);
            if self.names[..place].iter().any(seen) {
                continue;
            }
            if let Some(value) = self.value.get(name) {
                map.serialize_entry(name, value)?;
            } else if let Some(value) = self.absent(name) {
                map.serialize_entry(name, &value)?;
            }
        }
        let of_expanded = |name: &str| self.expanded.iter().any(|own| name.split('@').next() == Some(own));
        for (name, value) in self.value.as_object().into_iter().flatten().filter(|(name, _)| of_expanded(name)) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudpc_graph::Version;
    use serde_json::json;

    #[test]
    fn select_keeps_its_order_and_the_type_and_fills_absent_properties() {
        let names = ["notes", "deviceName", "usersLoggedOn", "users", "deviceName/inner"].map(str::to_owned);
        let view = json!({"@odata.type": "#microsoft.graph.managedDevice", "id": 1, "deviceName": {"inner": 2}});
        let picked = Picked::of(Edm::of(Version::Beta), "managedDevice", &view, &names);
        assert_eq!(
            serde_json::to_string(&picked).unwrap(),
            r##"{"@odata.type":"#microsoft.graph.managedDevice","notes":null,"deviceName":{"inner":2},"usersLoggedOn":[]}"##
        );
    }
}
