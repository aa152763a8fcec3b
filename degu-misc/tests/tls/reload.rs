//! New certificates under load: nobody is dropped, and who comes later sees the new one.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use degu_client::{Client, Error, blocking};
use degu_misc::{Leaf, TempPki, TempSSLServer};
use degu_server::{Address, BoxError, Request, Session};
use degu_tls::error::Kind;

use super::kit::{both, run, who};

/// Runs `change` while three threads keep connections and make new ones.
fn under_load(
    client: &Client,
    change: impl FnOnce() -> Result<(), BoxError>,
    seen: impl Fn(String) + Sync,
) -> Result<(), BoxError> {
    let (done, begun) = (AtomicBool::new(false), Barrier::new(4));
    std::thread::scope(|scope| -> Result<(), BoxError> {
        let load = |_| {
            scope.spawn(|| -> Result<(), Error> {
                let mut kept = blocking::Client::from(client.clone()).connect()?;
                let first = kept.get("/")?.body.read_all(100)?;
                begun.wait();
                // At least once: a slow machine may make the change before it runs this thread.
                loop {
                    assert_eq!(kept.get("/")?.body.read_all(100)?, first, "what is open stays as it is");
                    for answer in both(client) {
                        seen(answer?);
                    }
                    if done.load(Relaxed) {
                        return Ok(());
                    }
                }
            })
        };
        let threads: Vec<_> = (0..3).map(load).collect();
        begun.wait();
        let changed = change();
        done.store(true, Relaxed);
        for thread in threads {
            thread.join().expect("no thread panics")?;
        }
        changed
    })
}

/// Renews a certificate and its key, and then puts the old certificate back. Returns the file and the text of the new
/// certificate.
fn write_half(pki: &TempPki, leaf: Leaf) -> Result<(PathBuf, Vec<u8>), BoxError> {
    let file = pki.certificate(leaf);
    let old = std::fs::read(&file)?;
    pki.renew(leaf);
    let new = std::fs::read(&file)?;
    std::fs::write(&file, old)?;
    Ok((file, new))
}

#[test]
fn of_a_server() -> Result<(), BoxError> {
    let pki = TempPki::new();
    let server = TempSSLServer::new(&pki, Address::IPV6_LOOPBACK, who);
    let serial = || -> Result<Option<Vec<u8>>, Error> {
        let client = server.client();
        Ok(client.connect()?.identity().map(|peer| peer.serial().to_vec()))
    };
    let mut serials = vec![serial()?];
    let change = || -> Result<(), BoxError> {
        for _ in 0..10 {
            pki.renew(Leaf::Server);
            server.tls().reload()?;
            serials.push(serial()?);
        }
        // One of the two files is new.
        let (file, new) = write_half(&pki, Leaf::Server)?;
        let error = server.tls().reload().expect_err("a half-written pair");
        assert_eq!(error.kind(), Kind::KeyMismatch);
        assert!(error.explain().contains("server.pem"), "{}", error.explain());
        assert_eq!(Some(&serial()?), serials.last(), "nothing has changed");
        // And now both are.
        std::fs::write(file, new)?;
        server.tls().reload()?;
        serials.push(serial()?);
        Ok(())
    };
    under_load(&server.async_client(), change, |answer| assert_eq!(answer, super::kit::CLIENT))?;
    assert_eq!(serials.iter().collect::<HashSet<_>>().len(), 12, "each one was seen: {serials:?}");
    Ok(())
}

/// Says which certificate the client showed.
async fn serial(session: &mut Session, _: Request<'_>) -> String {
    format!("{:?}", session.identity().map(degu_tls::PeerIdentity::serial))
}

#[test]
fn of_a_client() -> Result<(), BoxError> {
    let pki = TempPki::new();
    let server = TempSSLServer::new(&pki, Address::IPV6_LOOPBACK, serial);
    let tls = pki.client_tls();
    let client = server.client_with(tls.clone());
    let ask = || run(super::kit::ask_async(&client));
    let mut serials = vec![ask()?];
    let change = || -> Result<(), BoxError> {
        for _ in 0..10 {
            pki.renew(Leaf::Client);
            tls.reload()?;
            serials.push(ask()?);
        }
        let (file, new) = write_half(&pki, Leaf::Client)?;
        let error = tls.reload().expect_err("a half-written pair");
        assert_eq!(error.kind(), Kind::KeyMismatch);
        assert!(error.explain().contains("client.pem"), "{}", error.explain());
        assert_eq!(Some(&ask()?), serials.last(), "nothing has changed");
        std::fs::write(file, new)?;
        tls.reload()?;
        serials.push(ask()?);
        Ok(())
    };
    under_load(&client, change, drop)?;
    assert_eq!(serials.iter().collect::<HashSet<_>>().len(), 12, "each one was seen: {serials:?}");
    Ok(())
}
