//! A member in a process of its own, so that it can be killed and stopped like
//! a server.

#![forbid(unsafe_code)]

use std::net::SocketAddr;

use clap::Parser;
use yorkies_tests::Member;

/// Serves until it is killed; the first line says where.
#[derive(Debug, Parser)]
struct Arguments {
    /// Its id.
    #[arg(long)]
    id: String,
    /// Where to serve.
    #[arg(long)]
    listen: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Arguments { id, listen } = Arguments::parse();
    let member = Member::start_as(id, listen).await?;
    println!("{}", member.entry(1).address);
    std::future::pending().await
}
