//! Time to build the tables: what a worker stalls for on a new assignment
//! (times the wasm penalty), and the control plane for a plan.

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use sharding::{HashFunction, HashRing, Maglev, Member, Roster};

fn roster(size: u16) -> Roster {
    let members = (0..size).map(|n| {
        let address = SocketAddr::from(([10, 0, 0, 1], 8000 + n));
        Member::new(format!("yorkie-{n}"), address, 1 + u32::from(n % 3))
    });
    Roster::new(members.collect()).expect("a valid roster")
}

fn tables(criterion: &mut Criterion) {
    let mut maglev = criterion.benchmark_group("maglev");
    for (size, members) in [(65_537, 3), (65_537, 100), (65_537, 1000), (5_000_011, 100)] {
        let roster = roster(members);
        maglev.bench_function(BenchmarkId::new(size.to_string(), members), |bencher| {
            bencher.iter(|| Maglev::new(black_box(size), &roster));
        });
    }
    maglev.finish();
    let roster = roster(100);
    criterion.bench_function("ring_hash/1024/100", |bencher| {
        bencher.iter(|| HashRing::new(black_box(1024), 8_388_608, HashFunction::XxHash, &roster));
    });
}

criterion_group!(benches, tables);
criterion_main!(benches);
