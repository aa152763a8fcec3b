use alloc::string::{String, ToString};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::format;

use super::{Address, AddressError, AddressFault as Fault, AddressKind, Zone};

fn parse(text: &str) -> Address {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn fault(text: &str) -> (Fault, u32) {
    match text.parse::<Address>() {
        Ok(address) => panic!("{text} was read as {address}"),
        Err(AddressError { fault, offset }) => (fault, offset),
    }
}

#[test]
fn canonical_text_is_its_own_round_trip() {
    for text in [
        "127.0.0.1:80",
        "0.0.0.0:0",
        "[::1]:80",
        "[::]:65535",
        "[::ffff:1.2.3.4]:80",
        "[fe80::1%3]:80",
        "[fe80::1%4294967295]:80",
        "[fe80::1%eth0]:80",
        "[fe80::1%25eth0]:80",
        "[fe80::1%a%5Db%25]:80",
        "unix:/run/x.sock",
        "unix:/a%20b/%C3%BC/%FF/%25",
        "unix:x.sock",
        "unix:%40x",
        "unix:80",
        "unix:@name",
        "unix:@@name",
        "unix:@%00a%00",
        "unix:@",
        "host:80",
        "a-b.x_y.example:1",
        "example.org.:80",
        "unix.:80",
        "1a:80",
        "1.2.3.4.example:80",
        "xn--bcher-kva.example:80",
    ] {
        assert_eq!(parse(text).to_string(), text);
        assert_eq!(format!("{:?}", parse(text)), format!("Address({text})"));
    }
}

#[test]
fn other_spellings_become_canonical() {
    for (text, canonical) in [
        ("[0:0:0:0:0:0:0:1]:080", "[::1]:80"),
        ("[FE80::1%eth0]:80", "[fe80::1%eth0]:80"),
        ("[fe80::1%eth%30]:80", "[fe80::1%eth0]:80"),
        ("Example.ORG:80", "example.org:80"),
        ("unix:/a b/ü", "unix:/a%20b/%C3%BC"),
        ("unix:%2frun", "unix:/run"),
        ("unix:@%61", "unix:@a"),
    ] {
        assert_eq!(parse(text).to_string(), canonical);
    }
}

#[test]
fn each_kind_is_what_it_says() {
    assert_eq!(parse("1.2.3.4:80").kind(), AddressKind::V4("1.2.3.4:80".parse().unwrap()));
    let ip = "fe80::1".parse().unwrap();
    assert_eq!(parse("[fe80::1]:80").kind(), AddressKind::V6 { ip, zone: Zone::None, port: 80 });
    assert_eq!(parse("[fe80::1%3]:80").kind(), AddressKind::V6 { ip, zone: Zone::Index(3), port: 80 });
    assert_eq!(parse("[fe80::1%eth0]:80").kind(), AddressKind::V6 { ip, zone: Zone::Name("eth0"), port: 80 });
    assert_eq!(parse("unix:/run/x").kind(), AddressKind::Path(b"/run/x"));
    assert_eq!(parse("unix:%40x").kind(), AddressKind::Path(b"@x"));
    assert_eq!(parse("unix:@a%00").kind(), AddressKind::Abstract(b"a\0"));
    assert_eq!(parse("unix:@").kind(), AddressKind::KernelChosen);
    assert_eq!(parse("Host:80").kind(), AddressKind::Name { host: "host", port: 80 });
}

#[test]
fn faults_say_what_and_where() {
    for (text, expected) in [
        ("", (Fault::Empty, 0)),
        ("host", (Fault::PortMissing, 4)),
        ("127.0.0.1", (Fault::PortMissing, 9)),
        ("[::1]", (Fault::PortMissing, 5)),
        ("[::1]80", (Fault::PortMissing, 5)),
        ("host:", (Fault::Port, 5)),
        ("host:+80", (Fault::Port, 5)),
        ("host: 80", (Fault::Port, 5)),
        ("host:65536", (Fault::Port, 5)),
        ("[::1]:http", (Fault::Port, 6)),
        ("::1", (Fault::Brackets, 0)),
        ("::1:80", (Fault::Brackets, 0)),
        ("[::1:80", (Fault::Brackets, 7)),
        ("1.2.3:80", (Fault::Ipv4, 0)),
        ("1.2.3.4.:80", (Fault::Ipv4, 0)),
        ("1.2.3.256:80", (Fault::Ipv4, 0)),
        ("1.2.3.04:80", (Fault::Ipv4, 0)),
        ("1:80", (Fault::Ipv4, 0)),
        ("0x7f.0X1:80", (Fault::Ipv4, 0)),
        ("host.0x:80", (Fault::Ipv4, 0)),
        ("[1.2.3.4]:80", (Fault::Ipv6, 1)),
        ("[host]:80", (Fault::Ipv6, 1)),
        ("[]:80", (Fault::Ipv6, 1)),
        ("[fe80::1%]:80", (Fault::Zone, 9)),
        ("[fe80::1%0]:80", (Fault::Zone, 9)),
        ("[fe80::1%03]:80", (Fault::Zone, 9)),
        ("[fe80::1%4294967296]:80", (Fault::Zone, 9)),
        ("[fe80::1%%33]:80", (Fault::Zone, 9)),
        ("[fe80::1%a/b]:80", (Fault::Zone, 9)),
        ("[fe80::1%a%20b]:80", (Fault::Zone, 9)),
        ("[fe80::1%a%FF]:80", (Fault::Zone, 9)),
        ("[fe80::1%sixteen-bytes-xx]:80", (Fault::Zone, 9)),
        ("[fe80::1%a%5]:80", (Fault::Escape, 10)),
        ("a b:80", (Fault::HostCharacter, 1)),
        ("user@host:80", (Fault::HostCharacter, 4)),
        ("bücher:80", (Fault::HostCharacter, 1)),
        ("http://host:80", (Fault::Scheme, 4)),
        ("http://127.0.0.1:80", (Fault::Scheme, 4)),
        ("https://[::1]:80/", (Fault::Scheme, 5)),
        ("http+unix://%2Frun%2Fx.sock", (Fault::Scheme, 9)),
        ("://", (Fault::Scheme, 0)),
        ("host%20:80", (Fault::HostCharacter, 4)),
        (":80", (Fault::HostMissing, 0)),
        ("*:80", (Fault::HostMissing, 0)),
        ("8080", (Fault::HostMissing, 0)),
        (".:80", (Fault::HostLabel, 0)),
        ("a..b:80", (Fault::HostLabel, 2)),
        ("a.-b:80", (Fault::HostLabel, 2)),
        ("a.b-:80", (Fault::HostLabel, 2)),
        ("Unix:80", (Fault::HostReserved, 0)),
        ("unix:", (Fault::PathEmpty, 5)),
        ("unix:/a%00", (Fault::PathNul, 7)),
        ("unix:/a%2500%00", (Fault::PathNul, 12)),
        ("unix:/a%", (Fault::Escape, 7)),
        ("unix:/a%+1", (Fault::Escape, 7)),
        ("unix:/a\n", (Fault::Control, 7)),
        ("unix:@a\0", (Fault::Control, 7)),
        ("unix:@%4x", (Fault::Escape, 6)),
    ] {
        assert_eq!(fault(text), expected, "{text}");
    }
}

#[test]
fn lengths_are_bounded() {
    let long = |bytes: usize| "x".repeat(bytes);
    assert!(parse(&format!("unix:{}", long(107))).check().is_ok());
    assert_eq!(fault(&format!("unix:{}", long(108))), (Fault::PathTooLong, 5));
    assert!(Address::abstract_name(long(107)).is_ok());
    assert_eq!(fault(&format!("unix:@{}", long(108))), (Fault::AbstractTooLong, 5));
    assert_eq!(Address::abstract_name("").unwrap_err().fault, Fault::AbstractEmpty);
    assert_eq!(Address::unix_bytes(*b"/a\0b").unwrap_err(), AddressError::at(Fault::PathNul, 2));

    assert!(Address::from_host(&long(63), 80).is_ok());
    assert_eq!(fault(&format!("{}:80", long(64))), (Fault::HostLabel, 0));
    let name = |last: usize| format!("{0}.{0}.{0}.{1}", long(63), long(last));
    assert!(Address::from_host(&name(61), 80).is_ok());
    assert!(Address::from_host(&(name(61) + "."), 80).is_ok());
    assert_eq!(Address::from_host(&name(62), 80).unwrap_err(), AddressError::at(Fault::HostTooLong, 253));
}

#[test]
fn a_host_is_an_ip_address_or_a_name() {
    let text = |host: &str| Address::from_host(host, 80).unwrap().to_string();
    assert_eq!(text("127.0.0.1"), "127.0.0.1:80");
    assert_eq!(text("::1"), "[::1]:80");
    assert_eq!(text("[::1]"), "[::1]:80");
    assert_eq!(text("fe80::1%eth0"), "[fe80::1%eth0]:80");
    assert_eq!(text("localhost"), "localhost:80");
    assert_eq!(Address::from_host("unix", 80).unwrap_err().fault, Fault::HostReserved);
    assert_eq!(Address::from_host("host:80", 80).unwrap_err().fault, Fault::Ipv6);
    assert_eq!(Address::from_host("[::1", 80).unwrap_err().fault, Fault::Brackets);
    assert_eq!(Address::from_host("", 80).unwrap_err().fault, Fault::HostLabel);
}

#[test]
fn zones_are_checked_and_zero_is_none() {
    let ipv6 = |zone| Address::ipv6(Ipv6Addr::LOCALHOST, zone, 80);
    assert_eq!(ipv6(Zone::Index(0)), ipv6(Zone::None));
    assert_eq!(ipv6(Zone::Name("eth0.1")).unwrap().to_string(), "[::1%eth0.1]:80");
    for name in ["", "12", "a b", "a/b", "a:b", "a\u{7f}", "sixteen-bytes-xx"] {
        assert_eq!(ipv6(Zone::Name(name)).unwrap_err().fault, Fault::Zone, "{name:?}");
    }
}

#[test]
fn accessors_and_changes() {
    assert_eq!(parse("1.2.3.4:80").ip(), Some(IpAddr::V4(Ipv4Addr::new(1, 2, 3, 4))));
    assert_eq!(parse("[::1%3]:80").ip(), Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    assert_eq!(parse("host:80").ip(), None);
    assert_eq!((parse("host:80").port(), parse("[::1]:81").port()), (Some(80), Some(81)));
    assert_eq!((parse("unix:/x").port(), Address::ABSTRACT.port()), (None, None));
    assert_eq!(parse("host:80").with_port(1), parse("host:1"));
    assert_eq!(parse("1.2.3.4:80").with_port(1), parse("1.2.3.4:1"));
    assert_eq!(parse("unix:/x").with_port(1), parse("unix:/x"));
    assert!(parse("unix:/x").is_unix() && Address::ABSTRACT.is_unix() && !parse("unix.:80").is_unix());
}

#[test]
fn a_client_of_a_wildcard_address_goes_to_loopback() {
    for (bound, connect) in [
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("[::]:80", "[::1]:80"),
        ("[::%3]:80", "[::1]:80"),
        ("1.2.3.4:80", "1.2.3.4:80"),
        ("[fe80::1%eth0]:80", "[fe80::1%eth0]:80"),
        ("host:80", "host:80"),
        ("unix:/x", "unix:/x"),
        ("unix:@", "unix:@"),
    ] {
        assert_eq!(parse(bound).to_connect(), parse(connect));
    }
}

#[test]
fn host_is_what_the_host_field_says() {
    for (text, http, https) in [
        ("127.0.0.1:80", "127.0.0.1", "127.0.0.1:80"),
        ("127.0.0.1:443", "127.0.0.1:443", "127.0.0.1"),
        ("[::1]:8080", "[::1]:8080", "[::1]:8080"),
        ("[fe80::1%eth0]:80", "[fe80::1]", "[fe80::1]:80"),
        ("[fe80::1%3]:81", "[fe80::1]:81", "[fe80::1]:81"),
        ("Host:80", "host", "host:80"),
        ("unix:/run/x.sock", "localhost", "localhost"),
        ("unix:@x", "localhost", "localhost"),
    ] {
        let address = parse(text);
        let both: (String, String) = (address.host().to_string(), address.host_with_default(443).to_string());
        assert_eq!((both.0.as_str(), both.1.as_str()), (http, https));
    }
}

#[test]
fn socket_addresses_convert() {
    let scoped = SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 7, 3);
    assert_eq!(Address::from(scoped), parse("[fe80::1%3]:80"));
    assert_eq!(Address::from(SocketAddr::from(([1, 2, 3, 4], 80))), parse("1.2.3.4:80"));
    assert_eq!(Address::from((Ipv4Addr::LOCALHOST, 80)), parse("127.0.0.1:80"));
    assert_eq!(Address::from((Ipv6Addr::LOCALHOST, 80)), parse("[::1]:80"));
    assert_eq!(Address::from((IpAddr::from(Ipv6Addr::LOCALHOST), 80)), parse("[::1]:80"));

    let socket = |text: &str| SocketAddr::try_from(&parse(text));
    let expected = SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 3);
    assert_eq!(socket("[fe80::1%3]:80"), Ok(SocketAddr::V6(expected)));
    assert_eq!(socket("1.2.3.4:80"), Ok("1.2.3.4:80".parse().unwrap()));
    assert_eq!(socket("[fe80::1%eth0]:80"), Err(Fault::ZoneUnresolved.into()));
    for text in ["host:80", "unix:/x", "unix:@x", "unix:@"] {
        assert_eq!(socket(text), Err(Fault::NotIp.into()));
    }
}

#[test]
fn every_message_is_a_clause_and_shows_where() {
    let error = "a..b:80".parse::<Address>().unwrap_err();
    assert_eq!(error.to_string(), format!("{} (at byte 2)", Fault::HostLabel));
    assert_eq!(AddressError::from(Fault::Empty).to_string(), "the address is empty");
}
