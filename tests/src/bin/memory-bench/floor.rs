//! What a plugin configuration costs Envoy itself, with an empty filter.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use yorkies_tests::{Files, TestEnvironment, eventually};

use crate::envoy::Reading;
use crate::{REST, WARM_UP};

/// The first reading and the last, of an Envoy that gets that many
/// configurations of that module, and no request.
pub(crate) async fn measure(
    env: &mut TestEnvironment,
    module: &Path,
    configurations: usize,
) -> Result<(Reading, Reading)> {
    let folder = env.folder().join("empty");
    fs::create_dir_all(&folder)?;
    let module = std::path::absolute(module)?;
    ensure!(module.is_file(), "no file {}", module.display());
    let files = Files::new(&folder, &module)?;
    files.set_members(&sharding::Roster::new(Vec::new())?)?;
    files.set_filter(&Files::config(0))?;
    let nobody = ([127, 0, 0, 1], 1).into();
    let envoy = env
        .envoy_of_bootstrap(&files.bootstrap("empty", nobody))
        .await?;
    envoy.address().await?;
    let admin = envoy.admin()?;
    let reloads = async || {
        let text = admin.get("/stats?filter=config_reload$").await?;
        let (_, number) = text.trim_end().rsplit_once(": ").context("no reloads")?;
        anyhow::Ok(number.parse::<u64>()?)
    };
    let mut first = None;
    for number in 1..=WARM_UP + configurations {
        let known = reloads().await?;
        files.set_filter(&Files::config(u64::try_from(number)?))?;
        eventually("reloaded", async || {
            ensure!(reloads().await? > known, "no reload");
            Ok(())
        })
        .await?;
        if number == WARM_UP {
            tokio::time::sleep(REST).await;
            first = Some(Reading::of(&envoy, number).await?);
        }
    }
    tokio::time::sleep(REST).await;
    let last = Reading::of(&envoy, WARM_UP + configurations).await?;
    Ok((first.context("no first reading")?, last))
}
