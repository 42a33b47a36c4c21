use super::*;

fn addresses(ips: &[&str], ttl: u32) -> Addresses {
    Addresses {
        ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
        ttl,
    }
}

fn service(priority: u16, weight: u16, port: u16, target: &str) -> Service {
    Service {
        priority,
        weight,
        port,
        target: target.to_owned(),
        ttl: 30,
    }
}

/// Members as `id=address*weight`.
fn members(found: &Found) -> Vec<String> {
    let shown = |member: &Member| format!("{}={}*{}", member.id, member.address, member.weight);
    found.roster.members().iter().map(shown).collect()
}

fn found_services(services: Vec<Service>, of: &[(&str, Addresses)]) -> Result<Found, String> {
    let of = of
        .iter()
        .map(|(target, of)| ((*target).to_owned(), of.clone()));
    preferred("_y._tcp.test", services)
        .and_then(|services| of_services("_y._tcp.test", &services, &of.collect()))
        .map_err(|error| error.to_string())
}

#[test]
fn an_address_is_a_member_that_is_called_by_it() {
    let found = of_addresses("yorkie", &addresses(&["10.0.0.2", "10.0.0.1"], 600), 8080).unwrap();
    assert_eq!(
        members(&found),
        [
            "10.0.0.1:8080=10.0.0.1:8080*1",
            "10.0.0.2:8080=10.0.0.2:8080*1"
        ]
    );
    assert_eq!(found.ttl, Duration::from_mins(10));
    let found = of_addresses("yorkie", &addresses(&["fd00::1"], 0), 1).unwrap();
    assert_eq!(members(&found), ["[fd00::1]:1=[fd00::1]:1*1"]);
    assert!(found.roster.members()[0].incarnation.is_none());
}

#[test]
fn one_address_where_no_member_can_be_refuses_the_whole_answer() {
    for bad in [
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "ff02::1",
        "fe80::1",
        "::ffff:0.0.0.0",
        "::ffff:224.0.0.1",
    ] {
        let error = of_addresses("yorkie", &addresses(&["10.0.0.1", bad], 1), 1).unwrap_err();
        let ip: IpAddr = bad.parse().unwrap();
        let expected = format!("yorkie has address {ip}, where no member can be");
        assert_eq!(error.to_string(), expected);
        let of_target = [("a", addresses(&[bad], 1))];
        let error = found_services(vec![service(1, 1, 1, "a")], &of_target).unwrap_err();
        assert!(error.starts_with(&format!("a has address {ip}")), "{error}");
    }
    for good in [
        "127.0.0.1",
        "169.254.1.1",
        "192.168.0.1",
        "::1",
        "2001:db8::1",
    ] {
        of_addresses("yorkie", &addresses(&[good], 1), 1).unwrap();
    }
}

#[test]
fn a_service_is_a_member_that_is_called_by_its_target() {
    let services = vec![service(0, 5, 8081, "b.test"), service(0, 0, 8080, "a.test")];
    let of = [
        ("a.test", addresses(&["10.0.0.1"], 60)),
        ("b.test", addresses(&["10.0.0.2"], 7)),
    ];
    let found = found_services(services.clone(), &of).unwrap();
    assert_eq!(
        members(&found),
        ["a.test=10.0.0.1:8080*1", "b.test=10.0.0.2:8081*5"]
    );
    assert_eq!(found.ttl, Duration::from_secs(7));

    let moved = [of[0].clone(), ("b.test", addresses(&["10.0.0.3"], 60))];
    let found = found_services(services, &moved).unwrap();
    assert_eq!(members(&found)[1], "b.test=10.0.0.3:8081*5");
    assert_eq!(found.ttl, Duration::from_secs(30));
}

#[test]
fn only_services_of_the_lowest_priority_are_members() {
    let services = vec![
        service(10, 1, 1, "spare"),
        service(5, 1, 1, "a"),
        service(5, 1, 1, "a"),
        service(5, 1, 1, "b"),
    ];
    let of = [
        ("a", addresses(&["10.0.0.1"], 1)),
        ("b", addresses(&["10.0.0.2"], 1)),
    ];
    let found = found_services(services, &of).unwrap();
    assert_eq!(members(&found), ["a=10.0.0.1:1*1", "b=10.0.0.2:1*1"]);
}

#[test]
fn a_target_that_is_not_one_server_refuses_the_whole_answer() {
    let one = addresses(&["10.0.0.1"], 1);
    let two = addresses(&["10.0.0.2", "10.0.0.3"], 1);
    let both = vec![service(0, 1, 1, "a"), service(0, 1, 1, "b")];
    for (services, of, message) in [
        (
            both.clone(),
            vec![("a", one.clone())],
            "target b has 0 addresses",
        ),
        (
            both.clone(),
            vec![("a", one.clone()), ("b", two)],
            "target b has 2 addresses",
        ),
        (
            both,
            vec![("a", one.clone()), ("b", one.clone())],
            "_y._tcp.test: address 10.0.0.1:1 is given to both",
        ),
        (
            vec![service(0, 1, 1, "a"), service(0, 1, 2, "a")],
            vec![("a", one.clone())],
            "target a is given twice",
        ),
        (
            vec![service(0, 1, 0, "a")],
            vec![("a", one)],
            "_y._tcp.test: member \"a\" has address 10.0.0.1:0",
        ),
    ] {
        let error = found_services(services, &of).unwrap_err();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn more_records_than_there_can_be_members_are_refused() {
    let ip = |number: usize| IpAddr::from((0x0a00_0000 + number as u32).to_be_bytes());
    let of = |count| Addresses {
        ips: (0..count).map(ip).collect(),
        ttl: 1,
    };
    let most = of_addresses("yorkie", &of(MAX_RECORDS), 1).unwrap();
    assert_eq!(most.roster.members().len(), MAX_RECORDS);
    let error = of_addresses("yorkie", &of(MAX_RECORDS + 1), 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "yorkie: 1025 records, expected at most 1024"
    );
    let services = vec![service(0, 1, 1, "a"); MAX_RECORDS + 1];
    assert!(preferred("yorkie", services).is_err());
}
