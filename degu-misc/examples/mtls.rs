//! Two devices that know only each other's CA: `mtls serve '[fe80::1%eth0]:4433'`, `mtls call '[fe80::1%eth0]:4433'`.
use degu_client::blocking::Client;
use degu_server::{Address, BoxError, IntoResponse, Request, Server, Session};
use degu_tls::{Cas, ClientTls, Identity, PeerIdentity, ServerTls};

fn name(peer: Option<&PeerIdentity>) -> String {
    let Some(peer) = peer else { return "nobody".to_owned() };
    let device = peer.dns_names().next().unwrap_or("a device without a name");
    format!("{device}, vouched for by {}", peer.ca().unwrap_or("nobody"))
}

async fn greet(session: &mut Session, _: Request<'_>) -> impl IntoResponse + use<> {
    (200, "OK", format!("hello, {}\n", name(session.peer())))
}

fn main() -> Result<(), BoxError> {
    let mut args = std::env::args().skip(1);
    let (Some(role), Some(address)) = (args.next(), args.next()) else {
        return Err("usage: mtls serve|call ADDRESS".into());
    };
    let address: Address = address.parse()?;
    let identity = Identity::from_pem_files("device.pem", "device.key")?;
    let peers = Cas::from_pem_file("peers.pem")?.with_crl_file("peers.crl")?;
    if role == "serve" {
        let tls = ServerTls::builder(identity).require_clients(peers).build()?;
        let server = Server::options().tls(tls).bind(address, greet)?;
        println!("listening on {}", server.address());
        server.serve_forever()?;
    } else {
        let tls = ClientTls::private(peers).without_name_check().identity(identity).build()?;
        let mut connection = Client::options().tls(tls).client(address).connect()?;
        println!("talking to {}", name(connection.peer()));
        let text = connection.get("/")?.body.read_all(1024)?;
        print!("{}", String::from_utf8_lossy(&text));
    }
    Ok(())
}
