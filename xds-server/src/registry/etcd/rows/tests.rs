use proptest::prelude::*;

use super::*;

const PREFIX: &str = "/members/";

fn row(name: &str, created: i64, value: &str) -> KeyValue {
    KeyValue {
        key: format!("{PREFIX}{name}").into_bytes(),
        create_revision: created,
        value: value.as_bytes().to_vec(),
    }
}

fn at(port: u16) -> String {
    format!("{{\"address\":\"10.0.0.1:{port}\"}}")
}

fn put(row: KeyValue) -> Event {
    Event {
        kind: EventKind::Put.into(),
        kv: Some(row),
    }
}

fn delete(name: &str) -> Event {
    Event {
        kind: EventKind::Delete.into(),
        kv: Some(row(name, 0, "")),
    }
}

fn rows(all: Vec<KeyValue>) -> Rows {
    let mut rows = Rows::new(PREFIX);
    rows.replace(all);
    rows
}

/// Members as `id=address`, and what is refused as `key: reason`.
fn told(rows: &Rows) -> (Vec<String>, Vec<String>) {
    let Found { roster, refused } = rows.found().unwrap();
    let members = roster.members().iter();
    let members = members.map(|member| format!("{}={}", member.id, member.address));
    let refused = refused
        .iter()
        .map(|Refused { key, reason }| format!("{key}: {reason}"));
    (members.collect(), refused.collect())
}

#[test]
fn a_key_is_a_member_named_by_its_rest_or_as_its_value_says() {
    let full = r#"{"id":"b","address":"[fd00::2]:8080","weight":3,"incarnation":"7"}"#;
    let rows = rows(vec![row("a", 1, &at(1)), row("x", 2, full)]);
    let expected = Member {
        incarnation: Some("7".to_owned()),
        ..Member::new("b", "[fd00::2]:8080".parse().unwrap(), 3)
    };
    let roster = rows.found().unwrap().roster;
    assert_eq!(roster.members()[0].id, "a");
    assert_eq!(roster.members()[1], expected);
}

#[test]
fn a_bad_row_is_refused_with_its_reason_and_the_others_stay() {
    for (value, reason) in [
        ("", "EOF while parsing"),
        ("{}", "missing field `address`"),
        (
            r#"{"address":"yorkie:80"}"#,
            "address \"yorkie:80\" is not usable",
        ),
        (
            r#"{"address":"10.0.0.9:0"}"#,
            "which cannot be connected to",
        ),
        (r#"{"address":"10.0.0.9:1","weight":0}"#, "has weight 0"),
        (
            r#"{"address":"10.0.0.9:1","weight":-1}"#,
            "weight -1 is not usable",
        ),
        (
            r#"{"address":"10.0.0.9:1","wieght":2}"#,
            "unknown field `wieght`",
        ),
        (
            r#"{"address":"10.0.0.9:1","id":"a b"}"#,
            "member id \"a b\" is not usable",
        ),
    ] {
        let (members, refused) = told(&rows(vec![row("bad", 1, value), row("good", 2, &at(1))]));
        assert_eq!(members, ["good=10.0.0.1:1"]);
        assert_eq!(refused.len(), 1);
        assert!(refused[0].starts_with("/members/bad: "), "{refused:?}");
        assert!(refused[0].contains(reason), "{refused:?}");
    }
    let mut nameless = row("", 1, &at(2));
    nameless.key.push(0xff);
    let (members, refused) = told(&rows(vec![nameless]));
    assert_eq!((members.len(), refused.len()), (0, 1));
}

#[test]
fn a_row_that_turns_bad_keeps_its_member_until_its_key_is_gone() {
    let mut rows = rows(vec![row("a", 1, &at(1)), row("b", 2, &at(2))]);
    rows.apply(vec![put(row("a", 1, "garbage"))]);
    let (members, refused) = told(&rows);
    assert_eq!(members, ["a=10.0.0.1:1", "b=10.0.0.1:2"]);
    assert_eq!(refused.len(), 1);
    rows.replace(vec![row("a", 1, "garbage"), row("b", 2, &at(2))]);
    assert_eq!(told(&rows).0.len(), 2);
    rows.apply(vec![delete("a"), put(row("a", 5, "garbage"))]);
    assert_eq!(told(&rows).0, ["b=10.0.0.1:2"]);
    rows.apply(vec![put(row("a", 5, &at(3)))]);
    let all = vec!["a=10.0.0.1:3".to_owned(), "b=10.0.0.1:2".to_owned()];
    assert_eq!(told(&rows), (all, Vec::new()));
}

#[test]
fn of_two_rows_for_one_id_or_one_address_the_one_made_last_counts() {
    let named = |port: u16| format!("{{\"id\":\"a\",\"address\":\"10.0.0.1:{port}\"}}");
    let old_and_new = rows(vec![row("z", 1, &named(1)), row("x", 2, &named(2))]);
    let (members, refused) = told(&old_and_new);
    assert_eq!(members, ["a=10.0.0.1:2"]);
    let reason = "/members/z: \"a\" at 10.0.0.1:1: /members/x is newer and has one of both";
    assert_eq!(refused, [reason]);
    // What overwrites an old key makes it no newer.
    let mut again = old_and_new;
    again.apply(vec![put(row("z", 1, &named(3)))]);
    assert_eq!(told(&again).0, ["a=10.0.0.1:2"]);
    again.apply(vec![delete("x")]);
    assert_eq!(told(&again), (vec!["a=10.0.0.1:3".to_owned()], Vec::new()));
    let (members, refused) = told(&rows(vec![row("p", 2, &at(1)), row("q", 1, &at(1))]));
    assert_eq!(members, ["p=10.0.0.1:1"]);
    assert_eq!(refused.len(), 1);
}

#[test]
fn more_weight_than_a_roster_can_have_is_an_error() {
    let heavy = |port: u16| {
        format!(
            "{{\"address\":\"10.0.0.1:{port}\",\"weight\":{}}}",
            u32::MAX
        )
    };
    let rows = rows(vec![row("a", 1, &heavy(1)), row("b", 2, &heavy(2))]);
    assert!(matches!(rows.found(), Err(RosterError::WeightSum(_))));
}

#[test]
fn who_is_missing_is_known_by_id() {
    let rosters = |names: &[&str]| {
        let all = names.iter().zip(1..);
        let all = all.map(|(name, number)| row(name, number.into(), &at(number)));
        rows(all.collect()).found().unwrap().roster
    };
    let (old, new) = (rosters(&["a", "b", "c"]), rosters(&["b", "d"]));
    assert_eq!(missing(&new, &old), ["a", "c"]);
    assert_eq!(missing(&old, &new), ["d"]);
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, bool),
    Delete(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..6u8, any::<bool>()).prop_map(|(name, is_good)| Step::Put(name, is_good)),
        (0..6u8).prop_map(Step::Delete),
    ]
}

proptest! {
    /// Whoever has followed every event, and whoever has read it all now, have
    /// the same members but for those whose values have turned bad.
    #[test]
    fn events_lead_where_reading_it_all_leads(steps in prop::collection::vec(step(), 0..40)) {
        let mut store = BTreeMap::<Vec<u8>, KeyValue>::new();
        let mut followed = Rows::new(PREFIX);
        for (revision, step) in (1..).zip(steps) {
            let event = match step {
                Step::Put(name, is_good) => {
                    let port = 1 + u16::from(name);
                    let value = if is_good { at(port) } else { "?".to_owned() };
                    let mut new = row(&name.to_string(), revision, &value);
                    if let Some(known) = store.get(&new.key) {
                        new.create_revision = known.create_revision;
                    }
                    store.insert(new.key.clone(), new.clone());
                    put(new)
                }
                Step::Delete(name) => {
                    let event = delete(&name.to_string());
                    store.remove(&event.kv.as_ref().unwrap().key);
                    event
                }
            };
            followed.apply(vec![event]);
        }
        let read = rows(store.into_values().collect());
        let (members, refused) = told(&read);
        let (known, also_refused) = told(&followed);
        prop_assert!(members.iter().all(|member| known.contains(member)));
        prop_assert_eq!(known.len() - members.len(), followed.rows.values()
            .filter(|row| row.problem.is_some() && row.member.is_some()).count());
        prop_assert_eq!(refused, also_refused);
        followed.replace(Vec::new());
        prop_assert!(followed.found().unwrap().roster.members().is_empty());
    }
}
