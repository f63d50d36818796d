//! The values that the store binds to statements and reads from columns.

use uuid::Uuid;

/// A value of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Null,
    Integer(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl Value<'_> {
    /// The kind of value, for messages.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Integer(_) => "an integer",
            Value::Text(_) => "a text",
            Value::Bytes(_) => "bytes",
        }
    }
}

/// What can be bound to a statement.
pub(crate) trait ToValue {
    fn to_value(&self) -> Value<'_>;
}

/// What can be read from a column.
pub(crate) trait FromValue: Sized {
    /// Returns none if the value is of another kind or out of range.
    fn from_value(value: Value<'_>) -> Option<Self>;
}

/// The parameters of a statement, in order.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::connection::ToValue::to_value(&$value)),*] as &[$crate::connection::Value<'_>]
    };
}
pub(crate) use params;

impl ToValue for bool {
    fn to_value(&self) -> Value<'_> {
        Value::Integer((*self).into())
    }
}

impl ToValue for u32 {
    fn to_value(&self) -> Value<'_> {
        Value::Integer((*self).into())
    }
}

impl ToValue for i64 {
    fn to_value(&self) -> Value<'_> {
        Value::Integer(*self)
    }
}

impl ToValue for str {
    fn to_value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl ToValue for String {
    fn to_value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl ToValue for [u8] {
    fn to_value(&self) -> Value<'_> {
        Value::Bytes(self)
    }
}

impl ToValue for Vec<u8> {
    fn to_value(&self) -> Value<'_> {
        Value::Bytes(self)
    }
}

impl<const BYTES: usize> ToValue for [u8; BYTES] {
    fn to_value(&self) -> Value<'_> {
        Value::Bytes(self)
    }
}

impl ToValue for Uuid {
    fn to_value(&self) -> Value<'_> {
        Value::Bytes(self.as_bytes())
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value<'_> {
        (**self).to_value()
    }
}

impl FromValue for i64 {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Integer(number) => Some(number),
            _ => None,
        }
    }
}

impl FromValue for u32 {
    fn from_value(value: Value<'_>) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl FromValue for bool {
    fn from_value(value: Value<'_>) -> Option<Self> {
        Some(i64::from_value(value)? != 0)
    }
}

impl FromValue for String {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.to_owned()),
            _ => None,
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Bytes(bytes) => Some(bytes.to_owned()),
            _ => None,
        }
    }
}

impl<const BYTES: usize> FromValue for [u8; BYTES] {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Bytes(bytes) => bytes.try_into().ok(),
            _ => None,
        }
    }
}

impl FromValue for Uuid {
    fn from_value(value: Value<'_>) -> Option<Self> {
        FromValue::from_value(value).map(Uuid::from_bytes)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_kind_or_out_of_range_is_not_read() {
        assert_eq!(u32::from_value(Value::Integer(u32::MAX.into())), Some(u32::MAX));
        assert_eq!(u32::from_value(Value::Integer(i64::from(u32::MAX) + 1)), None);
        assert_eq!(u32::from_value(Value::Integer(-1)), None);
        assert_eq!(i64::from_value(Value::Text("1")), None);
        assert_eq!(String::from_value(Value::Bytes(b"a")), None);
        assert_eq!(<[u8; 2]>::from_value(Value::Bytes(b"abc")), None);
        assert_eq!(Uuid::from_value(Value::Bytes(&[0; 15])), None);
        assert_eq!(String::from_value(Value::Null), None);
        assert_eq!(Option::<String>::from_value(Value::Null), Some(None));
    }

    #[test]
    fn values_are_read_as_they_were_bound() {
        let id = Uuid::from_u128(7);
        assert_eq!(Uuid::from_value(id.to_value()), Some(id));
        assert_eq!(bool::from_value(true.to_value()), Some(true));
        assert_eq!(Option::<u32>::from_value(Some(3_u32).to_value()), Some(Some(3)));
        assert_eq!(String::from_value("text".to_value()), Some("text".into()));
        assert_eq!(Vec::from_value([1_u8, 2].to_value()), Some(vec![1, 2]));
        assert_eq!(None::<&str>.to_value(), Value::Null);
    }
}
