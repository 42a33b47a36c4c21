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
    /// Its threads.
    pub threads: u64,
    /// What it has open: files, connections and whatever else has a descriptor.
    pub descriptors: u64,
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
            threads: number(&status, "Threads:")?,
            descriptors: fs::read_dir(format!("/proc/{process}/fd"))?.count() as u64,
        })
    }

    /// Lets the peak count from now on.
    pub fn forget_peak(process: u32) -> Result<()> {
        Ok(fs::write(format!("/proc/{process}/clear_refs"), "5")?)
    }
}

fn bytes(status: &str, name: &str) -> Result<u64> {
    Ok(number(status, name)? * 1024)
}

fn number(status: &str, name: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.with_context(|| format!("no {name}"))?.parse()?)
}
