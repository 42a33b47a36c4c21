//! Filters and updates, a small part of `MongoDB`'s.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A stored document.
pub type Row = Map<String, Value>;

/// Conditions on fields, all of which must hold. A path names nested fields with
/// dots; `*` stands for every member of an object.
pub type Filter = BTreeMap<String, Condition>;

/// What a field must be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Equal to this.
    Eq(Value),
    /// Absent or different from this.
    Ne(Value),
    /// A whole number within these bounds, both included.
    Between(i64, i64),
    /// There or not.
    Exists(bool),
    /// One of these.
    In(Vec<Value>),
    /// None of these.
    NotIn(Vec<Value>),
}

impl Condition {
    fn holds(&self, field: Option<&Value>) -> bool {
        match self {
            Self::Eq(value) => field == Some(value),
            Self::Ne(value) => field != Some(value),
            Self::Between(low, high) => field
                .and_then(Value::as_i64)
                .is_some_and(|number| (*low..=*high).contains(&number)),
            Self::Exists(expected) => field.is_some() == *expected,
            Self::In(values) => field.is_some_and(|field| values.contains(field)),
            Self::NotIn(values) => !field.is_some_and(|field| values.contains(field)),
        }
    }
}

/// Whether a row passes a filter.
#[must_use]
pub fn matches(row: &Row, filter: &Filter) -> bool {
    filter.iter().all(|(path, condition)| {
        let steps: Vec<&str> = path.split('.').collect();
        holds_at(row, &steps, condition)
    })
}

fn holds_at(object: &Row, steps: &[&str], condition: &Condition) -> bool {
    match steps {
        ["*", rest @ ..] => object.values().all(|member| match (member, rest) {
            (member, []) => condition.holds(Some(member)),
            (Value::Object(member), rest) => holds_at(member, rest, condition),
            _ => condition.holds(None),
        }),
        [last] => condition.holds(object.get(*last)),
        [first, rest @ ..] => match object.get(*first) {
            Some(Value::Object(member)) => holds_at(member, rest, condition),
            // An absent object has no members that could fail.
            None if rest.first() == Some(&"*") => true,
            _ => condition.holds(None),
        },
        [] => true,
    }
}

/// Changes to one row.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Update {
    /// Fields to set.
    pub set: BTreeMap<String, Value>,
    /// Whole numbers to raise to at least this.
    pub max: BTreeMap<String, i64>,
    /// Fields to set when the update creates the row.
    pub set_on_insert: BTreeMap<String, Value>,
}

impl Update {
    /// Changes an existing row.
    pub fn apply(&self, row: &mut Row) {
        for (path, value) in &self.set {
            if let Some(field) = field_mut(row, path) {
                *field = value.clone();
            }
        }
        for (path, value) in &self.max {
            if let Some(field) = field_mut(row, path)
                && field.as_i64().is_none_or(|old| old < *value)
            {
                *field = Value::from(*value);
            }
        }
    }

    /// The row that an upsert creates.
    #[must_use]
    pub fn create(&self, filter: &Filter, id: &str) -> Row {
        let mut row = Row::new();
        row.insert("_id".to_owned(), Value::from(id));
        for (path, condition) in filter {
            if let Condition::Eq(value) = condition
                && let Some(field) = field_mut(&mut row, path)
            {
                *field = value.clone();
            }
        }
        for (path, value) in &self.set_on_insert {
            if let Some(field) = field_mut(&mut row, path) {
                *field = value.clone();
            }
        }
        self.apply(&mut row);
        row
    }
}

/// The field at a path, created when it is not there; nothing when the path goes
/// through something that is no object.
fn field_mut<'row>(row: &'row mut Row, path: &str) -> Option<&'row mut Value> {
    match path.split_once('.') {
        None => Some(row.entry(path).or_insert(Value::Null)),
        Some((first, rest)) => {
            let member = row
                .entry(first)
                .or_insert_with(|| Value::Object(Map::new()));
            field_mut(member.as_object_mut()?, rest)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(value: Value) -> Row {
        serde_json::from_value(value).expect("an object")
    }

    fn passes(value: Value, path: &str, condition: Condition) -> bool {
        matches(&row(value), &Filter::from([(path.to_owned(), condition)]))
    }

    #[test]
    fn conditions_look_into_nested_fields() {
        let client = json!({"documents": {"d1": {"status": "attached"}}});
        let is = |status: &str| Condition::Eq(json!(status));
        assert!(passes(
            client.clone(),
            "documents.d1.status",
            is("attached")
        ));
        assert!(!passes(
            client.clone(),
            "documents.d2.status",
            is("attached")
        ));
        assert!(passes(
            client,
            "documents.d2.status",
            Condition::Ne(json!("attached"))
        ));
    }

    #[test]
    fn a_star_means_every_member() {
        let not_attached = || Condition::NotIn(vec![json!("attached")]);
        let path = "documents.*.status";
        let one = json!({"documents": {"a": {"status": "detached"}, "b": {"status": "attached"}}});
        assert!(!passes(one, path, not_attached()));
        let none = json!({"documents": {"a": {"status": "detached"}}});
        assert!(passes(none, path, not_attached()));
        assert!(passes(json!({"documents": {}}), path, not_attached()));
        assert!(passes(json!({}), path, not_attached()));
    }

    #[test]
    fn max_only_raises() {
        let mut client = row(json!({"documents": {"d": {"server_seq": 5}}}));
        let raise = |value| Update {
            max: BTreeMap::from([("documents.d.server_seq".to_owned(), value)]),
            ..Update::default()
        };
        raise(3).apply(&mut client);
        assert_eq!(client["documents"]["d"]["server_seq"], 5);
        raise(9).apply(&mut client);
        assert_eq!(client["documents"]["d"]["server_seq"], 9);
    }

    #[test]
    fn an_upsert_starts_from_its_filter() {
        let filter = Filter::from([
            ("key".to_owned(), Condition::Eq(json!("doc"))),
            ("removed_at".to_owned(), Condition::Exists(false)),
        ]);
        let update = Update {
            set_on_insert: BTreeMap::from([("server_seq".to_owned(), json!(0))]),
            ..Update::default()
        };
        let created = update.create(&filter, "id");
        assert_eq!(
            Value::Object(created),
            json!({"_id": "id", "key": "doc", "server_seq": 0})
        );
    }
}
