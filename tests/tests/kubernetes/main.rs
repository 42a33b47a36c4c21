//! Members behind a service of Kubernetes: what happens to its pods is followed
//! at once, and whatever happens to the API server, the last good roster stays.
//!
//! The API server is a stand-in over real HTTP. What it says of whole upgrades
//! was written down by hand as the real one would say it (`recorded/`).

mod manifests;
mod scene;
mod schema;
mod upgrade;

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sharding::Policy;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};
use yorkies_tests::{
    ApiFault, Authority, ControlPlane, KubernetesApi, Member, Mode, Protocol, TestEnvironment,
    Traffic, assignment, equal_weights, eventually, expect_owners, keys, run_xds_server, settled,
};

use scene::{KUBERNETES, Phase, endpoint, members, pod, settings, slice, slice_of, start};

pub(crate) const STATEFUL_SET: &str = include_str!("recorded/statefulset.json");
pub(crate) const RESTART: &str = include_str!("recorded/statefulset-restart.jsonl");
pub(crate) const MOVES: &str = include_str!("recorded/slice-moves.jsonl");
pub(crate) const DUAL_STACK: &str = include_str!("recorded/dual-stack.json");

/// Far longer than an API server that is well needs for a sign of life.
const STALE: Duration = Duration::from_secs(7);

/// Room for a busy machine.
const SOON: Duration = Duration::from_secs(10);

const KEYS: usize = 1_000;
const TRAFFIC: usize = 100;

#[test]
fn requests_follow_the_pods_and_go_on_while_the_api_server_is_gone() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let mut api = KubernetesApi::start(env.folder()).await?;
        for member in &members[..2] {
            api.put(&pod(member))?;
        }
        let mut control_plane = start(env, &api).await?;
        let envoy = env.envoy(&control_plane, Mode::Delta).await?;
        let (h2c, http1) = (
            envoy.client(Protocol::H2c).await?,
            envoy.client(Protocol::Http1).await?,
        );
        let expected = |members: &[Member]| assignment(Policy::default(), equal_weights(members));
        let mut epoch = settled(&[&h2c, &http1], 0).await?;
        expect_owners(&h2c, &expected(&members[..2])?, &keys(KEYS)).await?;

        let traffic = Traffic::start(h2c.clone(), keys(TRAFFIC));
        let third = members[2].entry(1);
        for (phase, uid, count) in [
            (Phase::Ready, "first", 3),
            // It still serves, so that nobody who comes late is turned away.
            (Phase::Terminating, "first", 2),
            (Phase::Ready, "second", 3),
        ] {
            let change = Instant::now();
            api.put(&slice_of(&third.id, uid, third.address, phase))?;
            epoch = settled(&[&h2c, &http1], epoch).await?;
            let took = change.elapsed();
            println!("{phase:?}: requests go by it after {took:?}");
            ensure!(took < SOON, "{phase:?}: it took {took:?}");
            expect_owners(&h2c, &expected(&members[..count])?, &keys(KEYS)).await?;
        }
        let report = traffic.stop().await?;
        ensure!(report.failures.is_empty(), "requests lost: {report:?}");

        let traffic = Traffic::start(http1.clone(), keys(TRAFFIC));
        api.stop().await;
        control_plane.refused(KUBERNETES, "refused").await?;
        control_plane.stale(KUBERNETES, STALE).await?;
        control_plane.restart().await?;
        control_plane.refused(KUBERNETES, "refused").await?;
        expect_owners(&h2c, &expected(&members)?, &keys(KEYS)).await?;
        ensure!(control_plane.epoch().await? == epoch, "another epoch");
        api.restart().await?;
        control_plane.logged(&["good again", KUBERNETES]).await?;
        control_plane.fresh(KUBERNETES).await?;
        ensure!(control_plane.epoch().await? == epoch, "another epoch");
        traffic.stop().await?.expect_flawless()?;
        api.delete("slice-of-yorkie-2")?;
        settled(&[&h2c, &http1], epoch).await?;
        expect_owners(&http1, &expected(&members[..2])?, &keys(KEYS)).await
    });
}

#[test]
fn a_pod_of_a_stateful_set_leaves_when_it_is_deleted_and_comes_back_under_its_name() {
    TestEnvironment::run(async |env| {
        let api = KubernetesApi::start(env.folder()).await?;
        api.load(STATEFUL_SET)?;
        let control_plane = start(env, &api).await?;
        let (zero, one) = ("yorkie-0=10.244.1.7:8080", "yorkie-1=10.244.2.5:8080");
        let all = members(&[zero, one, "yorkie-2=10.244.3.9:8080"]);
        control_plane.wait_for_members(&all).await?;
        let last = ("e91c3d78-6b2a-4c45-a7f3-1b5d8e0f2c03", "eu-west-1c");
        expect_run(&control_plane, last).await?;

        let events: Vec<_> = RESTART.lines().collect();
        let (deleted, rest) = events.split_first().context("no event")?;
        api.play(deleted)?;
        let left = members(&[zero, one]);
        control_plane.wait_for_members(&left).await?;
        let (ready, between) = rest.split_last().context("no event")?;
        // That it is gone, and is there again but not ready, is no news.
        api.play(&between.join("\n"))?;
        api.play(ready)?;
        let back = members(&[zero, one, "yorkie-2=10.244.3.12:8080"]);
        control_plane.wait_for_members(&back).await?;
        let new = ("41f7a6d2-0e9b-4c1d-b8a5-9c3e2f7d6b04", "eu-west-1c");
        expect_run(&control_plane, new).await?;
        let published = control_plane.published().await?;
        let epochs: Vec<_> = published.keys().copied().collect();
        let [first, _, last] = &epochs[..] else {
            anyhow::bail!("assignments {epochs:?} instead of three");
        };
        let moved = keys(KEYS).into_iter().filter(|key| {
            let owner = |epoch| Some(published[epoch].owner(key.as_bytes())?.member.id.clone());
            owner(first) != owner(last)
        });
        ensure!(moved.count() == 0, "keys have moved for good");

        // From one slice to another and back, under way in both of them.
        let epoch = control_plane.epoch().await?;
        let lists = api.lists();
        for (number, event) in MOVES.lines().enumerate() {
            api.play(event)?;
            // Of these one says that the pod is not ready.
            if number == 2 {
                control_plane
                    .wait_for_members(&members(&[zero, &back[2][..back[2].len() - 2]]))
                    .await?;
            }
        }
        control_plane.wait_for_members(&back).await?;
        ensure!(control_plane.epoch().await? > epoch, "nothing happened");
        ensure!(api.lists() == lists, "what was watched was listed again");
        Ok(())
    });
}

#[test]
fn whatever_the_api_server_says_wrongly_the_last_good_roster_stays() {
    TestEnvironment::run(async |env| {
        let api = KubernetesApi::start(env.folder()).await?;
        api.load(STATEFUL_SET)?;
        let control_plane = start(env, &api).await?;
        let expected = members(&[
            "yorkie-0=10.244.1.7:8080",
            "yorkie-1=10.244.2.5:8080",
            "yorkie-2=10.244.3.9:8080",
        ]);
        control_plane.wait_for_members(&expected).await?;
        let epoch = control_plane.epoch().await?;
        let refused = async |why: &str| control_plane.refused(KUBERNETES, why).await;

        // In a watch that is open, with lists that go wrong afterwards.
        for (fault, why) in [
            (
                ApiFault::Status(500, "etcd is away"),
                "list: 500: etcd is away",
            ),
            (
                ApiFault::Status(401, "Unauthorized"),
                "list: 401: Unauthorized",
            ),
            (
                ApiFault::Status(403, "endpointslices is forbidden"),
                "list: 403: endpointslices",
            ),
            (ApiFault::Body("<html>a proxy"), "list: Error deserializing"),
            (
                ApiFault::Body(
                    "{\"kind\":\"EndpointSliceList\",\"apiVersion\":\"v1\",\"metadata\":{}}",
                ),
                "missing field `items`",
            ),
            (
                ApiFault::Body(
                    "{\"kind\":\"EndpointSliceList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[]}",
                ),
                "the list has no version",
            ),
            (ApiFault::Break, "connection"),
        ] {
            api.fail_lists(Some(fault));
            api.break_watches();
            refused(why).await?;
        }
        let watches = api.watches();
        api.fail_lists(None);
        watched_again(&api, watches).await?;
        for (line, why) in [
            ("garbage", "watch: Error deserializing"),
            (
                r#"{"type":"ERROR","object":{"kind":"Status","code":500,"message":"storage is gone"}}"#,
                "watch: 500: storage is gone",
            ),
            (
                r#"{"type":"PUT","object":{}}"#,
                "watch: what came is neither",
            ),
            (
                r#"{"type":"MODIFIED","object":{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"49000"},"addressType":"IPv4","endpoints":[]}}"#,
                "a slice has no name",
            ),
        ] {
            let watches = api.watches();
            api.say(line);
            refused(why).await?;
            watched_again(&api, watches).await?;
        }
        api.fail_watches(Some(ApiFault::Status(503, "busy")));
        refused("watch: 503: busy").await?;
        let watches = api.watches();
        api.fail_watches(None);
        watched_again(&api, watches).await?;
        let watches = api.watches();
        api.compact();
        refused("the history is gone, everything has to be listed again: too old").await?;
        watched_again(&api, watches).await?;

        api.fail_watches(Some(ApiFault::Silence));
        refused("watch: no answer within").await?;
        // Lists still tell who is there.
        api.fail_lists(Some(ApiFault::Silence));
        refused("list: no answer within").await?;
        control_plane.stale(KUBERNETES, STALE).await?;
        control_plane.wait_for_members(&expected).await?;
        ensure!(control_plane.epoch().await? == epoch, "a new epoch");
        api.fail_watches(None);
        api.fail_lists(None);
        control_plane.fresh(KUBERNETES).await?;
        control_plane.wait_for_members(&expected).await
    });
}

#[test]
fn whoever_the_api_server_does_without_the_last_good_roster_stays() {
    TestEnvironment::run(async |env| {
        let api = KubernetesApi::start(env.folder()).await?;
        api.load(STATEFUL_SET)?;
        // A loss is held for longer than anything here takes.
        let more = "service: yorkie, port: rpc, hold_loss: 1h";
        let settings = settings(&api.kubeconfig(None)?, more);
        let control_plane = env.control_plane(settings).await?;
        let expected = members(&[
            "yorkie-0=10.244.1.7:8080",
            "yorkie-1=10.244.2.5:8080",
            "yorkie-2=10.244.3.9:8080",
        ]);
        control_plane.wait_for_members(&expected).await?;
        let epoch = control_plane.epoch().await?;
        let refused = async |why: &str| control_plane.refused(KUBERNETES, why).await;

        // Nobody, all at once: more likely a fault than a wish.
        api.delete("yorkie-8xk2p")?;
        refused("no members there: 0 endpoints are not ready").await?;
        let dead = endpoint("yorkie-0", "u", "10.244.1.7", Phase::Starting);
        api.put(&slice("x", 8080, &[dead]))?;
        refused("no members there: 1 endpoints are not ready").await?;
        api.put(&slice(
            "x",
            8080,
            &[endpoint("yorkie-0", "u", "no address", Phase::Ready)],
        ))?;
        control_plane
            .logged(&[
                "WARN",
                "Endpoint in Kubernetes refused",
                "slice-of-x",
                "no address",
            ])
            .await?;
        // Most of them, and nobody has deleted their pods: that has to last.
        api.put(&slice(
            "x",
            8080,
            &[endpoint("yorkie-0", "u", "10.244.1.7", Phase::Ready)],
        ))?;
        refused("2 of 3 members are gone at once").await?;
        api.load(&STATEFUL_SET.replace("48213", "60000"))?;
        refused("the history is gone").await?;
        control_plane.fresh(KUBERNETES).await?;
        control_plane.wait_for_members(&expected).await?;
        ensure!(control_plane.epoch().await? == epoch, "a new epoch");
        Ok(())
    });
}

#[test]
fn a_service_may_have_many_slices_on_several_pages() {
    TestEnvironment::run(async |env| {
        let api = KubernetesApi::start(env.folder()).await?;
        api.page(3);
        let mut expected = Vec::new();
        for number in 0..10_u8 {
            let pods = (0..3_u8).map(|pod| {
                let (name, address) = (
                    format!("pod-{number}-{pod}"),
                    format!("10.1.{number}.{pod}"),
                );
                expected.push(format!("{name}={address}:8080*1"));
                endpoint(&name, &name, &address, Phase::Ready)
            });
            let pods: Vec<_> = pods.collect();
            api.put(&slice(&number.to_string(), 8080, &pods))?;
        }
        let control_plane = start(env, &api).await?;
        control_plane.wait_for_members(&expected).await?;
        ensure!(api.lists() == 4, "{} pages", api.lists());
        // Watches end and begin, and nothing is listed for that.
        let watches = api.watches();
        watched_again(&api, watches + 1).await?;
        ensure!(api.lists() == 4, "{} pages", api.lists());
        Ok(())
    });
}

#[test]
fn addresses_ports_labels_and_contexts_can_be_chosen() {
    TestEnvironment::run(async |env| {
        let api = KubernetesApi::start(env.folder()).await?;
        api.load(DUAL_STACK)?;
        let kubeconfig = api.kubeconfig(None)?;
        for (more, expected) in [
            (
                "service: yorkie, port: rpc",
                ["10.244.1.7:8080", "10.244.2.5:8080"],
            ),
            (
                "selector: kubernetes.io/service-name=yorkie, port: 9090, addresses: ipv6, context: test",
                ["[fd00:10:244:1::7]:9090", "[fd00:10:244:2::5]:9090"],
            ),
            (
                "service: yorkie, port: metrics, namespace: yorkies",
                ["10.244.1.7:8081", "10.244.2.5:8081"],
            ),
        ] {
            let control_plane = env.control_plane(settings(&kubeconfig, more)).await?;
            let [zero, one] = expected;
            let (zero, one) = (format!("yorkie-0={zero}"), format!("yorkie-1={one}"));
            control_plane
                .wait_for_members(&members(&[&zero, &one]))
                .await?;
        }
        for (more, why) in [
            ("service: yorkie, context: nowhere", "list: "),
            ("service: yorkie, context: nothing", "nothing"),
            ("service: yorkie, namespace: other", "list: 404"),
            ("selector: 'a=', port: rpc", "list: 400: unable to parse"),
            (
                "service: yorkie",
                "no members there: 0 endpoints are not ready, 0 are terminating, 1 are refused",
            ),
        ] {
            let control_plane = env.control_plane(settings(&kubeconfig, more)).await?;
            control_plane.refused(KUBERNETES, why).await?;
        }
        // No pod of a cluster, and nobody has said where there is one.
        let outside = yorkies_tests::Settings {
            registry: "{ kubernetes: { service: yorkie } }".to_owned(),
            ..yorkies_tests::Settings::default()
        };
        let control_plane = env.control_plane(outside).await?;
        control_plane
            .refused(KUBERNETES, "this is no pod of a cluster")
            .await
    });
}

#[test]
fn the_api_server_may_want_a_token_which_is_in_no_log_and_may_change() {
    const FIRST: &str = "first-token-8d1f0c2b";
    const SECOND: &str = "second-token-77ab3e9c";
    TestEnvironment::run(async |env| {
        let authority = Authority::new("authority of the cluster")?;
        let certify = |address: SocketAddr| Ok((tls(&authority, address)?, authority.pem()));
        let api = KubernetesApi::start_with_tls(env.folder(), FIRST, certify).await?;
        api.load(STATEFUL_SET)?;
        let token_file = env.folder().join("token");
        fs::write(&token_file, FIRST)?;
        let kubeconfig = api.kubeconfig(Some(&token_file))?;
        let mut settings = settings(&kubeconfig, "service: yorkie, port: rpc");
        settings
            .environment
            .push(("YORKIES_LOG", "trace".to_owned()));
        let mut control_plane = env.control_plane(settings).await?;
        let expected = members(&[
            "yorkie-0=10.244.1.7:8080",
            "yorkie-1=10.244.2.5:8080",
            "yorkie-2=10.244.3.9:8080",
        ]);
        control_plane.wait_for_members(&expected).await?;
        api.want_token(SECOND);
        control_plane.refused(KUBERNETES, "401").await?;
        fs::write(&token_file, SECOND)?;
        control_plane.fresh(KUBERNETES).await?;
        let no_token = |control_plane: &ControlPlane| {
            let log = control_plane.log()?;
            ensure!(
                log.iter().any(|line| line.level() == "TRACE"),
                "not all is logged"
            );
            for line in log {
                let text = line.text();
                ensure!(!text.contains(FIRST) && !text.contains(SECOND), "{text}");
            }
            anyhow::Ok(())
        };
        no_token(&control_plane)?;

        // Another authority: this is not the cluster that is meant.
        fs::write(
            env.folder().join("api-ca.pem"),
            Authority::new("another")?.pem(),
        )?;
        control_plane.restart().await?;
        control_plane.refused(KUBERNETES, "certificate").await?;
        no_token(&control_plane)?;
        control_plane.wait_for_members(&expected).await
    });
}

#[test]
fn commands_ask_once_and_a_check_never() {
    TestEnvironment::run(async |env| {
        let mut api = KubernetesApi::start(env.folder()).await?;
        let only = endpoint("only", "u", "10.0.0.1", Phase::Ready);
        api.put(&slice("only", 80, &[only]))?;
        let control_plane = start(env, &api).await?;
        let configuration = control_plane.configuration();
        let folder = env.folder();
        let run = async |arguments: &[&str]| {
            let configuration = configuration.to_string_lossy();
            let arguments = [arguments, &["--config", &configuration]].concat();
            let output = run_xds_server(folder, &arguments).await?;
            let out = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
            anyhow::Ok((output.status.success(), out))
        };
        let (ok, out) = run(&["owner", "project/document"]).await?;
        ensure!(ok && out.contains("\"owner\":\"only\""), "{out}");
        api.stop().await;
        let (ok, out) = run(&["owner", "project/document"]).await?;
        ensure!(!ok && out.contains("service yorkie: list: "), "{out}");
        let (ok, out) = run(&["validate"]).await?;
        ensure!(
            ok && out.contains("members of service yorkie (not asked)"),
            "{out}"
        );
        Ok(())
    });
}

/// Waits until the slices are watched once more than that.
async fn watched_again(api: &KubernetesApi, watches: usize) -> Result<()> {
    eventually("watched again", async || {
        ensure!(api.watches() > watches, "no new watch");
        Ok(())
    })
    .await
}

/// Which run of `yorkie-2` it is, and in which zone.
async fn expect_run(control_plane: &ControlPlane, expected: (&str, &str)) -> Result<()> {
    let status = control_plane.status().await?;
    let all = status["members"].as_array().context("no members")?;
    let member = all.iter().find(|member| member["id"] == "yorkie-2");
    let member = member.with_context(|| status.to_string())?;
    ensure!(member["incarnation"] == expected.0, "{member}");
    ensure!(member["zone"] == expected.1, "{member}");
    Ok(())
}

fn tls(authority: &Authority, address: SocketAddr) -> Result<ServerConfig> {
    let issued = authority.issue(&[&address.ip().to_string()])?;
    let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes())?;
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions()?;
    let config = config.with_no_client_auth();
    Ok(config.with_single_cert(vec![certificate], key)?)
}
