//! Renegotiation: a second handshake inside a connection of TLS 1.2, which every policy refuses.

use std::sync::Arc;

use degu_tls::ClientTls;
use degu_tls::drive::{Handshake, Progress, Secured};
use degu_tls::error::Kind;
use degu_tls::rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use degu_tls::rustls::{
    CipherSuite, ClientConnection, Connection, ConnectionTrafficSecrets, ContentType, ProtocolVersion,
    ServerConnection, SupportedCipherSuite,
};

use super::protocol::{EMS, hello};
use super::raw::{client_config, server_config};
use super::{Table, Verdict};
use crate::kit::pipe::{Pipe, drain, pump};
use crate::kit::{Cert, Clock, Version, cryptography};

/// A connection after a handshake with a bare connection of rustls. The test has taken the keys of the bare connection, and can
/// therefore send messages that rustls would not send.
struct Taken {
    ours: Secured,
    pipe: Pipe,
    far: Pipe,
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
}

impl Taken {
    fn new(mut handshake: Handshake, mut bare: Connection) -> Self {
        let (mut pipe, mut far) = Pipe::pair();
        loop {
            let progress = handshake.advance(&mut pipe).unwrap();
            pump(&mut bare, &mut far).unwrap();
            if progress == Progress::Done && !bare.is_handshaking() {
                break;
            }
        }
        let (sequence, secrets) = bare.dangerous_extract_secrets().unwrap().tx;
        let ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } = secrets else { panic!("another suite") };
        let suite = cryptography::cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
        let SupportedCipherSuite::Tls12(suite) = suite else { panic!("another version") };
        let encrypter = suite.aead_alg.encrypter(key, iv.as_ref(), &[]);
        Self { ours: handshake.secure().unwrap(), pipe, far, encrypter, sequence }
    }

    /// Sends a handshake message, and returns the verdict.
    fn send(&mut self, message: &[u8]) -> Verdict {
        let message = OutboundPlainMessage {
            typ: ContentType::Handshake,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(message),
        };
        let record = self.encrypter.encrypt(message, self.sequence).unwrap().encode();
        self.sequence += 1;
        std::io::Write::write_all(&mut self.far, &record).unwrap();
        let result = drain(&mut self.ours, &mut self.pipe);
        let mut answer = Vec::new();
        // The read ends with `WouldBlock` after the bytes that have arrived, so its error is ignored.
        let _ = std::io::Read::read_to_end(&mut self.far, &mut answer);
        // 21 is an alert. The content is encrypted, but not the type of the record.
        let told = if answer.first() == Some(&21) { "no_renegotiation" } else { "" };
        match result {
            Ok(()) => Verdict { kind: None, we_say: String::new(), peer_is_told: told.into() },
            Err(error) => Verdict { kind: Some(error.kind()), we_say: error.to_string(), peer_is_told: String::new() },
        }
    }
}

pub(crate) fn rows(table: &mut Table) {
    const SECTION: &str = "Renegotiation: a second handshake inside a connection (TLS 1.2)";
    let root = Cert::root("Root");
    let host = root.leaf("host", &|_| {});
    let mut provider = cryptography::default_provider();
    // The keys of this suite can be used as rustls returns them.
    provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);

    let mut config = client_config(Version::Tls12, None);
    config.enable_secret_extraction = true;
    let accept = {
        let tls = degu_tls::ServerTls::builder(host.identity()).allow_unauthenticated_clients().clock(Clock::now());
        tls.build_with(Arc::new(provider.clone())).unwrap().accept()
    };
    let bare = ClientConnection::new(Arc::new(config), "host.example".try_into().unwrap()).unwrap();
    let mut taken = Taken::new(accept.handshake().unwrap(), bare.into());
    // The first 5 bytes are the header of the record.
    let hello = &hello(0x0303, &[0xcc, 0xa9], EMS)[5..];
    table.add_one(SECTION, "a client begins one", None, taken.send(hello));
    table.add_one(SECTION, "a client begins another one", Some(Kind::Protocol), taken.send(hello));

    let tls = ClientTls::private(root.ca_set("root")).clock(Clock::now()).build_with(Arc::new(provider)).unwrap();
    let connect = tls.connect(Some("host.example"), "x").unwrap();
    let mut config = server_config(Version::Tls12, host.chain(), &host.key);
    config.enable_secret_extraction = true;
    let bare = ServerConnection::new(Arc::new(config)).unwrap();
    let mut taken = Taken::new(connect.handshake().unwrap(), bare.into());
    // A HelloRequest.
    table.add_one(SECTION, "a server requests one", None, taken.send(&[0, 0, 0, 0]));
    table.add_one(SECTION, "a server requests another one", Some(Kind::Protocol), taken.send(&[0, 0, 0, 0]));
}
