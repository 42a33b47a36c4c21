//! How much memory an Envoy has, and its filters in it.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::Admin;

/// What V8 reserves for a memory of WebAssembly with 32-bit addresses: nothing
/// that a module can compute from two of them leads out of it.
const RESERVED: u64 = 8 << 30;

/// Memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Of all wasm modules: they only ever grow.
    pub wasm: u64,
    /// That Envoy's own code has allocated and not freed.
    pub allocated: u64,
    /// Of the whole process, as the kernel counts it.
    pub resident: u64,
}

impl Memory {
    pub(super) async fn of(admin: &Admin, process: u32) -> Result<Self> {
        let memory = admin.json("/memory").await?;
        let allocated = memory["allocated"].as_str().map(str::parse);
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        Ok(Self {
            wasm: wasm_memory(&fs::read_to_string(format!("/proc/{process}/maps"))?)?,
            allocated: allocated.with_context(|| format!("{memory}"))??,
            resident: resident(&status).with_context(|| status.clone())?,
        })
    }
}

fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// The sum of all memories: each is the start of a reservation whose rest
/// nobody may touch.
fn wasm_memory(maps: &str) -> Result<u64> {
    let mut sum = 0;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some("---p")) = (words.next(), words.next()) else {
            continue;
        };
        let (start, end) = range.split_once('-').context("no range")?;
        let (start, end) = (
            u64::from_str_radix(start, 16)?,
            u64::from_str_radix(end, 16)?,
        );
        // No other reservation is half as large.
        if end - start > RESERVED / 2 && end - start < RESERVED {
            sum += RESERVED - (end - start);
        }
    }
    ensure!(sum > 0, "no memory of a wasm module in {maps}");
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_memories_of_wasm_are_counted() {
        let maps = "\
            7fb750f00000-7fb751700000 rw-p 00000000 00:00 0\n\
            7fb751700000-7fb751840000 rw-p 00000000 00:00 0\n\
            7fb751840000-7fb951700000 ---p 00000000 00:00 0\n\
            7fbb51728000-7fbb61708000 ---p 00000000 00:00 0\n\
            7fbbb3710000-7fbbb3830000 rw-p 00000000 00:00 0\n\
            7fbbb3830000-7fbdb3710000 ---p 00000000 00:00 0\n";
        assert_eq!(wasm_memory(maps).unwrap(), 0x14_0000 + 0x12_0000);
        assert!(wasm_memory("7fbb51728000-7fbb61708000 ---p 00000000 00:00 0").is_err());
    }
}
