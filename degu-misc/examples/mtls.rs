//! Two devices that know only each other's CA, over the link between them.
//!
//! Each device runs the program in a folder with its certificate and key (`device.pem`, `device.key`), the CA of the
//! other device (`peers.pem`) and the revocation list of that CA (`peers.crl`). The script `mtls.sh` next to this file
//! makes such folders for two devices, with openssl:
//!
//! ```text
//! cargo build -p degu-misc --example mtls
//! sh degu-misc/examples/mtls.sh /tmp/devices        # makes /tmp/devices/a and /tmp/devices/b
//! mtls=$PWD/target/debug/examples/mtls
//! (cd /tmp/devices/a && $mtls serve '[fe80::1%eth0]:4433')      # prints: listening on [fe80::1%2]:4433
//! (cd /tmp/devices/b && $mtls call '[fe80::1%eth0]:4433')       # on the other device, or in another terminal
//! talking to device-a.example, certified by ca-a
//! hello, device-b.example, certified by ca-b
//! ```
//!
//! Replace `fe80::1%eth0` by an address of the serving device (`ip -6 addr show scope link`). After the `%` write the
//! interface of the device that uses the address. On one machine `[::1]:4433` works, too. No certificate contains such
//! an address, so the client checks no name. The CA alone decides who is accepted. A peer without a certificate of this
//! CA is refused, with a sentence that says why.
use degu_client::blocking::Client;
use degu_server::{Address, BoxError, Request, Server, Session};
use degu_tls::{CaSet, ClientTls, Identity, PeerIdentity, ServerTls};

fn name(peer: Option<&PeerIdentity>) -> String {
    let Some(peer) = peer else { return "a peer without a certificate".to_owned() };
    let device = peer.dns_names().next().unwrap_or("a device without a name");
    format!("{device}, certified by {}", peer.ca().unwrap_or("a CA without a name"))
}

async fn greet(session: &mut Session, _: Request<'_>) -> String {
    format!("hello, {}\n", name(session.identity()))
}

fn run() -> Result<(), BoxError> {
    let mut args = std::env::args().skip(1);
    let (Some(role), Some(address)) = (args.next(), args.next()) else {
        return Err("usage: mtls serve|call ADDRESS".into());
    };
    let address: Address = address.parse()?;
    let identity = Identity::from_pem_files("device.pem", "device.key")?;
    let peers = CaSet::from_pem_file("peers.pem")?.with_crl_file("peers.crl")?;
    if role == "serve" {
        let tls = ServerTls::builder(identity).require_clients(peers).build()?;
        let server = Server::options().tls(tls).bind(address, greet)?;
        println!("listening on {}", server.address());
        server.serve_until_signal()?;
    } else {
        let tls = ClientTls::private(peers).without_name_check().identity(identity).build()?;
        let mut connection = Client::options().tls(tls).client(address).connect()?;
        println!("talking to {}", name(connection.identity()));
        print!("{}", connection.get("/")?.body.text(1024)?);
    }
    Ok(())
}

fn main() {
    run().unwrap_or_else(|error| {
        eprintln!("mtls: {error}");
        std::process::exit(1)
    });
}
