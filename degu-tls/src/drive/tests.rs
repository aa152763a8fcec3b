//! Notes of the verifier: a note about another connection does not change the peer's identity.

#[path = "../../tests/kit/mod.rs"]
mod kit;

use kit::pipe::{Pipe, pump};
use kit::{Cert, Clock, Site, Version};
use rustls::{Connection, HandshakeKind, ServerConnection};

use crate::error::{Blame, Kind};
use crate::note::{Note, noted};
use crate::{ClientTls, ServerTls};

/// Makes a handshake between a client of this crate and a bare server connection of rustls. Returns the note that the
/// verifier of the server left.
fn drive(tls: &ClientTls, connection: &mut Connection) -> Option<Note> {
    let (mut near, mut far) = Pipe::pair();
    let mut handshake = tls.connect(Some("host.example"), "x").unwrap().handshake().unwrap();
    let mut kept = None;
    for _ in 0..6 {
        handshake.advance(&mut near).unwrap();
        let (result, note) = noted(|| pump(connection, &mut far));
        result.unwrap();
        // Only one of several reads receives the certificate and has a note, so this note is kept.
        kept = note.or(kept);
    }
    assert!(!connection.is_handshaking());
    kept
}

#[test]
fn a_note_of_somebody_else_is_not_believed() {
    for version in Version::BOTH {
        let site = Site::new(version);
        let (alice, bob) = (site.root.leaf("alice", &|_| {}), site.root.leaf("bob", &|_| {}));
        let accept = site.server.accept();
        let connect = || Connection::from(ServerConnection::new(accept.config.clone()).unwrap());
        let (mut with_alice, mut with_bob) = (connect(), connect());
        let of_alice = drive(&site.client(version, &alice), &mut with_alice);
        let of_bob = drive(&site.client(version, &bob), &mut with_bob);
        // The wrong note or no note does not change the identity.
        for note in [of_bob, None, of_alice] {
            let peer = accept.judge.finish(&with_alice, note).unwrap().unwrap();
            assert_eq!(peer.dns_names().collect::<Vec<_>>(), ["alice.example"]);
            assert_eq!(peer.ca(), Some("root"));
        }
        // A note of another policy about the same chain is ignored.
        let others =
            ServerTls::builder(bob.identity()).require_clients(site.root.ca_set("strangers")).clock(Clock::now());
        let others = others.build_with(version.provider()).unwrap();
        let mut connection = Connection::from(ServerConnection::new(others.accept().config).unwrap());
        let note = drive(
            &ClientTls::private(site.root.ca_set("root"))
                .identity(alice.identity())
                .without_name_check()
                .clock(Clock::now())
                .build_with(version.provider())
                .unwrap(),
            &mut connection,
        );
        assert_eq!(accept.judge.finish(&with_alice, note).unwrap().unwrap().ca(), Some("root"));
        // Without a note, the certificate is verified again, at the current time.
        let clock = Clock::now();
        let builder = ServerTls::builder(bob.identity()).require_clients(site.root.ca_set("root")).clock(clock.clone());
        let later = builder.build_with(version.provider()).unwrap().accept();
        clock.set(kit::NOW + 31 * kit::DAY);
        assert_eq!(later.judge.finish(&with_alice, None).unwrap_err().kind(), Kind::Expired);
    }
}

#[test]
fn noted_verdict_is_reused_except_for_a_resumed_session() {
    let root = Cert::root("Root");
    let device = root.leaf("device", &|_| {});
    let clock = Clock::now();
    let builder = ServerTls::builder(root.leaf("host", &|_| {}).identity()).require_clients(root.ca_set("root"));
    let tls = builder.clock(clock.clone()).build_with(Version::Tls12.provider()).unwrap();
    let accept = tls.accept();
    let caller = || {
        let builder = ClientTls::private(root.ca_set("root")).identity(device.identity()).clock(Clock::now());
        builder.build_with(Version::Tls12.provider()).unwrap()
    };
    let meet = |tls: &ClientTls| {
        let mut connection = Connection::from(ServerConnection::new(accept.config.clone()).unwrap());
        let note = drive(tls, &mut connection);
        (connection, note)
    };
    let returning = caller();
    let (first, note) = meet(&returning);
    let (again, _) = meet(&returning);
    let (_, of_another) = meet(&caller());
    assert_eq!(first.handshake_kind(), Some(HandshakeKind::Full));
    assert_eq!(again.handshake_kind(), Some(HandshakeKind::Resumed));
    clock.set(kit::NOW + 31 * kit::DAY);
    // This note says that the chain was verified when the peer sent it.
    assert!(accept.judge.finish(&first, note).unwrap().is_some());
    // A resumed session is verified again in spite of a note about the same chain and the same policy.
    assert_eq!(accept.judge.finish(&again, of_another).unwrap_err().kind(), Kind::Expired);
}

#[test]
fn what_is_not_done_has_no_peer() {
    let site = Site::new(Version::Tls13);
    let handshake = site.server.accept().handshake().unwrap();
    let error = handshake.finish().unwrap_err();
    assert_eq!((error.kind(), error.blame()), (Kind::Protocol, Blame::Caller));
    // The connection has no certificate of the peer, but the judge requires one.
    let open = ServerTls::builder(site.root.leaf("host", &|_| {}).identity()).allow_unauthenticated_clients();
    let open = open.clock(Clock::now()).build().unwrap();
    let mut connection = Connection::from(ServerConnection::new(open.accept().config).unwrap());
    let tls = ClientTls::private(site.root.ca_set("root")).clock(Clock::now()).build().unwrap();
    let _ = drive(&tls, &mut connection);
    assert_eq!(open.accept().judge.finish(&connection, None).unwrap(), None);
    let error = site.server.accept().judge.finish(&connection, None).unwrap_err();
    assert_eq!(error.kind(), Kind::NoCertificate);
}
