//! What `envoy/monitoring/` asks Prometheus for is there: every metric of its
//! dashboard and alerts is one that a running control plane or Envoy exports.

mod promql;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use serde_json::Value;
use yorkies_tests::{
    Client, Cluster, Mode, Protocol, Request, Scratch, Settings, TestEnvironment, Watchers,
    anchors, equal_weights, eventually, keys, workspace,
};

use promql::{grouped, label_names, selectors, split_name};

/// Labels that Prometheus adds to every sample, and the metric that it makes of
/// every scrape.
const OF_PROMETHEUS: [&str; 2] = ["job", "instance"];
const SCRAPED: &str = "up";

#[test]
fn dashboard_and_alerts_ask_only_for_what_is_exported() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let two = equal_weights(&members[..2]);
        let mut cluster =
            Cluster::start(env, Settings::default(), &[Mode::Delta, Mode::Sotw], two).await?;
        let watchers = Watchers::start(cluster.watches(&keys(20), 40).await?).await?;
        cluster.edit(equal_weights(&members))?;
        cluster.rebalanced().await?;
        cluster.expect_placed(&watchers).await?;

        let control_plane = cluster.control_plane.admin_url();
        let address = control_plane.strip_prefix("http://").context("no URL")?;
        let client = Client::new(address.parse()?, Protocol::Http1);
        let reply = client.send(&Request::new(Method::GET, "/metrics")).await?;
        let mut exported = Exported::default();
        exported.read(&reply.text());
        // It brings its counters to Envoy on a tick.
        let of_envoy = eventually("counters of the filter", async || {
            let text = cluster.envoys[0].admin()?.get("/stats/prometheus").await?;
            let mut exported = Exported::default();
            exported.read(&text);
            let has_labels = exported.has_label("yorkies_requests_source", "source");
            ensure!(has_labels, "no counters of the filter");
            Ok(exported)
        })
        .await?;
        exported.merge(of_envoy);

        let asked = expressions()?;
        ensure!(asked.len() > 60, "only {} expressions", asked.len());
        let mut problems = Vec::new();
        for (place, expression) in &asked {
            for problem in exported.check(expression)? {
                problems.push(format!("{place}: {problem} in {expression:?}"));
            }
        }
        ensure!(problems.is_empty(), "{problems:#?}");
        Ok(())
    });
}

#[test]
fn every_alert_has_a_severity_and_a_section_in_the_runbook() -> Result<()> {
    let runbook = fs::read_to_string(workspace().join("docs/operations.md"))?;
    let sections = anchors(&runbook);
    let mut names = BTreeSet::new();
    for alert in alerts()? {
        let name = alert["alert"].as_str().context("no name")?;
        ensure!(names.insert(name.to_owned()), "{name} is there twice");
        let severity = alert["labels"]["severity"].as_str();
        ensure!(
            matches!(severity, Some("page" | "ticket")),
            "{name}: severity {severity:?}"
        );
        ensure!(!alert["annotations"]["summary"].is_null(), "{name}");
        let url = alert["annotations"]["runbook_url"].as_str();
        let (page, section) = url
            .and_then(|url| url.split_once('#'))
            .with_context(|| format!("{name}: no section in {url:?}"))?;
        ensure!(
            page == concat!(
                env!("CARGO_PKG_REPOSITORY"),
                "/blob/main/docs/operations.md"
            ),
            "{name}: {page}"
        );
        ensure!(
            section == name.to_lowercase() && sections.contains(section),
            "{name}: no section {section:?} in docs/operations.md"
        );
    }
    Ok(())
}

#[test]
fn prometheus_own_tool_accepts_configuration_alerts_and_dashboard() -> Result<()> {
    if Command::new("promtool").arg("--version").output().is_err() {
        // Past what the harness keeps to itself of tests that pass.
        let missing = "promtool is not installed (Debian: apt-get install prometheus): NOT CHECKED";
        writeln!(io::stderr(), "{missing}")?;
        return Ok(());
    }
    let folder = workspace().join("envoy/monitoring");
    promtool(&["check", "config"], &folder.join("prometheus.yaml"))?;
    promtool(&["check", "rules"], &folder.join("alerts.yaml"))?;
    promtool(&["test", "rules"], &folder.join("alerts-test.yaml"))?;

    // A dashboard is nothing that it knows, its expressions are.
    let rules: Vec<Value> = expressions()?
        .into_iter()
        .enumerate()
        .map(|(number, (_, expression))| {
            serde_json::json!({ "record": format!("expression:{number}"), "expr": expression })
        })
        .collect();
    let groups = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let scratch = Scratch::new("monitoring")?;
    let file = scratch.path().join("dashboard.yaml");
    fs::write(&file, groups.to_string())?;
    promtool(&["check", "rules"], &file)
}

#[test]
fn the_panels_of_the_dashboard_say_what_they_show_and_do_not_overlap() -> Result<()> {
    let dashboard = dashboard()?;
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeMap::new());
    for panel in panels {
        let title = panel["title"].as_str().context("no title")?;
        ensure!(ids.insert(panel["id"].as_u64()), "{title}: id of another");
        let is_row = panel["type"] == "row";
        let description = panel["description"].as_str().unwrap_or_default();
        ensure!(is_row || !description.is_empty(), "{title}: no description");
        let place = |name: &str| panel["gridPos"][name].as_u64().context("no place");
        let (x, y, w, h) = (place("x")?, place("y")?, place("w")?, place("h")?);
        ensure!(x + w <= 24, "{title} is wider than the page");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            if let Some(other) = cells.insert(cell, title) {
                bail!("{title} overlaps {other}");
            }
        }
    }
    Ok(())
}

/// Names of metrics with their labels, as scrapes have them.
#[derive(Debug, Default)]
struct Exported {
    labels: BTreeMap<String, BTreeSet<String>>,
}

impl Exported {
    /// Takes the samples of a text in the format of Prometheus or `OpenMetrics`.
    fn read(&mut self, text: &str) {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        for sample in samples {
            let (name, rest) = split_name(sample);
            if !name.is_empty() {
                let labels = self.labels.entry(name.to_owned()).or_default();
                let matchers = rest.strip_prefix('{').unwrap_or_default();
                labels.extend(label_names(matchers));
            }
        }
    }

    fn merge(&mut self, other: Self) {
        for (name, labels) in other.labels {
            self.labels.entry(name).or_default().extend(labels);
        }
    }

    fn has_label(&self, name: &str, label: &str) -> bool {
        OF_PROMETHEUS.contains(&label)
            || self
                .labels
                .get(name)
                .is_some_and(|labels| labels.contains(label))
    }

    /// What an expression asks for that is not there.
    fn check(&self, expression: &str) -> Result<Vec<String>> {
        let asked = selectors(expression)?;
        ensure!(!asked.is_empty(), "no metric in {expression:?}");
        let mut problems = Vec::new();
        for (name, labels) in &asked {
            if name != SCRAPED && !self.labels.contains_key(name) {
                problems.push(format!("no metric {name}"));
                continue;
            }
            let missing = labels.iter().filter(|label| !self.has_label(name, label));
            problems.extend(missing.map(|label| format!("{name} has no label {label}")));
        }
        for label in grouped(expression) {
            let is_known =
                label == "le" || asked.iter().any(|(name, _)| self.has_label(name, &label));
            if !is_known {
                problems.push(format!("no metric here has a label {label}"));
            }
        }
        Ok(problems)
    }
}

/// Every expression of the dashboard and the alerts, with where it is.
fn expressions() -> Result<Vec<(String, String)>> {
    let dashboard = dashboard()?;
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().context("no panels")? {
        for target in panel["targets"].as_array().into_iter().flatten() {
            found.push((text(&panel["title"])?, text(&target["expr"])?));
        }
    }
    for annotation in list(&dashboard["annotations"]["list"])? {
        found.push((text(&annotation["name"])?, text(&annotation["expr"])?));
    }
    for variable in list(&dashboard["templating"]["list"])? {
        if let Some(query) = variable["query"]["query"].as_str() {
            let metric = query
                .strip_prefix("label_values(")
                .and_then(|query| query.split_once(','))
                .with_context(|| format!("no metric in {query:?}"))?
                .0;
            found.push((text(&variable["name"])?, metric.to_owned()));
        }
    }
    for (_, expression) in &mut found {
        *expression = expression.replace("$__rate_interval", "1m");
    }
    for alert in alerts()? {
        found.push((text(&alert["alert"])?, text(&alert["expr"])?));
    }
    Ok(found)
}

fn dashboard() -> Result<Value> {
    let file = monitoring("grafana.json");
    Ok(serde_json::from_str(&fs::read_to_string(file)?)?)
}

fn alerts() -> Result<Vec<Value>> {
    let rules: Value = serde_saphyr::from_str(&fs::read_to_string(monitoring("alerts.yaml"))?)?;
    let mut alerts = Vec::new();
    for group in list(&rules["groups"])? {
        alerts.extend_from_slice(list(&group["rules"])?);
    }
    ensure!(alerts.len() > 10, "only {} alerts", alerts.len());
    Ok(alerts)
}

fn monitoring(file: &str) -> PathBuf {
    workspace().join("envoy/monitoring").join(file)
}

fn list(value: &Value) -> Result<&[Value]> {
    Ok(value.as_array().context("no list")?)
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().context("no text")?.to_owned())
}

fn promtool(command: &[&str], file: &Path) -> Result<()> {
    let output = Command::new("promtool").args(command).arg(file).output()?;
    ensure!(
        output.status.success(),
        "promtool {command:?} {}: {}{}",
        file.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
