//! The interface over HTTP, of a control plane without its other ports.

mod document;
mod guard;
mod scene;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};

use crate::api::{LEASES_PATH, Status};
use crate::registry::WornDisk;

use super::Admin;
use scene::{Scene, reply};

const TOKEN: &str = "0123456789abcdef";

/// The names that a scrape has, without the suffixes of histograms.
fn names(text: &str) -> Vec<&str> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split(' ').next()).collect()
}

#[tokio::test]
async fn every_metric_is_in_the_table_and_has_the_prefix_once() {
    let scene = Scene::fresh("");
    let text = scene.admin.metrics().unwrap();
    let table = include_str!("../admin.rs");
    for name in names(&text) {
        let is_known = [format!("`{name}"), format!("`{name}_total")];
        assert!(is_known.iter().any(|name| table.contains(name)), "{name}");
        assert!(name.starts_with("yorkies_") && !name.contains("yorkies_yorkies"));
    }
    assert!(
        text.contains("yorkies_proxies_connected{mode=\"delta\"} 0"),
        "{text}"
    );
    assert!(
        text.contains("yorkies_nacks_total{type=\"ecds\"} 0"),
        "{text}"
    );
    let build = concat!(
        "yorkies_build_info{version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"} 1"
    );
    assert!(text.contains(build), "{text}");
    assert!(text.contains("yorkies_reports_total 0"), "{text}");
    let stale = "yorkies_registry_stale_seconds{source=\"file\"} 0";
    assert!(text.contains(stale), "{text}");
}

#[tokio::test]
async fn before_the_first_roster_it_is_alive_but_not_ready() {
    let Scene { admin, .. } = Scene::fresh("");
    assert!(!admin.is_ready());
    assert_eq!(admin.assignment(), None);
    let status = admin.status().await;
    assert_eq!(status.epoch, None);
    let json = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
}

#[tokio::test]
async fn what_goes_to_and_fro_is_counted_by_type() {
    let scene = Scene::served("").await;
    let text = scene.admin.metrics().unwrap();
    for line in [
        "yorkies_proxies_subscribed{type=\"eds\",mode=\"delta\"} 1",
        "yorkies_proxies_subscribed{type=\"eds\",mode=\"sotw\"} 0",
        "yorkies_pushes_total{type=\"cds\"} 1",
        "yorkies_pushed_bytes_total{type=\"cds\"} 100",
        "yorkies_acks_total{type=\"cds\"} 1",
        "yorkies_nacks_total{type=\"lds\"} 1",
        "yorkies_change_to_ack_seconds_count{type=\"ecds\"} 0",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    scene.change(&[1, 2, 3]).await;
    scene.accept();
    let text = scene.admin.metrics().unwrap();
    for line in [
        "yorkies_change_to_ack_seconds_count{type=\"ecds\"} 1",
        "yorkies_change_to_ack_seconds_count{type=\"eds\"} 1",
        "yorkies_change_to_ack_seconds_count{type=\"cds\"} 0",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
}

#[tokio::test]
async fn a_lease_that_the_disk_does_not_take_is_unavailable_and_the_next_is_given() {
    let disk = WornDisk::default();
    let scene = Scene::fresh("admin: {token_file: token}\n");
    scene.set_token(TOKEN);
    let admin = Arc::into_inner(scene.admin).expect("nobody else has it");
    let leases = Some(disk.leases().unwrap());
    let admin = Arc::new(Admin { leases, ..admin });
    let acquire = async || {
        let request = Request::post(LEASES_PATH)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {TOKEN}"))
            .body(Body::from(r#"{"id":"a","address":"10.0.0.1:80"}"#));
        reply(
            Arc::clone(&admin).router(([10, 0, 0, 1], 80).into()),
            request.unwrap(),
        )
        .await
    };
    disk.fails(true);
    let refused = acquire().await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        refused.text.contains("the lease cannot be kept"),
        "{}",
        refused.text
    );
    assert!(!refused.text.contains("leases.redb"), "{}", refused.text);
    disk.fails(false);
    let given = acquire().await;
    assert_eq!(given.status, StatusCode::OK, "{}", given.text);
}
