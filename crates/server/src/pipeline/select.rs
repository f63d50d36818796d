//! `$select`: limits a value to the properties that the client names.

use cloudpc_graph::Edm;
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
}

impl<'a> Picked<'a> {
    pub(super) fn new(call: &'a Call, view: &impl Serialize, names: &'a [String]) -> Self {
        let type_name = call.target.operation.item_type.as_deref().unwrap_or_default();
        let expanded = call.options.expand.iter().map(|expansion| expansion.property.as_str()).collect();
        Self { expanded, ..Self::of(call.edm, type_name, view, names) }
    }

    fn of(edm: &'static Edm, type_name: &'a str, view: &impl Serialize, names: &'a [String]) -> Self {
        let value = serde_json::to_value(view).expect("a view is plain data");
        Self { edm, type_name, value, names, expanded: Vec::new() }
    }

    /// Returns the value of a property that the view lacks.
    fn absent(&self, name: &str) -> Option<Value> {
        let property = self.edm.type_named(self.type_name).and_then(|declared| declared.property(name));
        match property.map(|property| &property.type_ref) {
            Some(type_ref) if type_ref.navigation => None,
            Some(type_ref) if type_ref.collection => Some(Value::Array(Vec::new())),
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
