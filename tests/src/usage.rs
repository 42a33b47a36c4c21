//! What a process uses, by the kernel's word.

use std::fs;

use anyhow::{Context, Result};

/// One moment.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Resident memory.
    pub rss_bytes: u64,
    /// The most of it since [`Usage::forget_peak`], or ever.
    pub peak_bytes: u64,
    /// Processor time so far, in ticks of 10 ms as the kernel counts it.
    pub cpu_ms: u64,
}

impl Usage {
    /// Of that process.
    pub fn of(process: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))
            .with_context(|| format!("no process {process}"))?;
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let (_, fields) = stat.rsplit_once(") ").context("no stat")?;
        let ticks: Vec<u64> = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            rss_bytes: bytes(&status, "VmRSS:")?,
            peak_bytes: bytes(&status, "VmHWM:")?,
            cpu_ms: ticks.iter().sum::<u64>() * 10,
        })
    }

    /// Lets the peak count from now on.
    pub fn forget_peak(process: u32) -> Result<()> {
        Ok(fs::write(format!("/proc/{process}/clear_refs"), "5")?)
    }
}

fn bytes(status: &str, name: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = number.with_context(|| format!("no {name}"))?.parse()?;
    Ok(kib * 1024)
}
