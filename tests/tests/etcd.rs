//! Members in etcd: what is registered is followed at once, and whatever
//! happens to etcd, the last good roster stays.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use sharding::Policy;
use yorkies_tests::{
    ControlPlane, Etcd, EtcdTls, Member, Mode, Protocol, Settings, TestEnvironment, Traffic,
    assignment, equal_weights, expect_owners, keys, run_xds_server, settled,
};

const ETCD: &str = "etcd";

/// Far longer than a server that is well needs for a sign of life.
const STALE: Duration = Duration::from_secs(4);

/// Room for a busy machine. A lease of a second has to be seen to expire in it,
/// too.
const SOON: Duration = Duration::from_secs(10);

const KEYS: usize = 1_000;
const TRAFFIC: usize = 100;

#[test]
fn requests_follow_what_is_registered_and_go_on_while_etcd_is_gone() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let mut etcd = Etcd::start(env.folder()).await?;
        register(&etcd, &members[..2]).await?;
        let mut control_plane = start(env, &etcd, "").await?;
        let envoy = env.envoy(&control_plane, Mode::Delta).await?;
        let (h2c, http1) = (
            envoy.client(Protocol::H2c).await?,
            envoy.client(Protocol::Http1).await?,
        );
        let expected = |members: &[Member]| assignment(Policy::default(), equal_weights(members));
        let mut epoch = settled(&[&h2c, &http1], 0).await?;
        expect_owners(&h2c, &expected(&members[..2])?, &keys(KEYS)).await?;

        let traffic = Traffic::start(h2c.clone(), keys(TRAFFIC));
        for what in ["registered", "deregistered"] {
            let change = Instant::now();
            let of = if what == "registered" {
                etcd.register(&members[2].entry(1), None).await?;
                &members[..]
            } else {
                etcd.remove("yorkie-2").await?;
                &members[..2]
            };
            epoch = settled(&[&h2c, &http1], epoch).await?;
            told_in_time(what, change)?;
            expect_owners(&h2c, &expected(of)?, &keys(KEYS)).await?;
        }
        // Nobody keeps this lease.
        let lease = etcd.lease(1).await?;
        etcd.register(&members[2].entry(1), Some(&lease)).await?;
        let granted = Instant::now();
        epoch = settled(&[&h2c, &http1], epoch).await?;
        epoch = settled(&[&h2c, &http1], epoch).await?;
        told_in_time("expired", granted)?;
        expect_owners(&h2c, &expected(&members[..2])?, &keys(KEYS)).await?;
        let report = traffic.stop().await?;
        ensure!(report.failures.is_empty(), "requests lost: {report:?}");

        let traffic = Traffic::start(http1.clone(), keys(TRAFFIC));
        etcd.kill(0)?;
        control_plane.refused(ETCD, "no connection").await?;
        control_plane.stale(ETCD, STALE).await?;
        control_plane.restart().await?;
        control_plane.refused(ETCD, "no connection").await?;
        expect_owners(&h2c, &expected(&members[..2])?, &keys(KEYS)).await?;
        ensure!(control_plane.epoch().await? == epoch, "another epoch");
        etcd.restart(0).await?;
        control_plane.logged(&["good again", ETCD]).await?;
        control_plane.fresh(ETCD).await?;
        ensure!(control_plane.epoch().await? == epoch, "another epoch");
        traffic.stop().await?.expect_flawless()?;
        etcd.register(&members[2].entry(1), None).await?;
        settled(&[&h2c, &http1], epoch).await?;
        expect_owners(&http1, &expected(&members)?, &keys(KEYS)).await
    });
}

#[test]
fn what_was_missed_is_made_up_for_though_etcd_has_forgotten_it() {
    TestEnvironment::run(async |env| {
        let mut etcd = Etcd::start(env.folder()).await?;
        for (key, address) in [("a", "10.0.0.1:1"), ("b", "10.0.0.2:1")] {
            put(&etcd, key, address).await?;
        }
        let control_plane = start(env, &etcd, "").await?;
        control_plane
            .wait_for_members(&members(&["a=10.0.0.1:1", "b=10.0.0.2:1"]))
            .await?;

        etcd.kill(0)?;
        control_plane.refused(ETCD, "no connection").await?;
        let address = etcd.move_away(0)?;
        etcd.restart(0).await?;
        etcd.remove("a").await?;
        put(&etcd, "c", "10.0.0.3:1").await?;
        etcd.compact().await?;
        etcd.kill(0)?;
        etcd.move_back(0, address);
        etcd.restart(0).await?;
        control_plane
            .wait_for_members(&members(&["b=10.0.0.2:1", "c=10.0.0.3:1"]))
            .await?;

        // An etcd without its data is no reason to believe that all have left.
        let epoch = control_plane.epoch().await?;
        etcd.kill(0)?;
        etcd.forget(0)?;
        etcd.restart(0).await?;
        control_plane.refused(ETCD, "no members there").await?;
        put(&etcd, "c", "10.0.0.3:1").await?;
        control_plane.refused(ETCD, "1 members have not").await?;
        ensure!(control_plane.epoch().await? == epoch, "another epoch");
        put(&etcd, "b", "10.0.0.2:1").await?;
        control_plane.fresh(ETCD).await?;
        ensure!(control_plane.epoch().await? == epoch, "another epoch");
        etcd.remove("b").await?;
        let last = members(&["c=10.0.0.3:1"]);
        control_plane.wait_for_members(&last).await
    });
}

#[test]
fn of_three_servers_one_may_be_lost_but_not_two() {
    TestEnvironment::run(async |env| {
        let mut etcd = Etcd::start_cluster(env.folder(), 3).await?;
        put(&etcd, "a", "10.0.0.1:1").await?;
        let control_plane = start(env, &etcd, "").await?;
        let (a, b) = ("a=10.0.0.1:1", "b=10.0.0.2:1");
        control_plane.wait_for_members(&members(&[a])).await?;
        // That it was asked.
        etcd.kill(0)?;
        put(&etcd, "b", "10.0.0.2:1").await?;
        control_plane.wait_for_members(&members(&[a, b])).await?;
        control_plane.fresh(ETCD).await?;

        // The last is there, and no majority: it says nothing new, so it is not believed.
        etcd.kill(1)?;
        control_plane.stale(ETCD, STALE).await?;
        control_plane.wait_for_members(&members(&[a, b])).await?;
        etcd.restart(0).await?;
        control_plane.fresh(ETCD).await?;
        etcd.remove("a").await?;
        control_plane.wait_for_members(&members(&[b])).await
    });
}

#[test]
fn whatever_is_written_wrongly_the_last_good_roster_stays() {
    TestEnvironment::run(async |env| {
        let etcd = Etcd::start(env.folder()).await?;
        put(&etcd, "a", "10.0.0.1:1").await?;
        put(&etcd, "b", "10.0.0.2:1").await?;
        let control_plane = start(env, &etcd, "").await?;
        let expected = members(&["a=10.0.0.1:1", "b=10.0.0.2:1"]);
        control_plane.wait_for_members(&expected).await?;
        let epoch = control_plane.epoch().await?;

        etcd.put("a", "garbage", None).await?;
        let refused = [
            "WARN",
            "Key in etcd refused",
            "/yorkies/members/a",
            "expected value",
        ];
        control_plane.logged(&refused).await?;
        put(&etcd, "c", "yorkie-2:8080").await?;
        let refused = ["/yorkies/members/c", "expected IP:PORT"];
        control_plane.logged(&refused).await?;
        etcd.remove("").await?;
        control_plane.refused(ETCD, "no members there").await?;
        control_plane.wait_for_members(&expected).await?;
        ensure!(control_plane.epoch().await? == epoch, "a new epoch");

        // The later of two under one id is the one that lives.
        let named = |address: &str| format!("{{\"id\":\"a\",\"address\":\"{address}\"}}");
        etcd.put("first", &named("10.0.0.8:1"), None).await?;
        etcd.put("again", &named("10.0.0.9:1"), None).await?;
        control_plane
            .wait_for_members(&members(&["a=10.0.0.9:1"]))
            .await?;
        let left_out = ["/yorkies/members/first", "/yorkies/members/again is newer"];
        control_plane.logged(&left_out).await.map(drop)
    });
}

#[test]
fn etcd_may_want_certificates_and_users() {
    TestEnvironment::run(async |env| {
        let folder = env.folder().to_owned();
        let mut etcd = Etcd::start_with_tls(&folder, |ip| certificates(&folder, ip)).await?;
        let tls = etcd.tls()?.clone();
        etcd.want_users("sesame").await?;
        put(&etcd, "a", "10.0.0.1:1").await?;
        let password = env.folder().join("password");
        fs::write(&password, "open\n")?;
        let more = format!(
            ", tls: {{ ca: '{}', certificate: '{}', key: '{}' }}, user: yorkies, password_file: '{}'",
            tls.ca.display(),
            tls.client[0].display(),
            tls.client[1].display(),
            password.display(),
        );
        let mut control_plane = start(env, &etcd, &more).await?;
        control_plane
            .refused(ETCD, "invalid user ID or password")
            .await?;
        fs::write(&password, "sesame\n")?;
        control_plane
            .wait_for_members(&members(&["a=10.0.0.1:1"]))
            .await?;
        put(&etcd, "b", "10.0.0.2:1").await?;
        let both = members(&["a=10.0.0.1:1", "b=10.0.0.2:1"]);
        control_plane.wait_for_members(&both).await?;

        // Another authority: this is not the etcd that is meant.
        let others = certificates(&folder.join("other"), [127, 0, 0, 1].into())?;
        fs::copy(others.ca, &tls.ca)?;
        control_plane.restart().await?;
        control_plane.refused(ETCD, "certificate").await?;
        control_plane.wait_for_members(&both).await
    });
}

#[test]
fn commands_ask_once_and_a_check_never() {
    TestEnvironment::run(async |env| {
        let mut etcd = Etcd::start_cluster(env.folder(), 1).await?;
        put(&etcd, "a", "10.0.0.1:1").await?;
        let control_plane = start(env, &etcd, "").await?;
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
        ensure!(ok && out.contains("\"owner\":\"a\""), "{out}");
        etcd.kill(0)?;
        let (ok, out) = run(&["owner", "project/document"]).await?;
        ensure!(!ok && out.contains("no connection"), "{out}");
        let (ok, out) = run(&["validate"]).await?;
        let told = "members in etcd under /yorkies/members/ (not asked)";
        ensure!(ok && out.contains(told), "{out}");
        Ok(())
    });
}

async fn start(env: &mut TestEnvironment, etcd: &Etcd, more: &str) -> Result<ControlPlane> {
    let settings = Settings {
        registry: format!("{{ etcd: {{ endpoints: {:?}{more} }} }}", etcd.endpoints()),
        ..Settings::default()
    };
    env.control_plane(settings).await
}

async fn register(etcd: &Etcd, members: &[Member]) -> Result<()> {
    for member in members {
        etcd.register(&member.entry(1), None).await?;
    }
    Ok(())
}

async fn put(etcd: &Etcd, key: &str, address: &str) -> Result<()> {
    let value = format!("{{\"address\":\"{address}\"}}");
    etcd.put(key, &value, None).await
}

/// All of weight 1.
fn members(all: &[&str]) -> Vec<String> {
    all.iter().map(|member| format!("{member}*1")).collect()
}

fn told_in_time(what: &str, since: Instant) -> Result<()> {
    let took = since.elapsed();
    println!("{what}: requests go by it after {took:?}");
    ensure!(took < SOON, "{what}: it took {took:?}");
    Ok(())
}

/// For a server at that address, and a client.
fn certificates(folder: &Path, ip: IpAddr) -> Result<EtcdTls> {
    fs::create_dir_all(folder)?;
    let write = |name: &str, pem: String| {
        let path = folder.join(name);
        fs::write(&path, pem).map(|()| path)
    };
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "authority of the test");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let issued = |name: &str| {
        let mut params = CertificateParams::new([ip.to_string()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?;
        let certificate = write(&format!("{name}.pem"), certificate.pem())?;
        anyhow::Ok([
            certificate,
            write(&format!("{name}.key"), key.serialize_pem())?,
        ])
    };
    Ok(EtcdTls {
        ca: write("ca.pem", authority.pem())?,
        server: issued("etcd")?,
        client: issued("control-plane")?,
    })
}
