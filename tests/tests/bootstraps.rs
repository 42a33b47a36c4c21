//! Every bootstrap that we hand to people is one that Envoy takes.

use std::fs;

use anyhow::{Result, ensure};
use sharding::Roster;
use yorkies_tests::{Mode, Settings, TestEnvironment, run_envoy, workspace};

/// Lies among the bootstraps, and is an example for the control plane.
const FOR_THE_CONTROL_PLANE: &str = "key-rules.yaml";

#[test]
fn envoy_accepts_the_bootstraps_that_the_control_plane_prints() {
    TestEnvironment::run(async |env| {
        let members = env.members(1).await?;
        let control_plane = env.control_plane(Settings::default()).await?;
        let roster = Roster::new(vec![members[0].entry(1)])?;
        control_plane.members().replace(&roster)?;
        for mode in Mode::ALL {
            let path = env.folder().join(format!("{}.yaml", mode.name()));
            fs::write(&path, control_plane.bootstrap(mode, "some-node").await?)?;
            expect_accepted(&path.to_string_lossy()).await?;
        }
        Ok(())
    });
}

#[test]
fn envoy_accepts_the_bootstraps_that_are_kept_as_files() {
    TestEnvironment::run(async |_| {
        let mut found = Vec::new();
        for entry in fs::read_dir(workspace().join("envoy"))? {
            let path = entry?.path();
            let is_yaml = path
                .extension()
                .is_some_and(|extension| extension == "yaml");
            if is_yaml && !path.ends_with(FOR_THE_CONTROL_PLANE) {
                expect_accepted(&path.to_string_lossy()).await?;
                found.extend(
                    path.file_name()
                        .map(|name| name.to_string_lossy().into_owned()),
                );
            }
        }
        for name in [
            "bootstrap-delta.yaml",
            "bootstrap-sotw.yaml",
            "own-listener.yaml",
        ] {
            ensure!(
                found.iter().any(|other| other == name),
                "no {name} in {found:?}"
            );
        }
        Ok(())
    });
}

#[test]
fn envoy_refuses_what_is_no_bootstrap() {
    TestEnvironment::run(async |env| {
        let path = env.folder().join("wrong.yaml");
        fs::write(&path, "static_resource: {}\n")?;
        let accepted = expect_accepted(&path.to_string_lossy()).await;
        ensure!(accepted.is_err(), "the check accepts anything");
        Ok(())
    });
}

async fn expect_accepted(path: &str) -> Result<()> {
    let arguments = ["--mode", "validate", "--use-dynamic-base-id", "-l", "warn"];
    let output = run_envoy(&[&arguments[..], &["-c", path]].concat()).await?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{path}: {errors}");
    Ok(())
}
