//! The public key of the default project is learned from a running server,
//! as an installation does before its control plane starts.

use std::fs;
use std::process::Output;

use anyhow::{Result, ensure};
use yorkies_tests::{
    DocumentServer, DocumentStore, TestEnvironment, filter_module, run_xds_server,
};

const KEY: &str = "K3yOfTheDefaultProject";

#[test]
fn a_control_plane_starts_with_the_key_that_a_server_told() {
    TestEnvironment::run(async |env| {
        let folder = env.folder();
        let (_store, server) = server(env).await?;
        let learn = ["default-project", "--server", &server.url()];
        let printed = run_xds_server(folder, &learn).await?;
        ensure!(
            printed.status.success() && printed.stdout == format!("{KEY}\n").as_bytes(),
            "{printed:?}"
        );
        let written = run_xds_server(folder, &[&learn[..], &["--output", "key"]].concat()).await?;
        ensure!(
            written.status.success() && written.stdout.is_empty(),
            "{written:?}"
        );
        ensure!(fs::read_to_string(folder.join("key"))? == format!("{KEY}\n"));

        fs::write(
            folder.join("members.yaml"),
            "members: [{address: '127.0.0.1:1'}]\n",
        )?;
        let module = filter_module()?;
        let configuration = format!(
            "registry: {{file: members.yaml}}\nfilter: {{module: '{}'}}\ndefault_project_file: key\n",
            module.display()
        );
        fs::write(folder.join("yorkies.yaml"), configuration)?;
        let valid = run_xds_server(folder, &["validate", "--config", "yorkies.yaml"]).await?;
        ensure!(valid.status.success(), "{valid:?}");
        Ok(())
    });
}

#[test]
fn a_wrong_password_is_an_error_at_once_and_no_answer_is_waited_for() {
    TestEnvironment::run(async |env| {
        let folder = env.folder();
        let (_store, server) = server(env).await?;
        fs::write(folder.join("password"), "guess\n")?;
        let url = server.url();
        let refused = run_xds_server(
            folder,
            &[
                "default-project",
                "--server",
                &url,
                "--wait",
                "1h",
                "--password-file",
                "password",
            ],
        )
        .await?;
        expect_error(
            &refused,
            &["AdminService/LogIn: 401", "mismatched password"],
        )?;
        let unknown = ["default-project", "--server", &url, "--project", "x"];
        let unknown = run_xds_server(folder, &unknown).await?;
        expect_error(
            &unknown,
            &["AdminService/GetProject: 404", "project not found"],
        )?;

        let nobody = [
            "default-project",
            "--server",
            "http://127.0.0.1:1",
            "--wait",
            "1s",
        ];
        let late = run_xds_server(folder, &nobody).await?;
        expect_error(&late, &["http://127.0.0.1:1", "no answer"])
    });
}

async fn server(env: &TestEnvironment) -> Result<(DocumentStore, DocumentServer)> {
    let store = DocumentStore::start(env.folder()).await?;
    let key = ["--default-public-key", KEY];
    let server = DocumentServer::start_with(env.folder(), "yorkie-0", &store, &key).await?;
    Ok((store, server))
}

fn expect_error(output: &Output, parts: &[&str]) -> Result<()> {
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{output:?}");
    for part in parts {
        ensure!(message.contains(part), "no {part:?} in {message}");
    }
    Ok(())
}
