//! Tunnels over TLS.

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use degu_client::{Method, Upgrade, blocking};
use degu_misc::TempPki;
use degu_server::{Address, Request, Session, Tunnel};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::kit::{Bare, PATIENCE, Version, client, one_thread, run, serve};

const ACCEPT: &str = "HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: tcp\r\n\r\n";

/// A server that accepts offers of `tcp`, one of each version, and goes on like this.
fn accept(pki: &TempPki, mut go_on: impl FnMut(Bare) + Send + 'static) -> (Address, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let address = listener.local_addr().unwrap().into();
    let tls = pki.server_tls();
    let serving = thread::spawn(move || {
        for _ in Version::BOTH {
            let mut bare = Bare::accept(&listener, &tls);
            bare.read_until("\r\n\r\n");
            bare.send(ACCEPT);
            go_on(bare);
        }
    });
    (address, serving)
}

#[test]
fn a_reader_does_not_take_the_waker_of_a_writer() {
    const ALL: usize = 4_000_000;
    let pki = TempPki::new();
    let go_on = Arc::new(Notify::new());
    let its_go_on = go_on.clone();
    let app = async move |_: &mut Session, request: Request<'_>| {
        let (go_on, offer) = (its_go_on.clone(), request.upgrade("tcp").unwrap());
        offer.accept((), async move |_: &mut Session, mut tunnel: Tunnel<'_>| {
            // Is read while there is no room for what is written.
            go_on.notified().await;
            tunnel.write_all(b"y").await?;
            go_on.notified().await;
            let mut all = Vec::new();
            tunnel.read_to_end(&mut all).await?;
            assert_eq!(all.len(), ALL);
            Ok(())
        })
    };
    // A Unix socket's room does not change by itself.
    let server = one_thread().tls(pki.server_tls()).bind(Address::ABSTRACT, app).unwrap().spawn().unwrap();
    for version in Version::BOTH {
        run(async {
            let mut connection = client(server.address(), &version.client_tls(&pki)).connect().await.unwrap();
            let upgrade = connection.upgrade(Method::Post, "/", "tcp", (), ()).await.unwrap();
            let Upgrade::Switched { tunnel, .. } = upgrade else { panic!("{upgrade:?}") };
            let (mut from, mut to) = tokio::io::split(tunnel);
            let writes = tokio::spawn(async move {
                to.write_all(&vec![b'x'; ALL]).await.unwrap();
                to.shutdown().await.unwrap();
            });
            // The writer finds no room, since nothing is read.
            tokio::task::yield_now().await;
            go_on.notify_one();
            assert_eq!(from.read_u8().await.unwrap(), b'y');
            go_on.notify_one();
            timeout(PATIENCE.unwrap(), writes).await.expect("the writer is woken").unwrap();
            assert_eq!(from.read(&mut [0]).await.unwrap(), 0);
        });
    }
}

#[test]
fn a_blocking_tunnel_waits_for_the_rest_of_a_record() {
    let pki = TempPki::new();
    let (address, serving) = accept(&pki, |mut bare| {
        bare.connection.writer().write_all(b"first").unwrap();
        let mut record = Vec::new();
        bare.connection.write_tls(&mut record).unwrap();
        // Each byte in a packet of its own.
        bare.read_until("go");
        record.iter().for_each(|byte| bare.socket.write_all(&[*byte]).unwrap());
        bare.rest();
    });
    for version in Version::BOTH {
        let mut connection = blocking::Client::from(client(&address, &version.client_tls(&pki))).connect().unwrap();
        let upgrade = connection.upgrade(Method::Post, "/", "tcp", (), ()).unwrap();
        let blocking::Upgrade::Switched { mut tunnel, .. } = upgrade else { panic!("{upgrade:?}") };
        tunnel.write_all(b"go").unwrap();
        let mut first = [0; 5];
        assert_eq!(tunnel.read(&mut first).map_err(|error| error.kind()), Ok(5), "{version:?}");
        assert_eq!(&first, b"first");
    }
    serving.join().unwrap();
}

#[test]
fn an_end_without_close_notify_is_none_to_a_tunnel() {
    let pki = TempPki::new();
    let (tell, told) = channel();
    let app = async move |_: &mut Session, request: Request<'_>| {
        let (tell, offer) = (tell.clone(), request.upgrade("tcp").unwrap());
        offer.accept((), async move |_: &mut Session, mut tunnel: Tunnel<'_>| {
            let mut all = Vec::new();
            let read = tunnel.read_to_end(&mut all).await;
            tell.send((all, read.map_err(|error| error.kind())))?;
            Ok(())
        })
    };
    let server = serve(one_thread(), &pki.server_tls(), app);
    let offer = "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: tcp\r\n\r\n";
    for (version, notify) in Version::BOTH.into_iter().flat_map(|version| [(version, true), (version, false)]) {
        let mut bare = Bare::connect(server.address(), &version.client_tls(&pki));
        bare.send(offer);
        bare.read_until("\r\n\r\n");
        bare.send("all of it?");
        if notify {
            bare.close();
        }
        bare.socket.shutdown(Shutdown::Write).unwrap();
        let end = if notify { Ok(10) } else { Err(ErrorKind::UnexpectedEof) };
        let (all, read) = told.recv_timeout(PATIENCE.unwrap()).unwrap();
        assert_eq!((all.as_slice(), read), (&b"all of it?"[..], end), "{version:?}");
    }
    for (version, resets) in Version::BOTH.into_iter().flat_map(|version| [(version, true), (version, false)]) {
        let client = client(server.address(), &version.client_tls(&pki));
        let mut connection = blocking::Client::from(client).connect().unwrap();
        let upgrade = connection.upgrade(Method::Post, "/", "tcp", (), ()).unwrap();
        let blocking::Upgrade::Switched { mut tunnel, .. } = upgrade else { panic!("{upgrade:?}") };
        tunnel.write_all(b"all of it?").unwrap();
        if resets {
            tunnel.reset()
        } else {
            drop(tunnel)
        }
        let (_, read) = told.recv_timeout(PATIENCE.unwrap()).unwrap();
        assert_eq!(read.is_err(), resets, "{version:?}: {read:?}");
    }
}

#[test]
fn what_was_written_goes_out_while_its_writer_reads() {
    let pki = TempPki::new();
    let (stuck, is_stuck) = channel();
    let app = async move |_: &mut Session, request: Request<'_>| {
        let (stuck, offer) = (stuck.clone(), request.upgrade("tcp").unwrap());
        offer.accept((), async move |_: &mut Session, mut tunnel: Tunnel<'_>| {
            let written = write_until_stuck(&mut tunnel).await;
            stuck.send(written)?;
            // Asks without a flush, and waits for the answer.
            assert_eq!(tunnel.read_u8().await?, b'y');
            Ok(())
        })
    };
    let server = one_thread().tls(pki.server_tls()).bind(Address::ABSTRACT, app).unwrap().spawn().unwrap();
    for version in Version::BOTH {
        run(async {
            let mut connection = client(server.address(), &version.client_tls(&pki)).connect().await.unwrap();
            let upgrade = connection.upgrade(Method::Post, "/", "tcp", (), ()).await.unwrap();
            let Upgrade::Switched { mut tunnel, .. } = upgrade else { panic!("{upgrade:?}") };
            let written = is_stuck.recv_timeout(PATIENCE.unwrap()).unwrap();
            let all = timeout(PATIENCE.unwrap(), tunnel.read_exact(&mut vec![0; written])).await;
            assert_eq!(all.expect("all of it comes").unwrap(), written);
            tunnel.write_all(b"y").await.unwrap();
            tunnel.flush().await.unwrap();
            assert_eq!(tunnel.read(&mut [0]).await.unwrap(), 0);
        });
    }
}

/// Writes until some of it has been accepted and not sent. Returns how much was written.
async fn write_until_stuck(tunnel: &mut (impl AsyncWrite + Unpin)) -> usize {
    let mut written = 0;
    loop {
        written += tunnel.write(&[b'x'; 16 * 1024]).await.unwrap();
        if poll_fn(|cx| Poll::Ready(Pin::new(&mut *tunnel).poll_flush(cx).is_pending())).await {
            return written;
        }
    }
}

#[test]
fn slow_reader_gets_all_of_a_tunnel_after_its_handler_returns() {
    let pki = TempPki::new();
    let (stuck, is_stuck) = channel();
    let app = async move |_: &mut Session, request: Request<'_>| {
        let (stuck, is_clock, offer) =
            (stuck.clone(), request.segments() == ["clock"], request.upgrade("tcp").unwrap());
        offer.accept((), async move |_: &mut Session, mut tunnel: Tunnel<'_>| {
            if is_clock {
                tunnel.read_u8().await?;
            }
            stuck.send(write_until_stuck(&mut tunnel).await)?;
            Ok(())
        })
    };
    // Longer than a connection lingers.
    let options = one_thread().tunnel_idle_timeout(Some(Duration::from_secs(8)));
    let server = options.tls(pki.server_tls()).bind(Address::ABSTRACT, app).unwrap().spawn().unwrap();
    let client = blocking::Client::from(client(server.address(), &pki.client_tls()));
    let [mut tunnel, mut clock] = ["/", "/clock"].map(|path| {
        match client.connect().unwrap().upgrade(Method::Post, path, "tcp", (), ()).unwrap() {
            blocking::Upgrade::Switched { tunnel, .. } => tunnel,
            declined => panic!("{declined:?}"),
        }
    });
    let written = is_stuck.recv_timeout(PATIENCE.unwrap()).unwrap();
    assert!(clock.read(&mut [0]).is_err());
    let mut all = Vec::new();
    let read = tunnel.read_to_end(&mut all);
    assert_eq!((all.len(), read.map_err(|error| error.kind())), (written, Ok(written)));
}
