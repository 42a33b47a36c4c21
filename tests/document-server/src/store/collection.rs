//! One collection: rows, and indexes that keep a filter from looking at all.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rand::Rng as _;
use serde_json::Value;

use super::query::{Condition, Filter, Row, Update, matches};

/// How a collection is indexed.
#[derive(Clone, Copy, Debug)]
struct Layout {
    /// Text fields that filters name with `eq`. Updates never change them.
    indexed: &'static [&'static str],
    /// The whole number by which rows are sorted; without one, by insertion.
    sorted_by: Option<&'static str>,
}

/// The collections that exist.
const LAYOUTS: [(&str, Layout); 4] = [
    (
        "clients",
        Layout {
            indexed: &["_id"],
            sorted_by: None,
        },
    ),
    (
        "documents",
        Layout {
            indexed: &["_id", "key"],
            sorted_by: None,
        },
    ),
    (
        "changes",
        Layout {
            indexed: &["doc_id"],
            sorted_by: Some("server_seq"),
        },
    ),
    (
        "version_vectors",
        Layout {
            indexed: &["doc_id"],
            sorted_by: None,
        },
    ),
];

/// Creates the collections, empty.
#[must_use]
pub fn all() -> HashMap<&'static str, Collection> {
    LAYOUTS
        .into_iter()
        .map(|(name, layout)| (name, Collection::new(layout)))
        .collect()
}

/// A new id, as `MongoDB` makes them: 24 hexadecimal digits.
#[must_use]
pub fn new_id() -> String {
    let random: u128 = rand::rng().random::<u128>() >> 32;
    format!("{random:024x}")
}

/// An indexed field and its value.
type IndexKey = (&'static str, String);
/// Where a row is within an index entry: what it is sorted by, and its number.
type Position = (i64, u64);

/// The rows of one collection.
#[derive(Debug)]
pub struct Collection {
    layout: Layout,
    rows: BTreeMap<u64, Row>,
    index: HashMap<IndexKey, BTreeSet<Position>>,
    next: u64,
}

impl Collection {
    fn new(layout: Layout) -> Self {
        Self {
            layout,
            rows: BTreeMap::new(),
            index: HashMap::new(),
            next: 0,
        }
    }

    /// Adds a row, with a new `_id` when it has none.
    pub fn insert(&mut self, mut row: Row) -> Row {
        row.entry("_id").or_insert_with(|| Value::from(new_id()));
        let number = self.next;
        self.next += 1;
        for (key, position) in self.positions(&row, number) {
            self.index.entry(key).or_default().insert(position);
        }
        self.rows.insert(number, row.clone());
        row
    }

    /// The rows that pass a filter, sorted, at most `limit`.
    #[must_use]
    pub fn find(&self, filter: &Filter, limit: usize) -> Vec<Row> {
        let numbers = self.candidates(filter);
        let rows = numbers.iter().filter_map(|number| self.rows.get(number));
        rows.filter(|row| matches(row, filter))
            .take(limit)
            .cloned()
            .collect()
    }

    /// Changes the first row that passes a filter; with `upsert`, creates it when
    /// there is none. Gives the row as it is afterwards.
    pub fn update_one(&mut self, filter: &Filter, update: &Update, upsert: bool) -> Option<Row> {
        if let Some(number) = self.first(filter) {
            let row = self.rows.get_mut(&number)?;
            update.apply(row);
            return Some(row.clone());
        }
        upsert.then(|| self.insert(update.create(filter, &new_id())))
    }

    /// Deletes the first row that passes a filter.
    pub fn delete_one(&mut self, filter: &Filter) -> bool {
        let Some(number) = self.first(filter) else {
            return false;
        };
        let Some(row) = self.rows.remove(&number) else {
            return false;
        };
        for (key, position) in self.positions(&row, number) {
            if let Some(entry) = self.index.get_mut(&key) {
                entry.remove(&position);
            }
        }
        true
    }

    fn first(&self, filter: &Filter) -> Option<u64> {
        let numbers = self.candidates(filter);
        numbers
            .into_iter()
            .find(|number| self.rows.get(number).is_some_and(|r| matches(r, filter)))
    }

    /// The numbers of the rows that a filter may match, sorted.
    fn candidates(&self, filter: &Filter) -> Vec<u64> {
        let indexed = self
            .layout
            .indexed
            .iter()
            .find_map(|field| match filter.get(*field) {
                Some(Condition::Eq(Value::String(text))) => Some((*field, text.clone())),
                _ => None,
            });
        let Some(key) = indexed else {
            return self.rows.keys().copied().collect();
        };
        let Some(positions) = self.index.get(&key) else {
            return Vec::new();
        };
        let (low, high) = match self.layout.sorted_by.and_then(|field| filter.get(field)) {
            Some(Condition::Between(low, high)) => (*low, *high),
            Some(Condition::Eq(value)) => value.as_i64().map_or((i64::MIN, i64::MAX), |n| (n, n)),
            _ => (i64::MIN, i64::MAX),
        };
        if low > high {
            return Vec::new();
        }
        positions
            .range((low, 0)..=(high, u64::MAX))
            .map(|(_, number)| *number)
            .collect()
    }

    fn positions(&self, row: &Row, number: u64) -> Vec<(IndexKey, Position)> {
        let sort = self
            .layout
            .sorted_by
            .and_then(|field| row.get(field))
            .and_then(Value::as_i64);
        let keys = self.layout.indexed.iter().filter_map(|field| {
            let text = row.get(*field)?.as_str()?;
            Some((*field, text.to_owned()))
        });
        keys.map(|key| (key, (sort.unwrap_or_default(), number)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(seq: i64) -> (Filter, Update) {
        let filter = Filter::from([
            ("doc_id".to_owned(), Condition::Eq(json!("d"))),
            ("server_seq".to_owned(), Condition::Eq(json!(seq))),
        ]);
        (filter, Update::default())
    }

    #[test]
    fn changes_come_sorted_within_bounds() {
        let mut changes = all().remove("changes").expect("exists");
        for seq in [3, 1, 2, 5] {
            let (filter, update) = change(seq);
            changes
                .update_one(&filter, &update, true)
                .expect("upserted");
        }
        let filter = Filter::from([
            ("doc_id".to_owned(), Condition::Eq(json!("d"))),
            ("server_seq".to_owned(), Condition::Between(2, 5)),
        ]);
        let found = changes.find(&filter, 10);
        let seqs: Vec<&Value> = found.iter().map(|row| &row["server_seq"]).collect();
        assert_eq!(seqs, [2, 3, 5]);
    }

    #[test]
    fn an_upsert_overwrites_what_is_there() {
        let mut changes = all().remove("changes").expect("exists");
        let (filter, mut update) = change(1);
        for actor in ["a", "b"] {
            update.set.insert("actor_id".to_owned(), json!(actor));
            changes
                .update_one(&filter, &update, true)
                .expect("upserted");
        }
        let found = changes.find(&filter, 10);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["actor_id"], "b");
    }

    #[test]
    fn a_compare_and_swap_fails_on_another_value() {
        let mut documents = all().remove("documents").expect("exists");
        documents.insert(serde_json::from_value(json!({"_id": "d", "server_seq": 1})).expect("ok"));
        let (_, mut update) = change(0);
        update.set.insert("server_seq".to_owned(), json!(2));
        let expect = |seq: i64| {
            Filter::from([
                ("_id".to_owned(), Condition::Eq(json!("d"))),
                ("server_seq".to_owned(), Condition::Eq(json!(seq))),
            ])
        };
        assert!(documents.update_one(&expect(1), &update, false).is_some());
        assert!(documents.update_one(&expect(1), &update, false).is_none());
    }

    #[test]
    fn a_deleted_row_is_gone_from_the_index() {
        let mut clients = all().remove("clients").expect("exists");
        let id = clients.insert(Row::new())["_id"].clone();
        let filter = Filter::from([("_id".to_owned(), Condition::Eq(id))]);
        assert!(clients.delete_one(&filter));
        assert!(!clients.delete_one(&filter));
        assert!(clients.find(&filter, 1).is_empty());
    }
}
