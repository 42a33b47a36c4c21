//! Compiles what the resources use of Envoy's API into descriptors, from which
//! their JSON is made, without a system `protoc`.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use protox::prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut files = fs::read_dir("proto")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<PathBuf>, _>>()?;
    files.sort();
    let descriptors = protox::compile(files, ["proto"])?;
    let folder = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    fs::write(
        Path::new(&folder).join("envoy.bin"),
        descriptors.encode_to_vec(),
    )?;
    Ok(())
}
