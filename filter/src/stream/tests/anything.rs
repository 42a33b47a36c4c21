//! Whatever a client sends, in whatever pieces.

use proptest::prelude::*;
use sharding::{NoKey, Resource, Rules, ShardKey, yorkie_rules};

use super::call::{Call, Outcome, WIRES, field};
use super::*;

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[ab]{0,2}[.%/ 2]{0,2}[ab]{0,2}"]
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        (0..WIRES.len(), texts(), texts(), texts()).prop_map(|(wire, key, id, pack)| {
            WIRES[wire].body(&[
                (field("document_key=1"), &key),
                (field("document_id=2"), &id),
                (field("change_pack=3.document_key=1"), &pack),
            ])
        }),
    ]
}

/// Whoever is routed is so by one canonical key, or by none where the rule
/// needs none.
pub(super) fn expect_one_canonical_key(router: &Router, path: &str, keys: &[String]) {
    let rules = Rules::new(yorkie_rules());
    let rule = rules.find(path.as_bytes());
    let owners = usize::from(!keys.is_empty());
    assert_eq!(router.host.values("x-shard-owner").len(), owners);
    match (keys, &rule.no_key) {
        ([], no_key) => assert_eq!(no_key, &NoKey::Any),
        ([key], NoKey::Fixed(fixed)) => assert_eq!(key, fixed),
        ([key], NoKey::Project) if key.ends_with('/') => {
            let project = key.strip_suffix('/').unwrap();
            let again = ShardKey::of_project(project).unwrap();
            assert_eq!(again.as_str(), key);
        }
        ([key], _) => {
            let resource = rule.resource.unwrap_or(Resource::Document);
            let again = ShardKey::from_header(key.as_bytes(), resource).unwrap();
            assert_eq!(again.as_str(), key);
        }
        _ => panic!("several keys: {keys:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn it_is_refused_or_routed_by_one_canonical_key_or_needs_none(
        rule in 0..yorkie_rules().len(),
        wire in 0..=WIRES.len(),
        headers in proptest::collection::vec((
            prop_oneof![
                Just("x-shard-key"), Just("x-api-key"), Just("authorization"), Just("content-encoding"),
                Just("grpc-encoding"), Just("x-cluster-secret"), Just("x-shard-owner"), Just("x-shard-epoch"),
            ],
            prop_oneof![texts().prop_map(String::into_bytes), proptest::collection::vec(any::<u8>(), 0..9)],
        ), 0..4),
        body in bodies(),
        piece in 1..70_usize,
        max_body in 1..80,
        verify: bool,
        internal: bool,
        default: bool,
    ) {
        let verify = if verify { "body" } else { "header" };
        let default = if default { r#""default_project":"D","# } else { "" };
        let router = Router::new(&format!(
            r#"{{"format":1,"epoch":7,"cluster":"c","policy":"maglev:251","verify":"{verify}","max_body":{max_body},{default}"members":[
            {{"id":"a","address":"127.0.0.1:1","weight":1}}]}}"#
        ));
        let rules = yorkie_rules();
        let path = rules[rule].path.to_string().replace('*', "x");
        let mut call = Call::new(&path, &[]);
        call.headers = headers;
        let content_type = WIRES.get(wire).map_or("text/plain", |wire| wire.content_type);
        call.headers.push(("content-type", content_type.into()));
        call.chunks = body.chunks(piece).map(<[u8]>::to_vec).collect();
        call.internal = internal;
        let Outcome::Routed(keys) = router.call(&call) else {
            return Ok(());
        };
        let all = Rules::new(rules);
        let rule = all.find(path.as_bytes());
        prop_assert!(!rule.internal || internal, "no secret is configured");
        expect_one_canonical_key(&router, &path, &keys);
        let read = router.counted("yorkies.bodies.bytes");
        prop_assert!(read <= max_body as u64 + 1, "{read} bytes read of {max_body}");
    }
}
