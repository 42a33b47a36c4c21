//! Which streams were open before a change and after it, and which ended.

use std::collections::{BTreeMap, BTreeSet};

use crate::audience::Look;

/// See the module. Servers by document.
pub(crate) struct Streams {
    pub(crate) before: BTreeMap<usize, String>,
    pub(crate) ended: Vec<Look>,
    pub(crate) after: BTreeMap<usize, String>,
}

impl Streams {
    /// Those that ended and had to: their documents are among `moved`.
    pub(crate) fn ended_moved(&self, moved: &BTreeSet<usize>) -> impl Iterator<Item = &Look> {
        let ended = self.ended.iter();
        ended.filter(|look| moved.contains(&look.document))
    }

    /// Prints how many there are by server.
    pub(crate) fn print(&self, moved: &BTreeSet<usize>) {
        let all = self.before.values().chain(self.after.values());
        let servers: BTreeSet<&str> = all.map(String::as_str).collect();
        let ids: Vec<_> = servers.iter().map(|id| format!("{id:>10}")).collect();
        println!("  {:<27}{}       ALL", "STREAMS", ids.concat());
        let others = self.ended.iter();
        let others = others.filter(|look| !moved.contains(&look.document));
        let rows: [(&str, Vec<&str>); 4] = [
            (
                "open before",
                self.before.values().map(String::as_str).collect(),
            ),
            (
                "ended: the document moved",
                self.ended_moved(moved)
                    .map(|look| look.server.as_str())
                    .collect(),
            ),
            (
                "ended for no reason",
                others.map(|look| look.server.as_str()).collect(),
            ),
            (
                "open after",
                self.after.values().map(String::as_str).collect(),
            ),
        ];
        for (name, on) in rows {
            let of = |id: &&str| on.iter().filter(|server| *server == id).count();
            let counts: Vec<_> = servers.iter().map(|id| format!("{:>10}", of(id))).collect();
            println!("  {name:<27}{}{:>10}", counts.concat(), on.len());
        }
    }

    /// Prints some of those that ended and where they are now.
    pub(crate) fn print_moved(&self, moved: &BTreeSet<usize>, keys: &[String], shown: usize) {
        println!("  {:<27}{:<12}IS ON", "ENDED, SUCH AS", "WAS ON");
        for look in self.ended_moved(moved).take(shown) {
            let (key, server) = (&keys[look.document], &look.server);
            println!("  {key:<27}{server:<12}{}", self.after[&look.document]);
        }
    }
}
