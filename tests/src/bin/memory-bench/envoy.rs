//! What an Envoy uses, by its own word and the kernel's.

use std::fs;

use anyhow::{Context, Result};
use yorkies_tests::Envoy;

/// One moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    /// Assignments so far, warm-up included.
    pub(crate) epochs: usize,
    /// Resident memory, that of V8 included.
    pub(crate) rss_kb: f64,
    /// What Envoy's allocator has handed out.
    pub(crate) allocated_kb: f64,
    pub(crate) vms: u64,
    pub(crate) vms_created: u64,
    /// Processor time so far.
    pub(crate) cpu_ms: f64,
}

impl Reading {
    pub(crate) async fn of(envoy: &Envoy, epochs: usize) -> Result<Self> {
        let admin = envoy.admin()?;
        let memory = admin.json("/memory").await?;
        let allocated = memory["allocated"].as_str().context("no memory")?;
        let wasm = admin.get("/stats?filter=%5Ewasm%5C.").await?;
        let stat = |name: &str| {
            let found = wasm.lines().find_map(|line| {
                let (stat, value) = line.rsplit_once(": ")?;
                stat.ends_with(name).then(|| value.parse().ok())?
            });
            found.with_context(|| format!("no {name} in {wasm}"))
        };
        let id = envoy.id().await?;
        Ok(Self {
            epochs,
            rss_kb: resident_kb(id)?,
            allocated_kb: allocated.parse::<f64>()? / 1e3,
            vms: stat("v8.active")?,
            vms_created: stat("v8.created")?,
            cpu_ms: cpu_ms(id)?,
        })
    }
}

fn resident_kb(id: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    let kib: f64 = number.context("no VmRSS")?.parse()?;
    Ok(kib * 1.024)
}

/// User and system time, which the kernel counts in ticks of 10 ms.
fn cpu_ms(id: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("no stat")?;
    let fields: Vec<_> = fields.split(' ').collect();
    let ticks = |place: usize| -> Result<f64> {
        let field = fields.get(place).context("too few fields")?;
        Ok(field.parse()?)
    };
    Ok((ticks(11)? + ticks(12)?) * 10.0)
}
