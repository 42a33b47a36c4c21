//! Compiles the protocol files without a system `protoc`.

use std::path::PathBuf;
use std::{env, fs};

use prost::Message as _;

const FILES: [&str; 4] = [
    "yorkie.proto",
    "admin.proto",
    "cluster.proto",
    "health.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
