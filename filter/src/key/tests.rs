use super::*;
use crate::headers::{RequestHeaders, serialize};
use crate::project::{HEADER_API_KEY, by_api_key};
use proptest::prelude::*;
use sharding::MAX_KEY_LEN;

type Found = Result<Option<(String, Mended)>, Refusal>;

fn find_with(resource: Resource, keys: &[&[u8]], api_keys: &[&[u8]]) -> Found {
    let keys = keys.iter().map(|value| (b"x-shard-key".as_slice(), *value));
    let api_keys = api_keys
        .iter()
        .map(|value| (b"x-api-key".as_slice(), *value));
    let bytes = serialize(keys.chain(api_keys));
    let headers = RequestHeaders::read(&bytes).unwrap();
    let stated = match by_api_key(&headers.api_keys)? {
        Some(project) => Stated::Named(project, HEADER_API_KEY),
        None => Stated::Nothing,
    };
    let Some(found) = from_header(&headers.shard_keys, resource)? else {
        return Ok(None);
    };
    let (key, mended) = with_project(found, resource, &stated, "")?;
    Ok(Some((key.as_str().to_owned(), mended)))
}

fn find(keys: &[&[u8]], api_keys: &[&[u8]]) -> Found {
    find_with(Resource::Document, keys, api_keys)
}

fn key(keys: &[&[u8]], api_keys: &[&[u8]]) -> (String, Mended) {
    find(keys, api_keys).unwrap().unwrap()
}

const AS_SENT: Mended = Mended {
    spelling: false,
    repeated: false,
    project: false,
    client: false,
};

#[test]
fn a_canonical_key_is_left_alone() {
    assert_eq!(key(&[b"p/d"], &[]), ("p/d".to_owned(), AS_SENT));
    assert_eq!(key(&[b"p/d"], &[b"p"]), ("p/d".to_owned(), AS_SENT));
    assert_eq!(key(&[b"/d"], &[]), ("/d".to_owned(), AS_SENT));
    assert_eq!(key(&[b"p/a%2Fb"], &[]), ("p/a%2Fb".to_owned(), AS_SENT));
}

#[test]
fn no_key_and_only_empty_ones_are_no_key() {
    assert_eq!(find(&[], &[b"p"]), Ok(None));
    assert_eq!(find(&[b"", b" "], &[]), Ok(None));
}

#[test]
fn an_odd_spelling_is_mended() {
    let (text, mended) = key(&[b"p/caf\xe9"], &[]);
    assert_eq!(text, "p/caf%C3%A9");
    assert!(mended.spelling);
}

#[test]
fn a_full_channel_key_becomes_its_first_segment() {
    let found = find_with(Resource::Channel, &[b"p/room.lobby"], &[b"p"]);
    let (text, mended) = found.unwrap().unwrap();
    assert_eq!(text, "p/room");
    assert!(mended.spelling);
}

#[test]
fn repeated_keys_that_mean_the_same_become_one() {
    let (text, mended) = key(&[b"", b"p/a%2fb", b"p/a/b"], &[]);
    assert_eq!(text, "p/a%2Fb");
    assert!(mended.repeated);
}

#[test]
fn repeated_keys_that_differ_are_refused() {
    assert_eq!(
        find(&[b"p/a", b"p/b"], &[]),
        Err(Refusal::ConflictingKeys("p/a".to_owned(), "p/b".to_owned()))
    );
}

#[test]
fn a_missing_project_is_taken_from_the_api_key() {
    let (text, mended) = key(&[b"/d"], &[b"p"]);
    assert_eq!(text, "p/d");
    assert!(mended.project && mended.any());
    assert_eq!(key(&[b"/a%2Fb"], &[b"a/%62"]).0, "a%2Fb/a%2Fb");
}

#[test]
fn an_empty_api_key_names_no_project() {
    assert_eq!(key(&[b"/d"], &[b""]).0, "/d");
    assert_eq!(key(&[b"p/d"], &[b" "]).0, "p/d");
    assert_eq!(key(&[b"p/d"], &[b"%20"]).0, "p/d");
}

#[test]
fn another_project_than_the_api_keys_is_forged() {
    assert_eq!(
        find(&[b"p/d"], &[b"q"]),
        Err(Refusal::Forged {
            key: "p".to_owned(),
            place: HEADER_API_KEY,
            project: "q".to_owned()
        })
    );
    assert_eq!(key(&[b"caf\xe9/d"], &["café".as_bytes()]).0, "caf%C3%A9/d");
    assert_eq!(key(&["café/d".as_bytes()], &[b"caf\xe9"]).0, "caf%C3%A9/d");
}

#[test]
fn repeated_api_keys_have_to_agree() {
    assert_eq!(key(&[b"p/d"], &[b"p", b"%70"]).0, "p/d");
    assert_eq!(key(&[b"/d"], &[b"", b" "]).0, "/d");
    // A server takes the first, and an empty one for the default project.
    for others in [[b"p".as_slice(), b"q"], [b"", b"p"], [b"p", b""]] {
        assert_eq!(find(&[b"p/d"], &others), Err(Refusal::ConflictingApiKeys));
    }
}

#[test]
fn malformed_keys_are_refused() {
    assert!(matches!(
        find(&[b"note"], &[]),
        Err(Refusal::Malformed { .. })
    ));
    assert!(matches!(
        find(&[b"p/d", b"note"], &[]),
        Err(Refusal::Malformed { .. })
    ));
    assert_eq!(
        find(&[b"/d"], &[&[b'a'; 9000]]),
        Err(Refusal::MalformedProject(HEADER_API_KEY))
    );
    assert!(matches!(
        find(&[b"/d"], &[&[b'a'; MAX_KEY_LEN - 1]]),
        Err(Refusal::Malformed { .. })
    ));
}

fn resources() -> impl Strategy<Value = Resource> {
    prop_oneof![
        Just(Resource::Document),
        Just(Resource::Channel),
        Just(Resource::Client)
    ]
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        r"[a-z%./ ~25F]{0,20}".prop_map(String::into_bytes),
        r"[a-zA-Z0-9]{0,22}/[a-zA-Z0-9\-._~]{0,120}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn the_fast_path_says_what_the_grammar_says(value in values(), resource in resources()) {
        let full = ShardKey::from_header(&value, resource);
        let fast = canonical(&value, resource);
        prop_assert_eq!(
            fast.as_ref().map(Key::as_str).ok(),
            full.as_ref().map(ShardKey::as_str).ok()
        );
    }

    #[test]
    fn whatever_comes_out_is_canonical(
        keys in proptest::collection::vec(values(), 0..3),
        api_keys in proptest::collection::vec(values(), 0..2),
        resource in resources(),
    ) {
        let keys: Vec<_> = keys.iter().map(Vec::as_slice).collect();
        let api_keys: Vec<_> = api_keys.iter().map(Vec::as_slice).collect();
        if let Ok(Some((key, _))) = find_with(resource, &keys, &api_keys) {
            let again = ShardKey::from_header(key.as_bytes(), resource).unwrap();
            prop_assert_eq!(again.as_str(), key);
        }
    }
}
