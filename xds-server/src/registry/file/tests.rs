use std::io::Write;
use std::sync::Arc;

use tokio::sync::watch;

use super::*;
use crate::config;
use crate::registry::Sources;

fn parse(text: &str) -> Result<Roster, String> {
    super::parse(text, Path::new("members.yaml")).map_err(|error| error.to_string())
}

#[test]
fn id_and_weight_have_defaults() {
    let roster =
        parse("members:\n- address: 10.0.0.1:8080\n- {id: b, address: '[::1]:1', weight: 3}\n")
            .unwrap();
    let [first, second] = roster.members() else {
        panic!("{roster:?}")
    };
    assert_eq!((first.id.as_str(), first.weight), ("10.0.0.1:8080", 1));
    assert_eq!((second.id.as_str(), second.weight), ("b", 3));
}

#[test]
fn a_bad_file_is_refused_with_its_line_and_reason() {
    for (text, parts) in [
        ("members: []\n", ["members.yaml: lists no members", ""]),
        ("", ["members.yaml: ", ""]),
        (
            "members:\n- {id: a}\n",
            ["missing field `address`", "line 2"],
        ),
        (
            "members:\n- {address: 'nowhere:1'}\n",
            ["address \"nowhere:1\" is not usable", "line 2"],
        ),
        (
            "members:\n- {address: '1.1.1.1:1', wait: 1}\n",
            ["unknown field `wait`", "line 2"],
        ),
        (
            "members:\n- {address: '1.1.1.1:1', weight: -1}\n",
            ["weight -1 is not usable", "line 2"],
        ),
        (
            "members:\n- {id: a, address: '1.1.1.1:1'}\n- {id: a, address: '1.1.1.1:2'}\n",
            ["member id \"a\" is given twice", "at line 3"],
        ),
        (
            "members:\n- {id: b, address: '1.1.1.1:1'}\n\n- {id: a, address: '1.1.1.1:1'}\n",
            [
                "address 1.1.1.1:1 is given to both \"a\" and \"b\"",
                "at line 4",
            ],
        ),
        (
            "members:\n- {id: a, address: '1.1.1.1:1', weight: 0}\n",
            ["member \"a\" has weight 0", "at line 2"],
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

fn start(path: &Path) -> (Arc<Sources>, watch::Receiver<Option<Roster>>) {
    let file = Some(path.to_owned());
    let settings = config::Registry {
        file,
        leases: None,
        etcd: None,
        kubernetes: None,
        yorkie: None,
        dns: None,
    };
    crate::registry::start(&settings, None, &LookAgain::default()).unwrap()
}

async fn next(rosters: &mut watch::Receiver<Option<Roster>>) -> Vec<String> {
    tokio::time::timeout(Duration::from_secs(20), rosters.changed())
        .await
        .expect("a change is seen in time")
        .expect("the watcher lives");
    let rosters = rosters.borrow_and_update();
    let members = rosters.as_ref().expect("a roster").members();
    members.iter().map(|member| member.id.clone()).collect()
}

/// A cut address can be a valid one, so what is half-written can look good.
#[tokio::test]
async fn a_file_is_not_taken_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("members.yaml");
    let entry = |n| format!("- {{id: m{n}, address: '10.0.0.{n}:8080'}}");
    let entries: Vec<_> = (1..=50).map(entry).collect();
    let whole = format!("members:\n{}\n", entries.join("\n"));
    fs::write(&path, &whole).unwrap();
    let (_, mut rosters) = start(&path);
    assert_eq!(next(&mut rosters).await.len(), 50);

    let added = format!("{whole}- {{id: new, address: '10.0.1.1:8080'}}\n");
    let cut = added.match_indices('\n').nth(20).unwrap().0;
    let mut file = fs::File::create(&path).unwrap();
    for part in [&added[..cut], &added[cut..]] {
        file.write_all(part.as_bytes()).unwrap();
        // Longer than an event takes to arrive: the writer's own pace, which nothing can be waited for.
        tokio::time::sleep(STABLE / 2).await;
    }
    assert_eq!(next(&mut rosters).await.len(), 51);
}

/// Something else in the folder is touched first: by the name under which the
/// new file was written, by our own log or state.
#[tokio::test(start_paused = true)]
async fn a_change_rests_once_whatever_was_touched_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("members.yaml");
    fs::write(&path, "members: [{id: a, address: '1.1.1.1:1'}]").unwrap();
    let (touch, mut touches) = Touches::by_hand();
    let start = Instant::now();
    let change = async {
        tokio::time::sleep(STABLE / 2).await;
        fs::write(&path, "members: [{id: b, address: '1.1.1.1:1'}]").unwrap();
        touch.send(()).await.unwrap();
        tokio::time::sleep(STABLE / 2).await;
        touch.send(()).await.unwrap();
    };
    let (roster, ()) = tokio::join!(load_stable(&path, &mut touches), change);
    assert_eq!(roster.unwrap().members()[0].id, "b");
    let took = start.elapsed();
    assert!(took < STABLE * 3 / 2 + STABLE / 10, "{took:?}");
    assert!(took >= STABLE * 3 / 2, "{took:?}");
}

#[tokio::test]
async fn edits_in_place_and_replacements_are_seen_and_bad_ones_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("members.yaml");
    fs::write(&path, "members: [{id: a, address: '1.1.1.1:1'}]").unwrap();
    let (sources, mut rosters) = start(&path);
    assert_eq!(next(&mut rosters).await, ["a"]);

    fs::write(&path, "members: [{id: b, address: '1.1.1.1:1'}]").unwrap();
    assert_eq!(next(&mut rosters).await, ["b"]);

    fs::write(&path, "members: [{id: ").unwrap();
    let mut replacement = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
    write!(replacement, "members: [{{id: c, address: '1.1.1.1:1'}}]").unwrap();
    replacement.persist(&path).unwrap();
    assert_eq!(next(&mut rosters).await, ["c"]);

    fs::remove_file(&path).unwrap();
    fs::write(&path, "members: [{id: d, address: '1.1.1.1:1'}]").unwrap();
    assert_eq!(next(&mut rosters).await, ["d"]);

    drop(rosters);
    let ended = async {
        while Arc::strong_count(&sources) > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended)
        .await
        .expect("the watcher ends when nobody listens");
}
