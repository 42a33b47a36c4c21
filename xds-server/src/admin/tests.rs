use crate::api::Status;
use crate::config::Config;

use super::*;

fn admin() -> Arc<Admin> {
    let text = "registry: {file: m.yaml}\nfilter: {module: f.wasm}\n";
    let config: Config = serde_saphyr::from_str(text).unwrap();
    let (sources, _) = registry::start(&config.registry).unwrap();
    Admin::new(&config, &sources, &Arc::default(), &Arc::default()).0
}

/// The names that a scrape has, without the suffixes of histograms.
fn names(text: &str) -> Vec<&str> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split(' ').next()).collect()
}

#[tokio::test]
async fn every_metric_is_in_the_table_and_has_the_prefix_once() {
    let text = admin().metrics().unwrap();
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
    assert!(text.contains("yorkies_reports_total 0"), "{text}");
    let stale = "yorkies_registry_stale_seconds{source=\"file\"} 0";
    assert!(text.contains(stale), "{text}");
}

#[tokio::test]
async fn before_the_first_roster_it_is_alive_but_not_ready() {
    let admin = admin();
    assert!(!admin.is_ready());
    assert_eq!(admin.assignment(), None);
    let status = admin.status().await;
    assert_eq!(status.epoch, None);
    let json = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
}
