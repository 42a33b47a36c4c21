//! The command line without a server: what is wrong is named, owners and tables
//! are those of the library.

use std::fs;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sharding::{Assignment, Member as Entry, Policy, Roster};
use yorkies_tests::{TestEnvironment, filter_module, keys, run_xds_server};

const MEMBERS: &str = "members:
- {id: yorkie-0, address: '127.0.0.1:8080'}
- {id: yorkie-1, address: '127.0.0.1:8081', weight: 3}
- {id: yorkie-2, address: '[::1]:8080', weight: 2}
";

#[test]
fn a_valid_configuration_is_called_so() {
    TestEnvironment::run(async |env| {
        write(env.folder(), "", MEMBERS, true)?;
        let output = validate(env.folder()).await?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.code() == Some(0), "{output:?}");
        ensure!(
            stdout.contains("3 members") && stdout.contains("maglev:65537"),
            "{stdout}"
        );
        Ok(())
    });
}

#[test]
fn what_is_wrong_with_a_configuration_is_named_with_its_place() {
    TestEnvironment::run(async |env| {
        let folder = env.folder();
        for (setting, parts) in [
            (
                "policy: maglev:65536",
                ["yorkies.yaml", "line 4", "65536 is not usable", "prime"],
            ),
            (
                "polizy: maglev",
                ["yorkies.yaml", "line 4", "unknown field", "polizy"],
            ),
            (
                "upstream: {protocol: h3}",
                ["yorkies.yaml", "line 4", "unknown variant", "h3"],
            ),
            (
                "state_file: nowhere/state.json",
                ["state_file", "nowhere", "folder", "not exist"],
            ),
        ] {
            write(folder, setting, MEMBERS, true)?;
            expect_invalid(folder, &parts).await?;
        }
        for (members, parts) in [
            (
                "members:\n- {id: a, address: '127.0.0.1:1'}\n- {id: a, address: '127.0.0.1:2'}\n",
                ["members.yaml", "line 3", "\"a\" is given twice"],
            ),
            (
                "members:\n- {id: a, address: '127.0.0.1:1'}\n- {id: b, address: '127.0.0.1:1'}\n",
                [
                    "members.yaml",
                    "line 3",
                    "127.0.0.1:1 is given to both \"a\" and \"b\"",
                ],
            ),
            (
                "members:\n- {id: a, address: '127.0.0.1:1', weight: 0}\n",
                ["members.yaml", "line 2", "\"a\" has weight 0"],
            ),
            (
                "members:\n- {id: a, address: '127.0.0.1:1', zone: b}\n",
                ["members.yaml", "line 2", "unknown field `zone`"],
            ),
        ] {
            write(folder, "", members, true)?;
            expect_invalid(folder, &parts).await?;
        }
        write(folder, "", MEMBERS, false)?;
        expect_invalid(folder, &["filter.module", "missing.wasm", "cannot be read"]).await?;
        fs::write(folder.join("missing.wasm"), "no module")?;
        expect_invalid(folder, &["filter.module", "is not a proxy-wasm module"]).await?;
        fs::remove_file(folder.join("members.yaml"))?;
        write_configuration(folder, "", true)?;
        expect_invalid(folder, &["members.yaml", "cannot be read"]).await
    });
}

#[test]
fn owners_and_tables_are_those_of_the_library() {
    TestEnvironment::run(async |env| {
        let folder = env.folder();
        for policy in [
            "maglev:65537",
            "maglev:251",
            "ring_hash:64:1024",
            "ring_hash:7:99:murmur2",
        ] {
            write(folder, &format!("policy: {policy}"), MEMBERS, true)?;
            let expected = expected(policy)?;
            let of_config = ["--config", "yorkies.yaml"];
            let of_members = ["--members", "members.yaml", "--policy", policy];
            for source in [&of_config[..], &of_members[..]] {
                expect_owners(folder, source, &expected).await?;
                expect_table(folder, source, &expected).await?;
            }
        }
        Ok(())
    });
}

#[test]
fn an_owner_is_that_of_the_canonical_key() {
    TestEnvironment::run(async |env| {
        fs::write(env.folder().join("members.yaml"), MEMBERS)?;
        let spelling = "project/caf%c3%a9 ";
        let arguments = ["owner", "--members", "members.yaml", spelling];
        let output = run_xds_server(env.folder(), &arguments).await?;
        let line: Value = serde_json::from_str(&succeeded(output)?)?;
        ensure!(
            line["key"] == spelling && line["canonical"] == "project/caf%C3%A9",
            "{line}"
        );
        let wrong = ["owner", "--members", "members.yaml", "no-separator"];
        let output = run_xds_server(env.folder(), &wrong).await?;
        expect_error(&output, &["no-separator", "project/resource"])
    });
}

async fn expect_owners(folder: &Path, source: &[&str], expected: &Assignment) -> Result<()> {
    let keys = keys(500);
    let mut arguments = vec!["owner"];
    arguments.extend(source);
    arguments.extend(keys.iter().map(String::as_str));
    let output = succeeded(run_xds_server(folder, &arguments).await?)?;
    ensure!(output.lines().count() == keys.len(), "{output}");
    for (line, key) in output.lines().zip(&keys) {
        let line: Value = serde_json::from_str(line)?;
        let owner = expected.owner(key.as_bytes()).context("no member")?;
        let right = line["key"] == **key
            && line["canonical"] == **key
            && line["hash"] == owner.hash
            && line["slot"] == owner.slot
            && line["owner"] == *owner.member.id
            && line["address"] == owner.member.address.to_string();
        ensure!(right, "{key}: expected {owner:?}, got {line}");
    }
    Ok(())
}

async fn expect_table(folder: &Path, source: &[&str], expected: &Assignment) -> Result<()> {
    let output = run_xds_server(folder, &[&["table"], source].concat()).await?;
    let output = succeeded(output)?;
    let id = |index: usize| expected.roster().members()[index].id.clone();
    let lines: Vec<_> = if let Some(maglev) = expected.maglev() {
        maglev.members().map(id).collect()
    } else {
        let ring = expected.ring().context("neither Maglev nor a ring")?;
        let line = |entry: &sharding::RingEntry| {
            format!("{} {}", entry.hash, id(usize::from(entry.member)))
        };
        ring.entries().iter().map(line).collect()
    };
    ensure!(output.lines().eq(lines.iter()), "another table");
    Ok(())
}

fn expected(policy: &str) -> Result<Assignment> {
    let policy: Policy = policy.parse()?;
    let members = [
        ("127.0.0.1:8080", 1),
        ("127.0.0.1:8081", 3),
        ("[::1]:8080", 2),
    ];
    let mut entries = Vec::new();
    for (number, (address, weight)) in members.into_iter().enumerate() {
        entries.push(Entry::new(
            format!("yorkie-{number}"),
            address.parse()?,
            weight,
        ));
    }
    Ok(Assignment::new(0, policy, Roster::new(entries)?))
}

fn write(folder: &Path, setting: &str, members: &str, with_module: bool) -> Result<()> {
    fs::write(folder.join("members.yaml"), members)?;
    write_configuration(folder, setting, with_module)
}

fn write_configuration(folder: &Path, setting: &str, with_module: bool) -> Result<()> {
    let module = if with_module {
        filter_module()?
    } else {
        "missing.wasm".into()
    };
    let text = format!(
        "registry: {{ file: members.yaml }}\nfilter:\n  module: \"{}\"\n{setting}\n",
        module.display()
    );
    Ok(fs::write(folder.join("yorkies.yaml"), text)?)
}

async fn validate(folder: &Path) -> Result<Output> {
    run_xds_server(folder, &["validate", "--config", "yorkies.yaml"]).await
}

async fn expect_invalid(folder: &Path, parts: &[&str]) -> Result<()> {
    expect_error(&validate(folder).await?, parts)
}

fn expect_error(output: &Output, parts: &[&str]) -> Result<()> {
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(1) && output.stdout.is_empty(),
        "expected an error with {parts:?}: {output:?}"
    );
    for part in parts {
        ensure!(message.contains(part), "no {part:?} in {message}");
    }
    ensure!(
        message.trim_end().lines().count() == 1,
        "more than a line: {message}"
    );
    Ok(())
}

fn succeeded(output: Output) -> Result<String> {
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}
