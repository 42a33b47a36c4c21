//! Members behind a name in the DNS: what its records say is followed within a
//! second, and whatever the server does wrong, the last good roster stays.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sharding::Policy;
use yorkies_tests::{
    ControlPlane, DnsServer, Member, Mode, Protocol, Service, Settings, TestEnvironment, Traffic,
    assignment, equal_weights, eventually, expect_owners, filter_module, keys, run_xds_server,
    settled,
};

const NAME: &str = "yorkie.test.";
const SRV: &str = "_yorkie._tcp.yorkie.test.";

const DNS: &str = "dns";

/// As Docker's own server has it: nobody can wait that long.
const DOCKERS_TTL: u32 = 600;

/// Between two looks, unless configured otherwise.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// More than a look-up takes, with the longest pause.
const STALE: Duration = Duration::from_secs(3);

const KEYS: usize = 1_000;
const TRAFFIC: usize = 100;

#[test]
fn requests_go_to_the_members_of_a_name_and_go_on_when_its_server_is_gone() {
    TestEnvironment::run(async |env| {
        let members = env.members_at_one_port(3).await?;
        let mut server = DnsServer::start().await?;
        server.set_addresses(NAME, &ips(&members[..2]), DOCKERS_TTL)?;
        let port = members[0].entry(1).address.port();
        let mut control_plane = start(env, &server, &format!("name: {NAME}, port: {port}")).await?;
        let envoy = env.envoy(&control_plane, Mode::Delta).await?;
        let (h2c, http1) = (
            envoy.client(Protocol::H2c).await?,
            envoy.client(Protocol::Http1).await?,
        );
        let expected = |members: &[Member]| assignment(Policy::default(), equal_weights(members));
        let first = settled(&[&h2c, &http1], 0).await?;
        expect_owners(&h2c, &expected(&members[..2])?, &keys(KEYS)).await?;

        let traffic = Traffic::start(h2c.clone(), keys(TRAFFIC));
        server.set_addresses(NAME, &ips(&members), DOCKERS_TTL)?;
        let second = settled(&[&h2c, &http1], first).await?;
        expect_owners(&h2c, &expected(&members)?, &keys(KEYS)).await?;
        let report = traffic.stop().await?;
        ensure!(report.failures.is_empty(), "requests lost: {report:?}");

        let traffic = Traffic::start(http1.clone(), keys(TRAFFIC));
        server.stop().await;
        control_plane.refused(DNS, NAME).await?;
        control_plane.restart().await?;
        control_plane.refused(DNS, NAME).await?;
        expect_owners(&h2c, &expected(&members)?, &keys(KEYS)).await?;
        traffic.stop().await?.expect_flawless()?;
        ensure!(control_plane.epoch().await? == second, "another epoch");

        server.set_addresses(NAME, &ips(&members[1..]), DOCKERS_TTL)?;
        server.restart().await?;
        settled(&[&h2c, &http1], second).await?;
        expect_owners(&http1, &expected(&members[1..])?, &keys(KEYS)).await
    });
}

#[test]
fn whatever_the_server_says_wrongly_the_last_good_roster_stays() {
    TestEnvironment::run(async |env| {
        let mut server = DnsServer::start().await?;
        let good = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
        server.set_addresses(NAME, &parse(&good)?, 1)?;
        let control_plane = start(env, &server, &format!("name: {NAME}, port: 80")).await?;
        let expected = good.map(|ip| format!("{ip}:80={ip}:80*1"));
        control_plane.wait_for_members(&expected).await?;
        let epoch_before = control_plane.epoch().await?;

        server.fail(2);
        control_plane.refused(DNS, "Server Failure").await?;
        server.fail(5);
        control_plane.refused(DNS, "Query Refused").await?;
        server.behave();
        server.remove(NAME)?;
        control_plane
            .refused(DNS, "no such records (Non-Existent Domain)")
            .await?;
        server.set_addresses(NAME, &[], 1)?;
        control_plane
            .refused(DNS, "no such records (No Error)")
            .await?;
        server.set_addresses(NAME, &parse(&["10.0.0.1", "0.0.0.0"])?, 1)?;
        control_plane
            .refused(DNS, "address 0.0.0.0, where no member")
            .await?;
        // There are records, but of another kind.
        server.set_addresses(NAME, &parse(&["fd00::1"])?, 1)?;
        control_plane
            .refused(DNS, "no such records (No Error)")
            .await?;
        server.set_addresses(NAME, &parse(&["10.0.0.1", "224.0.0.1"])?, 1)?;
        control_plane
            .refused(DNS, "address 224.0.0.1, where no member")
            .await?;
        // Most of them at once: it has to last for ten seconds.
        server.set_addresses(NAME, &parse(&good[..1])?, 1)?;
        control_plane
            .refused(DNS, "2 of 3 members are gone at once")
            .await?;
        server.fall_silent();
        control_plane.refused(DNS, "timed out").await?;
        control_plane.stale(DNS, STALE).await?;
        server.garble().await?;
        control_plane.refused(DNS, "decoding error").await?;
        server.stop().await;
        control_plane.refused(DNS, "timed out").await?;
        control_plane.wait_for_members(&expected).await?;
        ensure!(control_plane.epoch().await? == epoch_before, "a new epoch");

        server.behave();
        server.set_addresses(NAME, &parse(&good[..2])?, 1)?;
        server.restart().await?;
        control_plane.logged(&["good again", "dns"]).await?;
        control_plane.wait_for_members(&expected[..2]).await?;
        control_plane.fresh(DNS).await
    });
}

#[test]
fn a_change_is_seen_within_a_second_however_long_the_ttl() {
    TestEnvironment::run(async |env| {
        let server = DnsServer::start().await?;
        let all = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"];
        server.set_addresses(NAME, &parse(&all[..1])?, DOCKERS_TTL)?;
        let control_plane = start(env, &server, &format!("name: {NAME}, port: 80")).await?;
        let expected = all.map(|ip| format!("{ip}:80={ip}:80*1"));
        control_plane.wait_for_members(&expected[..1]).await?;
        let change = Instant::now();
        server.set_addresses(NAME, &parse(&all)?, DOCKERS_TTL)?;
        control_plane.wait_for_members(&expected).await?;
        let took = change.elapsed();
        println!("five members instead of one after {took:?}");
        // Room for a busy machine; without its upper bound it would take 10 minutes.
        ensure!(took < Duration::from_secs(10), "it took {took:?}");
        Ok(())
    });
}

#[test]
fn name_servers_are_asked_in_their_order() {
    TestEnvironment::run(async |env| {
        let (mut first, second) = (DnsServer::start().await?, DnsServer::start().await?);
        first.set_addresses(NAME, &parse(&["10.0.0.1"])?, 1)?;
        second.set_addresses(NAME, &parse(&["10.0.0.2"])?, 1)?;
        let (one, other) = (first.address(), second.address());
        let settings = Settings {
            registry: format!(
                "{{ dns: {{ name: {NAME}, port: 80, max_interval: 250ms, resolvers: ['{one}', '{other}'] }} }}"
            ),
            ..Settings::default()
        };
        let control_plane = env.control_plane(settings).await?;
        control_plane
            .wait_for_members(&["10.0.0.1:80=10.0.0.1:80*1".to_owned()])
            .await?;
        eventually("looked up several times", async || {
            let questions = first.questions();
            ensure!(questions >= 5, "{questions} questions");
            Ok(())
        })
        .await?;
        // That there is nobody is an answer.
        first.set_addresses(NAME, &[], 1)?;
        control_plane.refused(DNS, "no such records").await?;
        ensure!(second.questions() == 0, "the second was asked too");
        first.stop().await;
        control_plane
            .wait_for_members(&["10.0.0.2:80=10.0.0.2:80*1".to_owned()])
            .await
    });
}

#[test]
fn a_name_is_looked_up_when_its_ttl_is_over() {
    TestEnvironment::run(async |env| {
        let server = DnsServer::start().await?;
        server.set_addresses(NAME, &parse(&["10.0.0.1"])?, 1)?;
        let settings = format!("name: {NAME}, port: 80, min_interval: 10ms, max_interval: 1h");
        let control_plane = start(env, &server, &settings).await?;
        let start = Instant::now();
        control_plane
            .wait_for_members(&["10.0.0.1:80=10.0.0.1:80*1".to_owned()])
            .await?;
        server.set_addresses(NAME, &parse(&["10.0.0.2"])?, 1)?;
        control_plane
            .wait_for_members(&["10.0.0.2:80=10.0.0.2:80*1".to_owned()])
            .await?;
        let most = start.elapsed().as_secs() + 3;
        let questions = server.questions();
        ensure!(questions <= most, "{questions} questions, not {most}");
        Ok(())
    });
}

#[test]
fn services_are_members_that_keep_their_names_wherever_they_go() {
    TestEnvironment::run(async |env| {
        let server = DnsServer::start().await?;
        let service = |target, port, weight, priority| Service {
            target,
            port,
            weight,
            priority,
        };
        let services = [
            service("yorkie-0.yorkie.test.", 8080, 0, 1),
            service("Yorkie-1.yorkie.test.", 8081, 3, 1),
            service("spare.yorkie.test.", 8080, 9, 2),
        ];
        server.set_services(SRV, &services, 1)?;
        server.set_addresses("yorkie-0.yorkie.test.", &parse(&["10.0.0.1"])?, 1)?;
        server.set_addresses("yorkie-1.yorkie.test.", &parse(&["fd00::2"])?, 1)?;
        let control_plane = start(env, &server, &format!("name: {SRV}, record: srv")).await?;
        let first = "yorkie-0.yorkie.test=10.0.0.1:8080*1".to_owned();
        let second = "yorkie-1.yorkie.test=[fd00::2]:8081*3".to_owned();
        control_plane
            .wait_for_members(&[first.clone(), second])
            .await?;

        // A pod was started again, and is not ready yet: this is not all.
        server.remove("yorkie-1.yorkie.test.")?;
        control_plane
            .refused(DNS, "yorkie-1.yorkie.test. AAAA")
            .await?;
        let both = parse(&["fd00::2", "fd00::3"])?;
        server.set_addresses("yorkie-1.yorkie.test.", &both, 1)?;
        control_plane
            .refused(DNS, "yorkie-1.yorkie.test has 2 addresses")
            .await?;
        server.set_addresses("yorkie-1.yorkie.test.", &parse(&["10.0.0.3"])?, 1)?;
        let moved = "yorkie-1.yorkie.test=10.0.0.3:8081*3".to_owned();
        control_plane
            .wait_for_members(&[first.clone(), moved])
            .await?;

        // What comes along is not asked for again.
        server.tell_more(true);
        server.set_addresses("yorkie-1.yorkie.test.", &parse(&["10.0.0.4"])?, 1)?;
        let moved = "yorkie-1.yorkie.test=10.0.0.4:8081*3".to_owned();
        control_plane.wait_for_members(&[first, moved]).await?;
        let (start, before) = (Instant::now(), server.questions());
        eventually("four questions", async || {
            let questions = server.questions() - before;
            ensure!(questions >= 4, "{questions} questions");
            Ok(())
        })
        .await?;
        let took = start.elapsed();
        let is_one_each = took >= 3 * LONGEST_PAUSE;
        ensure!(
            is_one_each,
            "four questions for less than four looks, in {took:?}"
        );
        Ok(())
    });
}

#[test]
fn members_may_have_version_6_and_be_more_than_a_packet_holds() {
    TestEnvironment::run(async |env| {
        let server = DnsServer::start().await?;
        let all: Vec<IpAddr> = (1..=300u128)
            .map(|number| IpAddr::from((0xfd00 << 112 | number).to_be_bytes()))
            .collect();
        server.set_addresses(NAME, &all, 1)?;
        let settings = format!("name: {NAME}, port: 80, record: aaaa");
        let control_plane = start(env, &server, &settings).await?;
        let mut expected: Vec<_> = all
            .iter()
            .map(|ip| SocketAddr::new(*ip, 80).to_string())
            .map(|address| format!("{address}={address}*1"))
            .collect();
        expected.sort();
        control_plane.wait_for_members(&expected).await
    });
}

#[test]
fn a_file_and_a_name_together_are_merged_and_neither_takes_the_other_out() {
    TestEnvironment::run(async |env| {
        let mut server = DnsServer::start().await?;
        server.set_addresses(NAME, &parse(&["10.0.0.1", "10.0.0.2"])?, 1)?;
        let settings = Settings {
            registry: format!(
                "{{ file: members.yaml, dns: {{ name: {NAME}, port: 80, resolvers: ['{}'] }} }}",
                server.address()
            ),
            ..Settings::default()
        };
        let mut control_plane = env.control_plane(settings).await?;
        let file = control_plane.members().clone();
        file.replace_text("members: [{id: a, address: '10.0.0.1:80'}]")?;
        let (of_file, of_name) = ("a=10.0.0.1:80*1", "10.0.0.2:80=10.0.0.2:80*1");
        let expected = [of_name.to_owned(), of_file.to_owned()];
        control_plane.wait_for_members(&expected).await?;
        control_plane
            .logged(&["WARN", "left out", "10.0.0.1:80", "file has \"a\""])
            .await?;

        // A restart without the one keeps its members, and what it missed is made up for.
        server.stop().await;
        control_plane.restart().await?;
        control_plane.refused(DNS, NAME).await?;
        file.replace_text(
            "members: [{id: a, address: '10.0.0.1:80'}, {id: b, address: '10.0.0.9:80'}]",
        )?;
        control_plane
            .logged(&["new roster", "file", "members=2"])
            .await?;
        control_plane.wait_for_members(&expected).await?;
        server.restart().await?;
        let more = [expected.to_vec(), vec!["b=10.0.0.9:80*1".to_owned()]].concat();
        control_plane.wait_for_members(&more).await?;

        // Once both have spoken, the one that is well is followed.
        server.stop().await;
        control_plane.stale(DNS, STALE).await?;
        file.replace_text("members: [{id: a, address: '10.0.0.1:80'}]")?;
        control_plane.wait_for_members(&expected).await
    });
}

#[test]
fn commands_look_up_once_and_a_check_never() {
    TestEnvironment::run(async |env| {
        let mut server = DnsServer::start().await?;
        server.set_addresses(NAME, &parse(&["10.0.0.1"])?, 1)?;
        let text = format!(
            "registry: {}\nfilter: {{ module: \"{}\" }}\n",
            registry(&server, &format!("name: {NAME}, port: 80")),
            filter_module()?.display()
        );
        fs::write(env.folder().join("yorkies.yaml"), text)?;
        let run = async |arguments: &[&str]| {
            let arguments = [arguments, &["--config", "yorkies.yaml"]].concat();
            let output = run_xds_server(env.folder(), &arguments).await?;
            let out = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
            anyhow::Ok((output.status.success(), out))
        };
        let (ok, out) = run(&["validate"]).await?;
        ensure!(
            ok && out.contains("members of yorkie.test. (not looked up)"),
            "{out}"
        );
        ensure!(server.questions() == 0, "a check has asked");
        let (ok, out) = run(&["owner", "project/document"]).await?;
        ensure!(ok && out.contains("\"owner\":\"10.0.0.1:80\""), "{out}");
        server.stop().await;
        let (ok, out) = run(&["owner", "project/document"]).await?;
        ensure!(!ok && out.contains("yorkie.test. A: "), "{out}");
        let (ok, out) = run(&["validate"]).await?;
        ensure!(ok, "{out}");
        Ok(())
    });
}

async fn start(
    env: &mut TestEnvironment,
    server: &DnsServer,
    settings: &str,
) -> Result<ControlPlane> {
    let settings = Settings {
        registry: registry(server, settings),
        ..Settings::default()
    };
    env.control_plane(settings).await
}

fn registry(server: &DnsServer, settings: &str) -> String {
    let address = server.address();
    format!("{{ dns: {{ {settings}, resolvers: ['{address}'] }} }}")
}

fn ips(members: &[Member]) -> Vec<IpAddr> {
    let ips = members.iter().map(|member| member.entry(1).address.ip());
    ips.collect()
}

fn parse(ips: &[&str]) -> Result<Vec<IpAddr>> {
    Ok(ips.iter().map(|ip| ip.parse()).collect::<Result<_, _>>()?)
}
