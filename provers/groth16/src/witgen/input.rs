//! The input: a JSON object of signals, numbers or nested arrays of them.
//!
//! Arrays are flattened in order, as snarkjs does. Nothing of the text is copied
//! but the names; values become field elements as they are met. Memory taken is
//! bounded by the number of values that the circuit takes.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use ark_ff::BigInt;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use super::abi::SignalHash;
use super::error::{SecretDetail, WitgenError};
use super::number::{self, Unfit};

/// Longest name of a signal, in bytes.
const MAX_NAME: usize = 1024;

/// The signals of an input. Secret, names and values.
#[derive(Default)]
pub(super) struct Signals {
    /// Name, and where its values are.
    pub(super) names: Vec<(Zeroizing<String>, Range<usize>)>,
    pub(super) values: Zeroizing<Vec<BigInt<4>>>,
}

/// What made the parser stop, beside broken JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    NotNumber,
    OutOfField,
    TooMany,
    Duplicate,
    Name,
}

/// Whether an input is well formed, whatever circuit it is for, and how many
/// values it has, at most `limit`.
///
/// # Errors
/// What a generator would say of it before it looks at names and lengths.
pub fn check(json: &[u8], limit: usize) -> Result<usize, WitgenError> {
    parse(json, limit).map(|signals| signals.values.len())
}

/// Reads an input of at most `limit` values.
pub(super) fn parse(json: &[u8], limit: usize) -> Result<Signals, WitgenError> {
    let mut signals = Signals::default();
    let stop = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let object = Object {
        signals: &mut signals,
        stop: &stop,
        limit,
    };
    let parsed = object
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end());
    if parsed.is_ok() {
        return Ok(signals);
    }
    let name = signals.names.last().map(|(name, _)| name.as_str());
    let detail = || SecretDetail::new(format!("signal `{}`", name.unwrap_or_default()));
    Err(match stop.get() {
        Some(Stop::NotNumber) => WitgenError::SignalNotNumber(detail()),
        Some(Stop::OutOfField) => WitgenError::SignalOutOfField(detail()),
        Some(Stop::TooMany) => WitgenError::SignalLength(detail()),
        Some(Stop::Duplicate) => WitgenError::SignalDuplicate(detail()),
        Some(Stop::Name) | None => WitgenError::InputMalformed,
    })
}

struct Object<'s> {
    signals: &'s mut Signals,
    stop: &'s Cell<Option<Stop>>,
    limit: usize,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of signals")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self {
            signals,
            stop,
            limit,
        } = self;
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let name = Zeroizing::new(name);
            // A signal may be an empty array: names are bounded by themselves.
            if name.len() > MAX_NAME || signals.names.len() > limit.saturating_add(MAX_NAME) {
                return Err(halt(stop, Stop::Name));
            }
            let twice = !seen.insert(SignalHash::of(&name));
            let start = signals.values.len();
            signals.names.push((name, start..start));
            if twice {
                return Err(halt(stop, Stop::Duplicate));
            }
            map.next_value_seed(Values {
                values: &mut signals.values,
                stop,
                limit,
            })?;
            if let Some((_, range)) = signals.names.last_mut() {
                range.end = signals.values.len();
            }
        }
        Ok(())
    }
}

struct Values<'s> {
    values: &'s mut Vec<BigInt<4>>,
    stop: &'s Cell<Option<Stop>>,
    limit: usize,
}

impl Values<'_> {
    fn push<E: serde::de::Error>(self, value: Result<BigInt<4>, Unfit>) -> Result<(), E> {
        let value = value.map_err(|unfit| {
            let stop = match unfit {
                Unfit::NotNumber => Stop::NotNumber,
                Unfit::OutOfField => Stop::OutOfField,
            };
            halt(self.stop, stop)
        })?;
        if self.values.len() >= self.limit {
            return Err(halt(self.stop, Stop::TooMany));
        }
        self.values.push(value);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        let value = number::parse(text);
        self.push(value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.push(number::small(false, value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.push(number::small(value < 0, value.unsigned_abs()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self {
            values,
            stop,
            limit,
        } = self;
        while let Some(()) = seq.next_element_seed(Values {
            values: &mut *values,
            stop,
            limit,
        })? {}
        Ok(())
    }

    // Whatever else JSON has is no number; one with a fraction, an exponent, or
    // beyond 64 bits has no exact meaning without quotes.
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.push(Err(Unfit::NotNumber))
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.push(Err(Unfit::NotNumber))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.push(Err(Unfit::NotNumber))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.push(Err(Unfit::NotNumber))
    }
}

/// The parser's errors quote what they met: only that there was one is used.
fn halt<E: serde::de::Error>(stop: &Cell<Option<Stop>>, why: Stop) -> E {
    stop.set(Some(why));
    E::custom("")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Signals, parse};

    fn values(signals: &Signals, at: usize) -> Vec<u64> {
        let (_, range) = &signals.names[at];
        signals.values[range.clone()]
            .iter()
            .map(|v| v.0[0])
            .collect()
    }

    #[test]
    fn nested_arrays_are_flattened_in_order() {
        let json = br#"{"a":[[1,"2"],[["0x3"],4]], "b":5 ,"c":[]}"#;
        let signals = parse(json, 5).unwrap();
        let names: Vec<&str> = signals.names.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(values(&signals, 0), [1, 2, 3, 4]);
        assert_eq!(values(&signals, 1), [5]);
        assert!(values(&signals, 2).is_empty());
    }

    #[test]
    fn each_fault_has_its_code_and_names_the_signal_apart() {
        let r = "21888242871839275222246405745257275088548364400416034343698204186575808495617";
        let cases = [
            (r#"{"x":1,"bad":"seven"}"#.to_owned(), "signal_not_number"),
            (r#"{"bad":1.5}"#.into(), "signal_not_number"),
            (r#"{"bad":1e3}"#.into(), "signal_not_number"),
            (
                r#"{"bad":18446744073709551616}"#.into(),
                "signal_not_number",
            ),
            (r#"{"bad":null}"#.into(), "signal_not_number"),
            (r#"{"bad":[true]}"#.into(), "signal_not_number"),
            (r#"{"bad":{"a":1}}"#.into(), "signal_not_number"),
            (format!(r#"{{"bad":"{r}"}}"#), "signal_out_of_field"),
            (r#"{"bad":[1,2,3,4]}"#.into(), "signal_length"),
            (r#"{"bad":1,"bad":2}"#.into(), "signal_duplicate"),
        ];
        for (json, code) in cases {
            let error = parse(json.as_bytes(), 3).err().unwrap();
            assert_eq!(error.code(), code, "{json}");
            assert_eq!(error.detail().unwrap().expose(), "signal `bad`");
            // Invariant 3: the texts that may reach a log name no signal. They
            // would if the detail were part of Display or Debug.
            assert!(!format!("{error} {error:?}").contains("bad"));
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let deep = format!(r#"{{"a":{}1"#, "[".repeat(100_000));
        let long = format!(r#"{{"{}":1}}"#, "n".repeat(2000));
        for json in [
            "",
            "[]",
            "1",
            "{",
            r#"{"a":1}x"#,
            r#"{"a" 1}"#,
            &deep,
            &long,
        ] {
            let error = parse(json.as_bytes(), 9).err().unwrap();
            assert_eq!(error.code(), "input_malformed");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(text in r#"[\[\]{}:,"0-9a-fx. -]{0,60}"#) {
            if let Ok(values) = super::check(text.as_bytes(), 4) {
                prop_assert!(values <= 4);
            }
        }
    }
}
