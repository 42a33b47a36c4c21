//! The manifests of `envoy/kubernetes/`: by the schema, by what they say of each
//! other, and by those who read what is in them.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use yorkies_tests::{TestEnvironment, filter_module, run_envoy, run_xds_server, workspace};

use crate::schema::{Schema, VERSIONS};

const FILES: [&str; 4] = [
    "namespace.yaml",
    "control-plane.yaml",
    "envoy.yaml",
    "yorkie.yaml",
];

const RECORDED: [(&str, &str); 3] = [
    (crate::STATEFUL_SET, crate::RESTART),
    (crate::upgrade::DEPLOYMENT, crate::upgrade::SURGE),
    (crate::DUAL_STACK, crate::MOVES),
];

#[test]
fn manifests_and_recordings_are_what_the_schema_allows() {
    TestEnvironment::run(async |_| {
        let manifests = manifests()?;
        for version in VERSIONS {
            let schema = Schema::new(version).await?;
            for manifest in &manifests {
                schema.expect_valid(manifest)?;
            }
            for (list, events) in RECORDED {
                let list: Value = serde_json::from_str(list)?;
                schema.expect_valid(&list)?;
                for event in events.lines() {
                    let event: Value = serde_json::from_str(event)?;
                    if event["type"] != "BOOKMARK" {
                        schema.expect_valid(&event["object"])?;
                    }
                }
            }
            let mut wrong = find(&manifests, "StatefulSet", "control-plane")?.clone();
            wrong["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = json!({});
            ensure!(schema.expect_valid(&wrong).is_err(), "anything is valid");
        }
        Ok(())
    });
}

#[test]
fn the_configuration_and_the_bootstrap_in_them_are_accepted_and_belong_together() {
    TestEnvironment::run(async |env| {
        let manifests = manifests()?;
        let config = find(&manifests, "ConfigMap", "control-plane")?;
        let config = config["data"]["yorkies.yaml"]
            .as_str()
            .context("no configuration")?;
        // In the place of what is mounted.
        let folder = env.folder().display().to_string();
        let module = filter_module()?.display().to_string();
        fs::create_dir(env.folder().join("secrets"))?;
        fs::write(env.folder().join("secrets/cluster-secret"), "secret")?;
        let config = config
            .replace("/usr/local/lib/yorkies/yorkies-filter.wasm", &module)
            .replace("/etc/yorkies", &folder)
            .replace("/var/lib/yorkies", &folder);
        fs::write(env.folder().join("yorkies.yaml"), &config)?;
        let run = async |arguments: &[&str]| {
            let output = run_xds_server(env.folder(), arguments).await?;
            let errors = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{arguments:?}: {errors}");
            Ok(String::from_utf8(output.stdout)?)
        };
        let valid = run(&["validate", "--config", "yorkies.yaml"]).await?;
        ensure!(
            valid.contains("members of service yorkie (not asked)"),
            "{valid}"
        );

        let printed = run(&[
            "bootstrap",
            "--config",
            "yorkies.yaml",
            "--admin",
            "127.0.0.1:9901",
            "--node",
            "envoy",
        ]);
        let printed: Value = serde_saphyr::from_str(&printed.await?)?;
        let bootstrap = find(&manifests, "ConfigMap", "envoy")?;
        let bootstrap = bootstrap["data"]["envoy.yaml"]
            .as_str()
            .context("no bootstrap")?;
        ensure!(
            serde_saphyr::from_str::<Value>(bootstrap)? == printed,
            "not {printed:#}"
        );
        let path = env.folder().join("envoy.yaml");
        fs::write(&path, bootstrap)?;
        let path = path.to_string_lossy();
        let check = [
            "--mode",
            "validate",
            "--use-dynamic-base-id",
            "-l",
            "warn",
            "-c",
            &path,
        ];
        let output = run_envoy(&check).await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{errors}");
        Ok(())
    });
}

#[test]
fn the_control_plane_may_watch_slices_of_its_namespace_and_nothing_else() -> Result<()> {
    let manifests = manifests()?;
    let role = find(&manifests, "Role", "control-plane")?;
    let rules = json!([{
        "apiGroups": ["discovery.k8s.io"],
        "resources": ["endpointslices"],
        "verbs": ["get", "list", "watch"],
    }]);
    ensure!(role["rules"] == rules, "{role}");
    let binding = find(&manifests, "RoleBinding", "control-plane")?;
    ensure!(binding["roleRef"]["kind"] == "Role" && binding["roleRef"]["name"] == "control-plane");
    let subjects =
        json!([{ "kind": "ServiceAccount", "name": "control-plane", "namespace": "yorkies" }]);
    ensure!(binding["subjects"] == subjects, "{binding}");
    for kind in ["ClusterRole", "ClusterRoleBinding"] {
        ensure!(
            manifests.iter().all(|manifest| manifest["kind"] != kind),
            "there is a {kind}"
        );
    }
    for (manifest, pod) in pods(&manifests) {
        let is_control_plane = manifest["metadata"]["name"] == "control-plane";
        ensure!(
            pod["automountServiceAccountToken"] == is_control_plane,
            "{manifest}"
        );
        ensure!(
            pod.get("serviceAccountName").is_some() == is_control_plane,
            "{manifest}"
        );
    }
    Ok(())
}

#[test]
fn nobody_has_more_rights_than_it_needs_and_what_is_referred_to_is_there() -> Result<()> {
    let manifests = manifests()?;
    for manifest in &manifests {
        let is_namespace = manifest["kind"] == "Namespace";
        ensure!(
            is_namespace || manifest["metadata"]["namespace"] == "yorkies",
            "{manifest}"
        );
    }
    let pods = pods(&manifests);
    ensure!(pods.len() == 3, "{} kinds of pods", pods.len());
    for (manifest, pod) in &pods {
        ensure!(pod["securityContext"]["runAsNonRoot"] == true, "{manifest}");
        for container in containers(pod) {
            let rights = &container["securityContext"];
            ensure!(rights["allowPrivilegeEscalation"] == false, "{container}");
            ensure!(rights["readOnlyRootFilesystem"] == true, "{container}");
            ensure!(
                rights["capabilities"] == json!({ "drop": ["ALL"] }),
                "{container}"
            );
            let volumes: Vec<_> = names(&pod["volumes"])
                .chain(names(&manifest["spec"]["volumeClaimTemplates"]))
                .collect();
            for mount in names(&container["volumeMounts"]) {
                ensure!(volumes.contains(&mount), "{mount} is no volume: {manifest}");
            }
        }
        let labels = &manifest["spec"]["template"]["metadata"]["labels"];
        ensure!(
            manifest["spec"]["selector"]["matchLabels"] == *labels,
            "{manifest}"
        );
    }
    for service in manifests
        .iter()
        .filter(|manifest| manifest["kind"] == "Service")
    {
        let selects = |(manifest, _): &&(&Value, &Value)| {
            manifest["spec"]["template"]["metadata"]["labels"] == service["spec"]["selector"]
        };
        let (_, pod) = pods
            .iter()
            .find(selects)
            .with_context(|| format!("nobody is behind {service}"))?;
        let open: Vec<_> = containers(pod)
            .flat_map(|container| names(&container["ports"]))
            .collect();
        for port in service["spec"]["ports"].as_array().into_iter().flatten() {
            let target = port["targetPort"].as_str().context("no target")?;
            ensure!(open.contains(&target), "{target} is no port of {service}");
        }
    }
    // What the control plane follows.
    let followed = find(&manifests, "Service", "yorkie")?;
    ensure!(
        names(&followed["spec"]["ports"]).any(|port| port == "rpc"),
        "{followed}"
    );
    let state = &find(&manifests, "StatefulSet", "control-plane")?["spec"];
    ensure!(
        state["replicas"] == 1 && names(&state["volumeClaimTemplates"]).any(|name| name == "state")
    );
    Ok(())
}

fn manifests() -> Result<Vec<Value>> {
    let folder = workspace().join("envoy/kubernetes");
    let count = fs::read_dir(&folder)?.count();
    ensure!(count == FILES.len(), "{count} files, expected {FILES:?}");
    let mut manifests = Vec::new();
    for file in FILES {
        let text = fs::read_to_string(folder.join(file))?;
        for document in text.split("\n---\n") {
            manifests.push(serde_saphyr::from_str(document).context(file)?);
        }
    }
    Ok(manifests)
}

fn find<'a>(manifests: &'a [Value], kind: &str, name: &str) -> Result<&'a Value> {
    let is_it =
        |manifest: &&Value| manifest["kind"] == kind && manifest["metadata"]["name"] == name;
    manifests
        .iter()
        .find(is_it)
        .with_context(|| format!("no {kind} {name}"))
}

/// Those who start pods, and these.
fn pods(manifests: &[Value]) -> Vec<(&Value, &Value)> {
    let pod = |manifest| Some((manifest, Value::pointer(manifest, "/spec/template/spec")?));
    manifests.iter().filter_map(pod).collect()
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let all = [&pod["initContainers"], &pod["containers"]];
    all.into_iter().filter_map(Value::as_array).flatten()
}

/// Of objects in a list, their own names or those in their metadata.
fn names(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(|object| {
        let name = object
            .get("name")
            .or_else(|| object.pointer("/metadata/name"));
        name.and_then(Value::as_str)
    })
}
