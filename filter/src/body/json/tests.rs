//! What is particular to JSON, with `serde_json` as the judge.

use std::fmt::Write;
use std::rc::Rc;

use proptest::prelude::*;
use serde_json::Value;
use sharding::FieldPath;

use super::*;
use crate::body::{Mode, Search};

/// Reads a message, byte by byte.
fn scan(paths: &[&str], message: &[u8]) -> Result<Vec<(usize, String)>, BodyError> {
    let paths: Vec<FieldPath> = paths.iter().map(|path| path.parse().unwrap()).collect();
    let search = Rc::new(Search::new(&[&paths]).unwrap());
    let mut out = Collector::new(search, Mode::Whole);
    let mut json = Json::new(&out);
    for byte in message {
        json.feed(&[*byte], &mut out)?;
    }
    json.end_of_message()?;
    let values = out.found().values().to_vec();
    Ok(values
        .into_iter()
        .map(|value| (value.path, value.text))
        .collect())
}

fn texts(message: &str) -> Vec<String> {
    let found = scan(&["a_b=1.c=2"], message.as_bytes()).unwrap();
    found.into_iter().map(|value| value.1).collect()
}

#[test]
fn both_names_and_every_spelling_of_them_are_the_field() {
    for message in [
        r#"{"aB":{"c":"x"}}"#,
        r#"{"a_b":{"c":"x"}}"#,
        r#"{"\u0061\u0042":{"\u0063":"\u0078"}}"#,
        "\t{\n\"aB\" :\r{ \"c\" : \"x\" } }\n",
        r#"{"ab":{"c":"y"},"aBc":{"c":"y"},"a":{"c":"y"},"aB":{"x":1,"c":"x"}}"#,
        r#"{"c":"y","d":{"aB":{"c":"y"}},"aB":{"aB":{"c":"y"},"c":"x"}}"#,
        r#"{"a much longer name than any":{"c":"y"},"aB":{"c":"x"}}"#,
    ] {
        assert_eq!(texts(message), ["x"], "{message}");
    }
}

#[test]
fn an_array_stands_for_its_elements() {
    let message = r#"{"aB":[{"c":["x","y"]}, {}, null, {"c":[]}, {"c":"z"}, {"c":[null , "!"]}]}"#;
    assert_eq!(texts(message), ["x", "y", "z", "!"]);
    assert!(texts(r#"{"aB":[ ]}"#).is_empty());
}

#[test]
fn null_is_absent() {
    for message in [
        r#"{"aB":null}"#,
        r#"{"aB":{"c":null}}"#,
        r#"{"aB": null , "d":1}"#,
    ] {
        assert!(texts(message).is_empty(), "{message}");
    }
}

#[test]
fn what_is_skipped_may_be_anything() {
    let skipped = r#"[1,-2.5e+7,true,{"c":"y","x":[[[]]]},"]}\"\\",""]"#;
    let message = format!(r#"{{"d":{skipped},"aB":{{"d":{skipped},"c":"x","e":0}},"f":false}}"#);
    assert_eq!(texts(&message), ["x"]);
    let deep = "[".repeat(9999) + &"]".repeat(9999);
    assert_eq!(texts(&format!(r#"{{"d":{deep},"aB":{{"c":"x"}}}}"#)), ["x"]);
}

#[test]
fn what_is_no_json_is_refused_where_it_stands() {
    for (message, at, wrong) in [
        ("null", 0, "expected an object"),
        ("[]", 0, "expected an object"),
        ("\u{feff}{}", 0, "expected an object"),
        ("{]", 1, "expected a key"),
        ("{,", 1, "expected a key"),
        (r#"{"d":1,}"#, 7, "expected a key"),
        (r#"{"d"}"#, 4, "expected a colon"),
        (r#"{"d":}"#, 5, "expected a value"),
        (r#"{"d":'x'}"#, 5, "expected a value"),
        (r#"{"d":1 2}"#, 7, "expected a comma or the end"),
        (r#"{"d":1]"#, 6, "expected a comma or the end"),
        (r#"{"d":{}{}}"#, 7, "expected a comma or the end"),
        ("{}{", 2, "something follows the message"),
        (r#"{"aB":"x"}"#, 6, "expected an object"),
        (r#"{"aB":1}"#, 6, "expected an object"),
        (r#"{"aB":[[{}]]}"#, 7, "expected an object"),
        (r#"{"aB":[{},]}"#, 10, "expected an object"),
        (r#"{"aB":[{}}"#, 9, "expected a comma or the end"),
        (r#"{"aB":nul}"#, 9, "expected null"),
        (r#"{"aB":nulll}"#, 10, "expected a comma or the end"),
        (r#"{"aB":{"c":1}}"#, 11, "expected a string"),
        (r#"{"aB":{"c":{}}}"#, 11, "expected a string"),
        (r#"{"aB":{"c":true}}"#, 11, "expected a string"),
        (r#"{"aB":{"c":["x",1]}}"#, 16, "expected a string"),
        (r#"{"aB":{"c":[["x"]]}}"#, 12, "expected a string"),
        (
            "{\"aB\":{\"c\":\"\n\"}}",
            12,
            "a control character in a string",
        ),
        (r#"{"aB":{"c":"\ud800"}}"#, 18, "half a surrogate pair"),
        (r#"{"\x":1}"#, 3, "unknown escape in a string"),
    ] {
        let error = scan(&["a_b=1.c=2"], message.as_bytes());
        assert_eq!(error, Err(Layer::Json.malformed(at, wrong)), "{message}");
    }
}

#[test]
fn a_message_ends_with_its_brace() {
    let message = r#"{"d":[1,"\u0041"],"aB":[{"c":"x\n"}]} "#;
    for end in 0..message.len() {
        let result = scan(&["a_b=1.c=2"], &message.as_bytes()[..end]);
        let complete = end >= message.trim_end().len();
        assert_eq!(result.is_ok(), complete, "{end}");
        if !complete {
            assert_eq!(result, Err(Layer::Json.ended(end as u64)));
        }
    }
}

/// What the scanner should find: `None` where something of another type stands.
fn lookup(value: &Value, path: &[Field], in_array: bool, found: &mut Vec<String>) -> Option<()> {
    match (value, path) {
        (Value::Null, _) => Some(()),
        (Value::Array(elements), _) if !in_array => elements
            .iter()
            .try_for_each(|element| lookup(element, path, true, found)),
        (Value::String(text), []) => {
            found.push(text.clone());
            Some(())
        }
        (Value::Object(fields), [field, below @ ..]) => fields
            .iter()
            .filter(|(key, _)| field.is_named(key))
            .try_for_each(|(_, value)| lookup(value, below, false, found)),
        _ => None,
    }
}

/// JSON text with blanks and escapes wherever they may be.
fn render(value: &Value, choices: &mut impl Iterator<Item = u8>, text: &mut String) {
    fn blank(choices: &mut impl Iterator<Item = u8>, text: &mut String) {
        let choice = usize::from(choices.next().unwrap_or_default());
        text.push_str(["", "", "", " ", "\n\t", "\r "].get(choice % 6).unwrap());
    }
    fn string(value: &str, choices: &mut impl Iterator<Item = u8>, text: &mut String) {
        text.push('"');
        for character in value.chars() {
            let plain = !matches!(character, '"' | '\\' | '\0'..' ');
            if plain && choices.next().is_some_and(|choice| choice % 3 > 0) {
                text.push(character);
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(text, "\\u{unit:04X}");
                }
            }
        }
        text.push('"');
    }
    blank(choices, text);
    match value {
        Value::String(value) => string(value, choices, text),
        Value::Array(elements) => {
            text.push('[');
            for (index, element) in elements.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                render(element, choices, text);
            }
            blank(choices, text);
            text.push(']');
        }
        Value::Object(fields) => {
            text.push('{');
            for (index, (key, value)) in fields.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                blank(choices, text);
                string(key, choices, text);
                blank(choices, text);
                text.push(':');
                render(value, choices, text);
            }
            blank(choices, text);
            text.push('}');
        }
        _ => text.push_str(&value.to_string()),
    }
    blank(choices, text);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        4 => any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let elements = proptest::collection::vec(inner.clone(), 0..4);
        prop_oneof![1 => elements.prop_map(Value::from), 3 => any_object(inner)]
    })
}

fn any_object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        3 => Just("aB".to_owned()), 1 => Just("a_b".to_owned()), 3 => Just("c".to_owned()),
        1 => any_text(),
    ];
    let fields = proptest::collection::vec((name, value), 0..5);
    fields.prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{0,3}", "\\PC{0,6}", any::<String>()]
}

proptest! {
    #[test]
    fn values_are_those_that_serde_json_finds(
        message in any_object(any_value()),
        choices in proptest::collection::vec(any::<u8>(), 50),
    ) {
        let mut text = String::new();
        render(&message, &mut choices.iter().copied().cycle(), &mut text);
        let parsed: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&parsed, &message, "the renderer is right");
        for path in ["a_b=1.c=2", "c=1", "a_b=1.a_b=1", "c=2.c=2.a_b=1"] {
            let fields: FieldPath = path.parse().unwrap();
            let mut wanted = Vec::new();
            let is_typed = lookup(&parsed, fields.fields(), false, &mut wanted).is_some();
            match scan(&[path], text.as_bytes()) {
                Ok(found) => {
                    prop_assert!(is_typed, "{}", text);
                    prop_assert!(found.iter().map(|value| &value.1).eq(&wanted), "{}", text);
                }
                Err(BodyError::TooManyValues(_)) => {}
                Err(error) => prop_assert!(!is_typed, "{}: {}", error, text),
            }
        }
    }

    #[test]
    fn what_serde_json_accepts_is_read_alike_and_the_rest_is_at_worst_an_error(
        message in any_object(any_text().prop_map(Value::from)),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0x20_u8..0x7f), 0..3),
    ) {
        let mut text = message.to_string().into_bytes();
        for (index, byte) in changes {
            *index.get_mut(&mut text) = byte;
        }
        let found = scan(&["c=1"], &text);
        if let (Ok(found), Ok(parsed)) = (found, serde_json::from_slice::<Value>(&text)) {
            // Of one that occurs twice serde_json takes the last.
            let last = found.last().map(|value| Value::from(value.1.as_str()));
            prop_assert_eq!(last.as_ref(), parsed.get("c").filter(|value| !value.is_null()));
        }
    }
}
