//! Every rule in every protocol, with the key in the header, in the message
//! and in both: always the same key. The cases are made from the rules.

use sharding::{FieldPath, KeyRule, KeySource, ProjectSource, Resource, ShardKey, yorkie_rules};

use super::call::{Call, Outcome, WIRES, Wire, routed};
use super::*;

const CONFIG: &str = r#"{"format":1,"epoch":7,"cluster":"c","policy":"maglev:251","members":[
    {"id":"a","address":"127.0.0.1:1","weight":1}],
    "projects":[{"name":"the-name","id":"the-id","public_key":"p"}]}"#;

const KEY: &str = "name.part~1";
const ID: &str = "0123456789";

/// A rule and one of the places that its key can be in.
struct Case {
    rule: KeyRule,
    source: KeySource,
    expected: String,
}

fn cases() -> Vec<Case> {
    let cases = yorkie_rules().into_iter().flat_map(|rule| {
        let sources = rule.keys.clone();
        sources.into_iter().map(move |source| {
            let is_channel = matches!(source, KeySource::Channel(_));
            Case {
                rule: rule.clone(),
                source,
                expected: if is_channel {
                    "p/name"
                } else {
                    "p/name.part~1"
                }
                .to_owned(),
            }
        })
    });
    cases.collect()
}

impl Case {
    fn fields(&self) -> Vec<(FieldPath, &'static str)> {
        let text = match self.source {
            KeySource::DocumentId(_) => ID,
            _ => KEY,
        };
        let key = self.source.field().map(|field| (field.clone(), text));
        let projects = self.rule.projects.iter().filter_map(|source| {
            let text = match source {
                ProjectSource::PublicKey(_) => "p",
                ProjectSource::Name(_) => "the-name",
                ProjectSource::Id(_) => "the-id",
                _ => return None,
            };
            Some((source.field()?.clone(), text))
        });
        key.into_iter().chain(projects).collect()
    }

    fn call(&self, path: &str, wire: Wire, header: Option<&str>, pieces: usize) -> Outcome {
        self.call_under(CONFIG, path, wire, header, pieces)
    }

    fn call_under(
        &self,
        config: &str,
        path: &str,
        wire: Wire,
        header: Option<&str>,
        pieces: usize,
    ) -> Outcome {
        let router = Router::new(config);
        let learned = ShardKey::from_halves("p", KEY, Resource::Document).unwrap();
        learned::learn(&router.host, &learned, ID).unwrap();
        let mut headers = vec![("content-type", wire.content_type)];
        if !self
            .rule
            .projects
            .iter()
            .any(|source| source.field().is_some())
        {
            headers.push(("x-api-key", "p"));
        }
        headers.extend(header.map(|key| ("x-shard-key", key)));
        let mut call = Call::new(path, &headers);
        let body = wire.body(&self.fields());
        call.chunks = body.chunks(pieces).map(<[u8]>::to_vec).collect();
        call.internal = true;
        router.call(&call)
    }
}

#[test]
fn the_same_key_wherever_it_is() {
    let cases = cases();
    assert!(cases.len() >= 40);
    for case in &cases {
        let path = case.rule.path.to_string();
        for wire in WIRES {
            let shown = format!("{path} {:?} {wire:?}", case.source);
            let expected = routed(&case.expected);
            for header in [None, Some("p/name.part~1"), Some("/name.part~1")] {
                assert_eq!(
                    case.call(&path, wire, header, 7),
                    expected,
                    "{shown} {header:?}"
                );
            }
        }
    }
}

#[test]
fn the_same_key_when_both_are_compared() {
    let config = CONFIG.replace("\"epoch\"", "\"verify\":\"body\",\"epoch\"");
    for case in cases() {
        let path = case.rule.path.to_string();
        for wire in WIRES {
            let call = |header| case.call_under(&config, &path, wire, header, 1000);
            let shown = format!("{path} {:?} {wire:?}", case.source);
            for header in [None, Some("p/name.part~1"), Some("p/%6Eame.part~1")] {
                assert_eq!(call(header), routed(&case.expected), "{shown} {header:?}");
            }
            match call(Some("p/another")) {
                Outcome::Refused(message) => {
                    assert!(message.contains("but the message names"), "{message}");
                }
                // A client's own is mended.
                mended if case.rule.resource == Some(Resource::Client) => {
                    assert_eq!(mended, routed(&case.expected), "{shown}");
                }
                Outcome::Routed(_) => panic!("{shown}: a forged key got through"),
            }
        }
    }
}

#[test]
fn it_does_not_matter_where_a_body_is_cut() {
    for case in cases() {
        let path = case.rule.path.to_string();
        for wire in WIRES {
            for pieces in 1..6 {
                let outcome = case.call(&path, wire, None, pieces);
                assert_eq!(outcome, routed(&case.expected), "{path} {wire:?} {pieces}");
            }
        }
    }
}

#[test]
fn with_a_plain_key_in_the_header_the_body_is_never_asked_for() {
    for case in cases() {
        let router = Router::new(CONFIG);
        let path = case.rule.path.to_string();
        let mut call = Call::new(&path, &[("x-shard-key", "p/name"), ("x-api-key", "p")]);
        call.internal = true;
        assert_eq!(router.call(&call), routed("p/name"));
        assert_eq!(router.host.calls(), 4, "{path}");
    }
}
