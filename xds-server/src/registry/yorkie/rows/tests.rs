use mongodb::bson::{Bson, DateTime, doc};

use super::*;

const NOW: i64 = 1_800_000_000_000;

fn at(ms: i64) -> DateTime {
    DateTime::from_millis(ms)
}

/// As a reading has it: with what time it is.
fn row(rpc_addr: impl Into<Bson>, updated_at: impl Into<Bson>) -> Document {
    doc! { "rpc_addr": rpc_addr, "updated_at": updated_at, "now": at(NOW) }
}

fn refused(found: &Rows) -> Vec<String> {
    let told = |Refused { row, reason }: &Refused| format!("{row}: {reason}");
    found.refused.iter().map(told).collect()
}

#[test]
fn a_row_is_a_server_at_its_address_with_the_age_of_its_heartbeat() {
    let rows = [
        row("10.0.0.1:8080", at(NOW - 4321)),
        row("[fd00::1]:8080", at(NOW)),
        // By the clock of another of the database's machines.
        row("10.0.0.3:80", at(NOW + 7)),
        row("10.0.0.4:80", at(i64::MIN)),
    ];
    let found = Rows::read(&rows, None);
    let ages: Vec<_> = found.servers.iter().map(|row| row.age.unwrap()).collect();
    let ms = Duration::from_millis;
    assert_eq!(ages, [ms(4321), ms(0), ms(0), ms(i64::MAX as u64)]);
    let ids: Vec<_> = found.servers.iter().map(|row| &*row.id).collect();
    assert_eq!(ids[..2], ["10.0.0.1:8080", "[fd00::1]:8080"]);
    for id in ids {
        assert_eq!(found.addresses[id], id.parse().unwrap());
    }
    assert!(found.is_whole && found.refused.is_empty());
}

#[test]
fn a_row_without_a_port_is_at_the_one_that_is_configured() {
    let rows = ["10.0.0.1", "fd00::1", "[fd00::2]"].map(|id| row(id, at(NOW)));
    let found = Rows::read(&rows, Some(8080));
    let addresses: Vec<_> = found.addresses.values().map(ToString::to_string).collect();
    assert_eq!(
        addresses,
        ["10.0.0.1:8080", "[fd00::2]:8080", "[fd00::1]:8080"]
    );
    let found = Rows::read(&rows[..1], None);
    assert!(found.addresses.is_empty());
    let expected = "10.0.0.1: rpc_addr is not usable: expected IP:PORT, or registry.yorkie.port";
    assert_eq!(refused(&found), [expected]);
}

#[test]
fn a_row_that_makes_no_sense_is_refused_and_the_others_stay() {
    let good = row("10.0.0.1:80", at(NOW));
    for (bad, told) in [
        (
            row("", at(NOW)),
            ": rpc_addr is not usable: expected IP:PORT",
        ),
        (row("yorkie:", at(NOW)), "yorkie:: rpc_addr is not usable"),
        (row("10.0.0.2:0", at(NOW)), "which cannot be connected to"),
        (
            row("10.0.0.2:80", "now"),
            "10.0.0.2:80: updated_at is no time",
        ),
        (
            row("10.0.0.2:80", NOW),
            "10.0.0.2:80: updated_at is no time",
        ),
        (
            doc! { "rpc_addr": "10.0.0.2:80", "now": at(NOW) },
            "10.0.0.2:80: updated_at is no time",
        ),
    ] {
        let found = Rows::read(&[bad, good.clone()], Some(80));
        assert!(found.addresses.contains_key("10.0.0.1:80"));
        assert!(found.is_whole, "{told}: it says whose it is");
        let refused = refused(&found);
        assert!(
            refused.len() == 1 && refused[0].contains(told),
            "{refused:?}"
        );
    }
    for nobodys in [row(7, at(NOW)), row(Bson::Null, at(NOW)), doc! {}] {
        let found = Rows::read(&[nobodys, good.clone()], None);
        assert_eq!((found.servers.len(), found.is_whole), (1, false));
        assert!(refused(&found)[0].contains("rpc_addr is no text"));
    }
}
