//! Binding, the end of a server, and what it counts.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::{Raw, Running, refusal};
use degu_server::{Address, App, Body, Chunk, Fault, Listener, Request, Response, Server, Session};
use tokio::sync::{Notify, Semaphore, oneshot};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";
const LAST: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine";

async fn fine(_: &mut Session, _: Request<'_>) -> &'static str {
    "fine"
}

#[test]
fn a_stale_file_is_replaced_and_a_live_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "what a server that was killed leaves behind");
    let server = Running::new(Address::unix(&path), fine);
    let error = Server::bind(Address::unix(&path), fine).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{error}");
    assert!(error.to_string().contains("unix:/"), "{error}");
    assert_eq!(server.ask(GET), FINE);

    // Somebody else's file is left alone at the end.
    std::fs::remove_file(&path).unwrap();
    let successor = UnixListener::bind(&path).unwrap();
    drop(server);
    assert!(path.exists());
    drop(successor);

    let file = folder.path().join("file");
    std::fs::write(&file, "text").unwrap();
    assert!(Server::bind(Address::unix(&file), fine).is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "text");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no lock is left");
}

#[test]
fn many_that_bind_one_path_at_once_leave_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    for _ in 0..10 {
        drop(UnixListener::bind(&path).unwrap());
        let bound: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| Server::options().listener(Address::unix(&path)))).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap().ok()).collect()
        });
        assert_eq!(bound.len(), 1);
        drop(bound);
        assert!(!path.exists());
    }
}

#[test]
fn what_can_not_be_bound_is_said() {
    for (address, text) in [
        (Address::from_host("example.org", 80).unwrap(), "example.org:80"),
        ("[fe80::1%nosuch]:80".parse().unwrap(), "nosuch"),
        ("[fe80::1]:80".parse().unwrap(), "needs its zone"),
        (Address::unix("/no/such/folder/socket"), ": the folder /no/such/folder does not exist"),
        (Address::unix("x".repeat(200)), "xxx"),
    ] {
        let error = Server::bind(address, fine).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn a_lock_that_somebody_else_holds_delays_neither_start_nor_end() {
    let folder = tempfile::tempdir().unwrap();
    let (path, lock) = (folder.path().join("socket"), folder.path().join("socket.lock"));
    let server = Running::new(Address::unix(&path), fine);
    let held = std::fs::File::create(&lock).unwrap();
    held.lock().unwrap();
    let error = Server::bind(Address::unix(&path), fine).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    let text = error.to_string();
    assert!(text.contains("cannot lock the lock file /") && text.contains("socket.lock of user "), "{text}");
    server.shut_down();
    assert!(path.exists(), "without the lock the file may be that of a successor");
    drop(held);
    drop(Running::new(Address::unix(&path), fine));
    assert!(!path.exists() && !lock.exists());
}

#[test]
fn a_pipe_in_place_of_the_lock_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("socket.lock");
    assert!(std::process::Command::new("mkfifo").arg(&lock).status().unwrap().success());
    let error = Server::bind(Address::unix(folder.path().join("socket")), fine).unwrap_err();
    assert!(error.to_string().contains("cannot open the lock file /"), "{error}");
}

/// Binds a path as another user: of this thread alone.
#[cfg(target_os = "linux")]
fn bind_as_nobody(path: &std::path::Path) -> String {
    let bind = || {
        nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65_534));
        Server::bind(Address::unix(path), fine).unwrap_err().to_string()
    };
    std::thread::scope(|scope| scope.spawn(bind).join().unwrap())
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs root, because only root can act as another user; .ci/run runs it"]
fn a_lock_file_that_cannot_be_opened_is_named_with_what_to_do() {
    use std::fs::{File, Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let (path, lock) = (folder.path().join("socket"), folder.path().join("socket.lock"));
    let denied = "Permission denied (os error 13)";
    let text = bind_as_nobody(&path);
    let wanted = format!(
        "cannot create the lock file {}: {denied}; the server must be able to write to that folder",
        lock.display()
    );
    assert!(text.ends_with(&wanted), "{text}");
    // What a server of root leaves that is killed while it starts.
    File::create(&lock).unwrap().set_permissions(Permissions::from_mode(0o600)).unwrap();
    let text = bind_as_nobody(&path);
    let of_root = format!("{} of user root (0)", lock.display());
    let wanted = format!("cannot open the lock file {of_root}: {denied}; remove the file if no server is starting");
    assert!(text.ends_with(&wanted), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs root, because only root can act as another user; .ci/run runs it"]
fn a_stale_socket_of_another_user_is_named_with_its_owner() {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    set_permissions(folder.path(), Permissions::from_mode(0o1777)).unwrap();
    let path = folder.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    for (mode, wanted) in
        [(0o777, "cannot remove the stale socket "), (0o755, "cannot find out whether a server listens on ")]
    {
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let text = bind_as_nobody(&path);
        let wanted = format!("{wanted}{}, which belongs to user root (0): ", path.display());
        assert!(text.contains(&wanted) && text.ends_with("; remove it as that user if no server uses it"), "{text}");
    }
}

#[test]
fn a_socket_has_its_owner_and_mode_when_it_listens() {
    use std::os::unix::fs::MetadataExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let (user, group) = match nix::unistd::geteuid().is_root() {
        true => (65_534, 65_533),
        false => (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()),
    };
    let options = || Server::options().socket_mode(0o660);
    let listener = options().socket_owner(format!("{user}:{group}")).listener(Address::unix(&path)).unwrap();
    let found = std::fs::metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (user, group, 0o660));
    drop(listener);
    assert!(!path.exists());

    let error = options().socket_owner(":no-such-group").bind(Address::unix(&path), fine).unwrap_err();
    assert!(error.to_string().contains("socket: there is no group no-such-group"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn localhost_is_both_loopback_addresses() {
    let server = Running::new("localhost:0".parse().unwrap(), fine);
    let addresses: Vec<_> = server.handle().addresses().iter().collect();
    let port = addresses[0].port().unwrap();
    assert_eq!(addresses, [&Address::IPV4_LOOPBACK.with_port(port), &Address::IPV6_LOOPBACK.with_port(port)]);
    for address in addresses {
        let mut raw = Raw::connect(address);
        raw.send(GET);
        raw.expect(FINE);
    }
}

#[test]
fn localhost_is_not_bound_in_one_family_only() {
    // Another test may take the port in the other family at any time, so one of several attempts is enough.
    let is_free_after_failure = || {
        let taken = std::net::TcpListener::bind(("::1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let localhost = Address::from_host("localhost", port).unwrap();
        let error = Server::bind(localhost.clone(), fine).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
        drop(taken);
        error.to_string().starts_with(&format!("cannot listen on localhost:{port}: ::1: "))
            && Server::bind(localhost, fine).is_ok()
    };
    assert!((0..20).any(|_| is_free_after_failure()));
}

#[test]
fn the_ipv6_wildcard_takes_ipv4_clients_unless_told_otherwise() {
    for only in [false, true] {
        let server = Running::with(Server::options().ipv6_only(only), Address::IPV6_ANY, fine);
        let port = server.address.port().unwrap();
        // Another process may listen on the same port over IPv4, so the test counts the connections that this server accepted.
        let _ = std::net::TcpStream::connect(("127.0.0.1", port));
        let mut raw = Raw::connect(&Address::IPV6_LOOPBACK.with_port(port));
        raw.send(GET);
        raw.expect(FINE);
        assert_eq!(server.handle().stats().accepted, if only { 1 } else { 2 });
    }
}

#[test]
fn one_server_on_several_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let addresses = [Address::IPV4_LOOPBACK, Address::unix(folder.path().join("socket")), Address::ABSTRACT];
    let options = Server::options();
    let listeners = addresses.map(|address| options.listener(address).unwrap());
    let handle = options.listen(listeners, fine).unwrap().spawn().unwrap();
    assert_eq!(handle.addresses().len(), 3);
    for address in handle.addresses() {
        let mut raw = Raw::connect(address);
        raw.send(GET);
        raw.expect(FINE);
    }
    assert_eq!((handle.stats().accepted, handle.stats().requests), (3, 3));
    handle.shutdown_blocking();
    assert!(Server::options().listen([], fine).is_err());
}

#[test]
fn sockets_that_are_handed_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let unix = UnixListener::bind(&path).unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = std::net::TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    assert!(Listener::try_from(OwnedFd::from(connected)).is_err());
    let error = Listener::try_from(OwnedFd::from(std::fs::File::open("/dev/null").unwrap())).unwrap_err();
    assert_eq!(error.to_string(), "the descriptor is not a listening stream socket");

    let listeners = [OwnedFd::from(unix), OwnedFd::from(tcp)].map(|fd| Listener::try_from(fd).unwrap());
    let handle = Server::options().listen(listeners, fine).unwrap().spawn().unwrap();
    for address in handle.addresses() {
        let mut raw = Raw::connect(address);
        raw.send(GET);
        raw.expect(FINE);
    }
    handle.shutdown_blocking();
    assert!(path.exists(), "the file is of whoever made it");
}

#[test]
fn a_shutdown_answers_what_was_read_and_frees_the_address() {
    let folder = tempfile::tempdir().unwrap();
    for address in ["127.0.0.1:0".parse().unwrap(), Address::unix(folder.path().join("socket"))] {
        let begun = Arc::new(AtomicU64::new(0));
        let counter = begun.clone();
        let app = async move |_: &mut Session, _: Request<'_>| {
            counter.fetch_add(1, Ordering::SeqCst);
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            "fine"
        };
        let handle = Server::options().bind(address, app).unwrap().spawn().unwrap();
        let address = handle.address().clone();
        let answered = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let connections: Vec<_> = (0..64).map(|_| Raw::connect(&address)).collect();
            for raw in connections {
                let answered = &answered;
                scope.spawn(move || {
                    let mut raw = raw;
                    loop {
                        // Once the server is done with this connection it may not even take the request.
                        if !raw.try_send(GET) {
                            break;
                        }
                        match raw.response_head() {
                            Some(head) => {
                                answered.fetch_add(1, Ordering::SeqCst);
                                raw.expect("fine");
                                if head.contains("connection: close") {
                                    assert_eq!(raw.rest(), "");
                                    break;
                                }
                            }
                            None => break,
                        }
                    }
                });
            }
            while answered.load(Ordering::SeqCst) < 2000 {
                std::thread::yield_now();
            }
            handle.shutdown_blocking();
            // The address is free at once.
            drop(Server::bind(&address, fine).unwrap());
        });
        assert_eq!(answered.load(Ordering::SeqCst), begun.load(Ordering::SeqCst), "each request, and none by half");
    }
}

/// An app whose drop takes a while.
struct Slow(Arc<AtomicBool>);

impl App for Slow {
    async fn handle(&self, _: &mut Session, _: Request<'_>) -> Response {
        "fine".into()
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        std::thread::sleep(std::time::Duration::from_millis(50));
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_shutdown_is_over_after_the_app_was_dropped() {
    let is_dropped = Arc::new(AtomicBool::new(false));
    let handle = Server::bind(Address::ABSTRACT, Slow(is_dropped.clone())).unwrap().spawn().unwrap();
    let mut client = Raw::connect(handle.address());
    client.send(GET);
    client.expect(FINE);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(handle.shutdown());
    assert!(is_dropped.load(Ordering::SeqCst));
}

/// The first request starts a task on its worker. The second one waits for the result of that task.
struct Shared {
    gate: Arc<Notify>,
    waits: std::sync::mpsc::Sender<()>,
    /// The task drops it.
    is_alive: Mutex<Option<std::sync::mpsc::Sender<()>>>,
    result: Mutex<Option<oneshot::Receiver<()>>>,
}

impl App for Shared {
    async fn handle(&self, _: &mut Session, request: Request<'_>) -> Response {
        if request.path() == "/start" {
            let (send, result) = oneshot::channel();
            *self.result.lock().unwrap() = Some(result);
            let (gate, is_alive) = (self.gate.clone(), self.is_alive.lock().unwrap().take());
            tokio::spawn(async move {
                gate.notified().await;
                drop(is_alive);
                send.send(())
            });
            return "fine".into();
        }
        let result = self.result.lock().unwrap().take().unwrap();
        self.waits.send(()).unwrap();
        match result.await {
            Ok(()) => "fine".into(),
            Err(error) => Response::from_error(error),
        }
    }
}

#[test]
fn tasks_of_the_first_worker_outlast_the_other_workers() {
    let (waits, waiting) = std::sync::mpsc::channel();
    let gate = Arc::new(Notify::new());
    let (is_alive, alive) = std::sync::mpsc::channel();
    let is_alive = Mutex::new(Some(is_alive));
    let app = Shared { gate: gate.clone(), waits, is_alive, result: Mutex::default() };
    let handle = Server::options().workers(2).bind(Address::ABSTRACT, app).unwrap().spawn().unwrap();
    let mut first = Raw::connect(handle.address());
    first.send("GET /start HTTP/1.1\r\nHost: a\r\n\r\n");
    first.expect(FINE);
    let mut second = Raw::connect(handle.address());
    second.send(GET);
    waiting.recv().unwrap();
    let shutdown = std::thread::spawn(|| handle.shutdown_blocking());
    assert_eq!(first.rest(), "");
    drop(first);
    // The first worker has no connection any more.
    let ended = alive.recv_timeout(std::time::Duration::from_millis(100));
    assert_eq!(ended, Err(std::sync::mpsc::RecvTimeoutError::Timeout), "the task was dropped");
    gate.notify_one();
    assert_eq!(second.rest(), LAST);
    shutdown.join().unwrap();
}

#[test]
fn a_shutdown_admits_no_more_connections_than_allowed() {
    let (begun, begins) = std::sync::mpsc::channel();
    let gate = Arc::new(Semaphore::new(0));
    let closed = gate.clone();
    let app = async move |_: &mut Session, _: Request<'_>| {
        begun.send(()).unwrap();
        let _open = closed.acquire().await;
        "fine"
    };
    let server = Running::with(Server::options().workers(1).max_connections(2), Address::ABSTRACT, app);
    let connect = || {
        let mut raw = server.connect();
        raw.send(GET);
        raw
    };
    let mut busy = [(); 2].map(|()| connect());
    busy.iter().for_each(|_| begins.recv().unwrap());
    let mut late = [(); 20].map(|()| connect());
    let shutdown = std::thread::spawn(|| server.shut_down());
    for raw in &mut late {
        assert_eq!(
            raw.rest(),
            refusal("503 Service Unavailable", "the server cannot take another connection now: try again later")
        );
    }
    gate.add_permits(2);
    for raw in &mut busy {
        assert_eq!(raw.rest(), LAST);
    }
    shutdown.join().unwrap();
    assert!(begins.try_recv().is_err(), "no other request reached the app");
}

#[test]
fn a_shutdown_waits_for_its_grace_and_no_longer() {
    let (begun, begins) = std::sync::mpsc::channel();
    let endless = async move |_: &mut Session, _: Request<'_>| {
        begun.send(()).unwrap();
        std::future::pending::<&'static str>().await
    };
    let options = Server::options().shutdown_grace(std::time::Duration::from_millis(50));
    let server = Running::with(options, Address::ABSTRACT, endless);
    let mut raw = server.connect();
    raw.send(GET);
    begins.recv().unwrap();
    server.shut_down();
    assert_eq!(raw.rest(), "", "cut");
}

#[test]
fn endless_bodies_end_when_the_server_closes() {
    let app = async |session: &mut Session, _: Request<'_>| {
        let closing = Box::pin(session.closing());
        Body::try_unfold((true, closing), async |(first, mut closing)| {
            if !first {
                (&mut closing).await;
                return Ok(None);
            }
            Ok(Some((Chunk::new("chunk"), (false, closing))))
        })
    };
    let server = Running::new(Address::ABSTRACT, app);
    let mut raw = server.connect();
    raw.send(GET);
    raw.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nchunk\r\n");
    server.shut_down();
    assert_eq!(raw.rest(), "0\r\n\r\n");
}

#[test]
fn a_peer_that_goes_away_cancels_its_handler_and_its_body() {
    struct Tell(Arc<Notify>, Option<std::sync::mpsc::Sender<()>>);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.notify_one();
            let _ = self.1.take().unwrap().send(());
        }
    }
    for in_body in [false, true] {
        let (dropped, drops) = std::sync::mpsc::channel();
        let app = async move |_: &mut Session, _: Request<'_>| {
            let tell = Tell(Arc::default(), Some(dropped.clone()));
            if in_body {
                return Body::try_unfold(tell, async |tell: Tell| {
                    tell.0.notified().await;
                    Ok(Some((Chunk::new("never"), tell)))
                });
            }
            tell.0.notified().await;
            Body::from("never")
        };
        let server = Running::new(Address::ABSTRACT, app);
        let mut raw = server.connect();
        raw.send(GET);
        if in_body {
            raw.expect("HTTP/1.1 200 OK\r\n");
        }
        drop(raw);
        drops.recv().unwrap();
    }
}

#[test]
fn a_connection_may_have_a_number_of_requests() {
    let server = Running::with(Server::options().max_requests(Some(2)), Address::IPV6_LOOPBACK, fine);
    assert_eq!(server.ask(GET.repeat(3)), format!("{FINE}{LAST}"));
}

#[test]
fn what_is_counted() {
    let handle = Server::options().workers(1).bind(Address::IPV6_LOOPBACK, fine).unwrap().spawn().unwrap();
    let mut raw = Raw::connect(handle.address());
    raw.send(GET);
    raw.expect(FINE);
    raw.send("GET / HTTP/1.1\r\n\r\n");
    let refusal = raw.rest();
    assert!(refusal.starts_with("HTTP/1.1 400 "));
    drop(raw);
    let stats = handle.stats();
    assert_eq!((stats.accepted, stats.refused, stats.requests), (1, 0, 1));
    assert_eq!(stats.faults().collect::<Vec<_>>(), [(Fault::HostMissing, 1)]);
    let (received, sent) = (GET.len() + 18, FINE.len() + refusal.len());
    assert_eq!((stats.received, stats.sent), (received as u64, sent as u64));
    handle.shutdown_blocking();
}

#[test]
fn a_server_on_the_callers_own_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(async {
        let server = Server::bind(Address::ABSTRACT, fine).unwrap();
        let address = server.address().clone();
        let client = tokio::task::spawn_blocking(move || {
            let mut raw = Raw::connect(&address);
            raw.send(GET);
            raw.expect(FINE);
            raw
        });
        let served = tokio::task::spawn_local(server.serve_local());
        let mut raw = client.await.unwrap();
        served.abort();
        assert!(served.await.unwrap_err().is_cancelled());
        // The connection ends while the runtime lives on.
        let rest = tokio::task::spawn_blocking(move || raw.rest()).await.unwrap();
        assert_eq!(rest, "");
    });
}

#[test]
fn dropping_the_handle_stops() {
    let handle = Server::bind(Address::ABSTRACT, fine).unwrap().spawn().unwrap();
    let mut raw = Raw::connect(handle.address());
    drop(handle);
    assert_eq!(raw.rest(), "");
}
