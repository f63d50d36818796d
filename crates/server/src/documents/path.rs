//! Properties by path, such as `restorePointSetting/frequencyType`. A path through a collection
//! means each of its elements.

use cloudpc_model::Object;
use serde_json::Value;

/// Calls `visit` with each object that holds the last property of the path, and the property's
/// name. Objects that are not there are not made.
pub(super) fn each(object: &mut Object, path: &str, visit: &mut dyn FnMut(&mut Object, &str)) {
    match path.split_once('/') {
        None => visit(object, path),
        Some((first, rest)) => match object.get_mut(first) {
            Some(Value::Object(inner)) => each(inner, rest, visit),
            Some(Value::Array(elements)) => {
                elements.iter_mut().filter_map(Value::as_object_mut).for_each(|inner| each(inner, rest, visit));
            }
            _ => {}
        },
    }
}

/// The values at a path. A property that is not there is null, if the object that would hold it is
/// there.
pub(super) fn values<'a>(object: &'a Object, path: &str) -> Vec<&'a Value> {
    match path.split_once('/') {
        None => vec![object.get(path).unwrap_or(&Value::Null)],
        Some((first, rest)) => match object.get(first) {
            Some(Value::Object(inner)) => values(inner, rest),
            Some(Value::Array(elements)) => {
                elements.iter().filter_map(Value::as_object).flat_map(|inner| values(inner, rest)).collect()
            }
            _ => Vec::new(),
        },
    }
}

/// Sets a property where it is not there or null. Objects on the way are made, elements of
/// collections are not.
pub(super) fn fill(object: &mut Object, path: &str, value: &Value) {
    match path.split_once('/') {
        None => {
            let held = object.entry(path).or_insert(Value::Null);
            if held.is_null() {
                held.clone_from(value);
            }
        }
        Some((first, rest)) => match object.entry(first).or_insert(Value::Null) {
            Value::Array(elements) => {
                elements.iter_mut().filter_map(Value::as_object_mut).for_each(|inner| fill(inner, rest, value));
            }
            Value::Object(inner) => fill(inner, rest, value),
            held => {
                let mut inner = Object::new();
                fill(&mut inner, rest, value);
                *held = Value::Object(inner);
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_path_through_a_collection_means_each_element() {
        let mut body = object(json!({"a": [{"b": 1}, {"c": 2}], "d": {"e": 3}}));
        assert_eq!(values(&body, "a/b"), [&json!(1), &Value::Null]);
        assert_eq!(values(&body, "d/e"), [&json!(3)]);
        assert_eq!(values(&body, "x/e"), Vec::<&Value>::new());
        each(&mut body, "a/b", &mut |inner, name| drop(inner.insert(name.into(), json!(9))));
        assert_eq!(body["a"], json!([{"b": 9}, {"b": 9, "c": 2}]));
    }

    #[test]
    fn what_is_there_is_not_overwritten() {
        let mut body = object(json!({"a": {"b": 1}, "c": [{}, {"d": 5}], "n": null}));
        for (path, value) in [("a/b", 7), ("a/x", 7), ("c/d", 7), ("n", 7), ("new/deep", 7)] {
            fill(&mut body, path, &json!(value));
        }
        let expected = json!({"a": {"b": 1, "x": 7}, "c": [{"d": 7}, {"d": 5}], "n": 7, "new": {"deep": 7}});
        assert_eq!(Value::Object(body), expected);
    }
}
