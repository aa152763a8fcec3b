//! Every address is its own round trip through text and through the types of the standard library.

use core::net::{Ipv6Addr, SocketAddr, SocketAddrV4};

use degu_wire::{Address, AddressKind, Zone};
use proptest::{collection::vec, prelude::*};

fn ipv4() -> impl Strategy<Value = Address> {
    any::<(u32, u16)>().prop_map(|(ip, port)| SocketAddrV4::new(ip.into(), port).into())
}

fn ipv6() -> impl Strategy<Value = Address> {
    let zone = prop_oneof![
        Just(None),
        any::<u32>().prop_map(|index| Some((index, String::new()))),
        // Everything that an interface may be called, brackets and percent signs included.
        "[!-.0-9;-~\u{a1}-\u{ff}]{0,6}[!-.;-~]".prop_map(|name| Some((0, name))),
    ];
    (any::<u128>(), zone, any::<u16>()).prop_map(|(ip, zone, port)| {
        let zone = match &zone {
            None => Zone::None,
            Some((index, name)) if name.is_empty() => Zone::Index(*index),
            Some((_, name)) => Zone::Name(name),
        };
        Address::ipv6(Ipv6Addr::from(ip), zone, port).unwrap()
    })
}

fn path() -> impl Strategy<Value = Address> {
    vec(1..=u8::MAX, 1..=Address::MAX_PATH).prop_map(|path| Address::unix_bytes(path).unwrap())
}

fn abstract_name() -> impl Strategy<Value = Address> {
    vec(any::<u8>(), 1..=Address::MAX_ABSTRACT).prop_map(|name| Address::abstract_name(name).unwrap())
}

fn name() -> impl Strategy<Value = Address> {
    // The last label begins with a letter, as all in the public tree do, and never makes the name `unix` or `0x…`.
    ("([a-zA-Z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\\.){0,3}[a-wA-W][a-z0-9]{0,60}\\.?", any::<u16>())
        .prop_filter("the reserved name", |(host, _)| !host.eq_ignore_ascii_case("unix"))
        .prop_map(|(host, port)| Address::from_host(&host, port).unwrap())
}

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![ipv4(), ipv6(), path(), abstract_name(), name(), Just(Address::ABSTRACT)]
}

/// Texts that come close to addresses.
fn almost() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "unix:", "@", "%", "%00", "%2", "[", "]", ":", "::", "1", "0x", ".", "-", "fe80", "eth0", "80", "/", "é"
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn text_round_trips(address in address()) {
        let text = address.to_string();
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{}", text);
        prop_assert_eq!(text.parse(), Ok(address));
    }

    #[test]
    fn what_is_read_is_written_back_to_the_same(text in almost()) {
        if let Ok(address) = text.parse::<Address>() {
            prop_assert_eq!(address.check(), Ok(()));
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[test]
    fn host_and_port_make_the_address_again(address in prop_oneof![ipv4(), name()]) {
        let port = address.port().unwrap();
        // A default port that it is not, so that the port is always shown.
        let host = address.host_with_default(port.wrapping_add(1)).to_string();
        prop_assert_eq!(host.parse(), Ok(address));
    }

    #[test]
    fn socket_addresses_round_trip(address in prop_oneof![ipv4(), ipv6()]) {
        let unresolved = matches!(address.kind(), AddressKind::V6 { zone: Zone::Name(_), .. });
        match SocketAddr::try_from(&address) {
            Ok(socket) => {
                prop_assert!(!unresolved);
                prop_assert_eq!(Address::from(socket), address);
            }
            Err(_) => prop_assert!(unresolved),
        }
    }
}

#[cfg(all(feature = "std", unix))]
#[expect(clippy::disallowed_types, reason = "degu-wire opens no socket; its tests compare with one of std")]
mod unix {
    use std::os::unix::net::{SocketAddr, UnixStream};

    use degu_wire::AddressFault;

    use super::*;

    proptest! {
        #[test]
        fn unix_socket_addresses_round_trip(address in path()) {
            // 103 bytes fit on every system.
            if let AddressKind::Path(path) = address.kind() && path.len() <= 103 {
                let socket = SocketAddr::try_from(&address).unwrap();
                prop_assert_eq!(socket.as_pathname(), address.as_path());
                prop_assert_eq!(Address::try_from(&socket), Ok(address));
            }
        }
    }

    #[cfg(target_os = "linux")]
    proptest! {
        #[test]
        fn abstract_socket_addresses_round_trip(address in abstract_name()) {
            let socket = SocketAddr::try_from(&address).unwrap();
            prop_assert_eq!(Address::try_from(&socket), Ok(address));
        }
    }

    #[test]
    fn a_path_that_no_socket_can_have_is_found_when_it_is_used() {
        for (path, fault) in [
            ("".to_owned(), AddressFault::PathEmpty),
            ("/a\0b".to_owned(), AddressFault::PathNul),
            ("x".repeat(108), AddressFault::PathTooLong),
        ] {
            let address = Address::unix(&path);
            assert_eq!(address.check().unwrap_err().fault, fault);
            assert_eq!(SocketAddr::try_from(&address).unwrap_err().fault, fault);
            assert_eq!(address.to_string().parse::<Address>().unwrap_err().fault, fault);
        }
    }

    #[test]
    fn a_socket_without_a_name_has_no_address() {
        let (socket, _peer) = UnixStream::pair().unwrap();
        assert_eq!(Address::try_from(&socket.local_addr().unwrap()), Err(AddressFault::Unnamed.into()));
        assert_eq!(SocketAddr::try_from(&Address::ABSTRACT).unwrap_err().fault, AddressFault::NotBound);
        assert_eq!(SocketAddr::try_from(&Address::IPV4_ANY).unwrap_err().fault, AddressFault::NotUnix);
    }

    #[test]
    fn an_error_becomes_one_of_the_system() {
        let error = std::io::Error::from("unix:".parse::<Address>().unwrap_err());
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "the path of the Unix socket is empty (at byte 5)");
    }
}
