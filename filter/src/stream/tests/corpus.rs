//! Requests as clients send them (`filter/corpus`), whole and damaged.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use proptest::sample::Index;

use super::anything::expect_one_canonical_key;
use super::call::{Call, Outcome, routed};
use super::*;

const PROJECT: &str = "abcdefghij0123456789AB";
const DOCUMENT: &str = "recorded-note";
const DOCUMENT_ID: &str = "77876c1b083e5c12692fee6f";

/// A request from the corpus.
#[derive(Debug, Clone)]
struct Recorded {
    name: String,
    method: String,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

static CORPUS: LazyLock<Vec<Recorded>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let requests = files.filter(|path| path.extension().is_some_and(|end| end == "http"));
    let mut corpus: Vec<_> = requests.map(|path| Recorded::read(&path)).collect();
    // Of no order by itself: a seed of proptest has to find the same again.
    corpus.sort_by(|one, other| one.name.cmp(&other.name));
    corpus
});

impl Recorded {
    fn read(file: &Path) -> Self {
        let bytes = fs::read(file).unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = bytes.split_at(end.unwrap() + 4);
        let head = std::str::from_utf8(head).unwrap().trim_end();
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap().split(' ').map(str::to_owned);
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.as_bytes().to_vec())
        };
        Self {
            name: file.file_name().unwrap().to_str().unwrap().to_owned(),
            method: first.next().unwrap(),
            path: first.next().unwrap(),
            headers: lines.map(header).collect(),
            body: body.to_vec(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(other, _)| other == name)?;
        std::str::from_utf8(value).ok()
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// Sends it with its body in pieces of these lengths, over and over.
    fn send(&self, router: &Router, cuts: &[usize]) -> Outcome {
        let headers = self.headers.iter();
        let mut rest = self.body.as_slice();
        let mut chunks = Vec::new();
        for length in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, later) = rest.split_at((*length).min(rest.len()));
            chunks.push(piece.to_vec());
            rest = later;
        }
        router.call(&Call {
            method: &self.method,
            path: &self.path,
            headers: headers
                .map(|(name, value)| (&**name, value.clone()))
                .collect(),
            chunks,
            internal: false,
        })
    }
}

/// A router that knows the secrets and the document of the corpus.
fn router(settings: &str) -> Router {
    let router = Router::new(&format!(
        r#"{{"format":1,"epoch":7,"cluster":"c","policy":"maglev:251",{settings}
        "members":[{{"id":"a","address":"127.0.0.1:1","weight":1}}],
        "projects":[{{"name":"notes","id":"65a1b2c3d4e5f60718293a4b","public_key":"{PROJECT}",
        "secret_key_sha256":"85dbe15d75ef9308c7ae0f33c7a324cc6f4bf519a2ed2f3027bd33c140a4f9aa"}}],
        "cluster_secret_sha256":"2fb6f1c2e31bf7bfd3cc3166e2f55a8a30a1408d1570d3b73d4c68f2baec033c"}}"#
    ));
    let key = ShardKey::from_halves(PROJECT, DOCUMENT, Resource::Document).unwrap();
    learned::learn(&router.host, &key, DOCUMENT_ID).unwrap();
    router
}

#[test]
fn every_recorded_request_goes_where_its_header_says_also_without_it() {
    assert!(CORPUS.len() >= 30, "only {} requests", CORPUS.len());
    for verify in ["header", "body"] {
        let router = router(&format!(r#""verify":"{verify}","#));
        for request in CORPUS.iter() {
            let expected = routed(request.header("x-shard-key").unwrap());
            let shown = format!("{} verify {verify}", request.name);
            assert_eq!(request.send(&router, &[1000]), expected, "{shown}");
            // The one call whose message names nothing goes by its project then.
            let expected = if request.path.ends_with("/DeactivateClient") {
                routed(&format!("{PROJECT}/"))
            } else {
                expected
            };
            let bare = request.clone().without("x-shard-key");
            assert_eq!(bare.send(&router, &[7, 1]), expected, "{shown}, no header");
        }
    }
}

/// One thing that happens to bytes.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, u8),
    Truncate(Index),
    Repeat(Index, Index),
    Lose(Index, Index),
    Insert(Index, Vec<u8>),
}

impl Damage {
    fn to(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let range = |from: &Index, to: &Index| {
            let (one, other) = (from.index(bytes.len()), to.index(bytes.len()));
            one.min(other)..one.max(other)
        };
        match self {
            Self::Flip(place, bit) => *place.get_mut(bytes) ^= 1 << bit,
            Self::Truncate(place) => bytes.truncate(place.index(bytes.len())),
            Self::Repeat(from, to) => {
                let range = range(from, to);
                let again = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, again);
            }
            Self::Lose(from, to) => drop(bytes.drain(range(from, to))),
            Self::Insert(place, more) => {
                let place = place.index(bytes.len());
                bytes.splice(place..place, more.iter().copied());
            }
        }
    }
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let place = any::<Index>;
    let more = proptest::collection::vec(any::<u8>(), 1..6);
    let damage = prop_oneof![
        3 => (place(), 0..8_u8).prop_map(|(place, bit)| Damage::Flip(place, bit)),
        1 => place().prop_map(Damage::Truncate),
        1 => (place(), place()).prop_map(|(from, to)| Damage::Repeat(from, to)),
        1 => (place(), place()).prop_map(|(from, to)| Damage::Lose(from, to)),
        1 => (place(), more).prop_map(|(place, more)| Damage::Insert(place, more)),
    ];
    proptest::collection::vec(damage, 0..4)
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    let lengths = prop_oneof![1..4_usize, 1..400_usize];
    proptest::collection::vec(lengths, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn a_damaged_one_gets_one_verdict_however_it_is_cut_and_one_key_at_most(
        seed in any::<Index>(),
        of_body in damages(),
        of_header in (any::<Index>(), damages()),
        with_key: bool,
        is_repeated: bool,
        verify: bool,
        max_body in prop_oneof![Just(65_536), 1..1500_u32],
        cuts in [cuts(), cuts()],
    ) {
        let mut request = seed.get(&CORPUS).clone();
        if !with_key {
            request = request.without("x-shard-key");
        }
        if is_repeated {
            let again = of_header.0.get(&request.headers).clone();
            request.headers.push(again);
        }
        for damage in &of_body {
            damage.to(&mut request.body);
        }
        let header = of_header.0.get_mut(&mut request.headers);
        for damage in &of_header.1 {
            damage.to(&mut header.1);
        }
        // Envoy lets no others through.
        header.1.retain(|byte| *byte >= b' ' && *byte != 0x7f);

        let verify = if verify { "body" } else { "header" };
        let settings = format!(r#""verify":"{verify}","max_body":{max_body},"#);
        let [one, other] = cuts.map(|cuts| {
            let router = router(&settings);
            let outcome = request.send(&router, &cuts);
            let read = router.counted("yorkies.bodies.bytes");
            // A message in the query is there already.
            let is_bounded = read <= u64::from(max_body) + 1 || request.method == "GET";
            assert!(is_bounded, "{read} bytes read of {max_body}");
            if let Outcome::Routed(keys) = &outcome {
                expect_one_canonical_key(&router, &request.path, keys);
            }
            outcome
        });
        prop_assert_eq!(one, other, "{}", request.name);
    }
}
