//! JSON of others, strictly: no key twice in one object, so that no two readers
//! can see two things. Depth is bounded by the parser (128).

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// Reads one value.
pub(crate) fn value(bytes: &[u8]) -> Option<Value> {
    let Unique(value) = serde_json::from_slice(bytes).ok()?;
    Some(value)
}

/// Reads one object.
pub(crate) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match value(bytes)? {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Any).map(Self)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Unique(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some((key, Unique(value))) = map.next_entry::<String, _>()? {
            if values.insert(key, value).is_some() {
                return Err(Error::custom("a key twice"));
            }
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_twice_is_refused_at_every_depth() {
        let good = br#"{"a":[1,-2,0.5,"x",null,true,{"b":{}}],"b":1}"#;
        let same: Map<String, Value> = serde_json::from_slice(good).unwrap();
        assert_eq!(object(good), Some(same));
        for bad in [
            &br#"{"a":1,"a":1}"#[..],
            br#"{"a":1,"\u0061":2}"#,
            br#"{"a":[{"b":1,"b":2}]}"#,
            br#"[]"#,
            br#"{"a":1} "#.strip_suffix(b"} ").unwrap(),
            br#"{"a":1}x"#,
        ] {
            assert_eq!(object(bad), None);
        }
        let deep = [vec![b'['; 200], vec![b']'; 200]].concat();
        assert_eq!(object(&[br#"{"a":"#, &deep[..], b"}"].concat()), None);
    }
}
