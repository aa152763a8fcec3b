//! New connections at a server that has as many as it may have.

use std::time::{Duration, Instant};

use crate::common::{Raw, Running, refusal};
#[cfg(feature = "hyper")]
use crate::kit::Serving;
use degu_server::{Address, Request, Server, Session};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const NEVER: &str = "GET /never HTTP/1.1\r\nHost: a\r\n\r\n";
const TCP: Address = Address::IPV6_LOOPBACK;
const CAP: usize = 8;

async fn app(_: &mut Session, request: Request<'_>) -> &'static str {
    match request.segments() {
        ["never"] => std::future::pending().await,
        _ => "fine",
    }
}

/// Both drivers, each with this cap, on TCP and on a Unix socket. Each server has closed all of its descriptors before the next
/// one starts, because a test counts the descriptors of the process.
fn with_both(workers: usize, cap: usize, test: impl Fn(&dyn Fn() -> Raw)) {
    for address in [TCP, Address::ABSTRACT] {
        let server = Running::with(Server::options().workers(workers).max_connections(cap), address.clone(), app);
        test(&|| server.connect());
        drop(server);
        #[cfg(feature = "hyper")]
        {
            let never = axum::routing::get(std::future::pending::<()>);
            let app = axum::Router::new().route("/", axum::routing::get(async || "fine")).route("/never", never);
            let runtime = tokio::runtime::Builder::new_current_thread();
            let server = Serving::on(runtime, Server::options().max_connections(cap), address, app);
            test(&|| server.connect());
            server.shut_down();
        }
    }
}

fn ask(raw: &mut Raw) {
    raw.send(GET);
    assert!(raw.response_head().unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    raw.expect("fine");
}

fn connect_and_ask(connect: &dyn Fn() -> Raw) -> Raw {
    let mut raw = connect();
    ask(&mut raw);
    raw
}

/// Waits until a silent connection may be closed: its request could be on its way before.
fn wait_for_grace() {
    std::thread::sleep(Duration::from_millis(150));
}

#[test]
fn the_connections_that_have_been_idle_longest_make_room() {
    with_both(1, CAP, |connect| {
        let mut held: Vec<_> = (0..CAP).map(|_| connect()).collect();
        held.iter_mut().for_each(ask);
        // The first one is not idle for the longest time any more, but for the shortest.
        ask(&mut held[0]);
        // Each newcomer sends its request at once, because after 100 ms without a request it would be closed to make room.
        let mut newcomers: Vec<_> = (1..CAP).map(|_| connect_and_ask(connect)).collect();
        let mut first = held.remove(0);
        held.iter_mut().for_each(|raw| assert_eq!(raw.rest(), ""));
        ask(&mut first);
        newcomers.iter_mut().for_each(ask);
    });
}

#[test]
fn a_connection_without_a_request_makes_room_first() {
    with_both(1, CAP, |connect| {
        let mut held: Vec<_> = (2..CAP).map(|_| connect_and_ask(connect)).collect();
        let mut silent = connect();
        // The server accepts this connection after the silent one.
        held.push(connect_and_ask(connect));
        wait_for_grace();
        let mut newcomer = connect();
        ask(&mut newcomer);
        assert_eq!(silent.rest(), "");
        held.iter_mut().for_each(ask);
    });
}

/// Some clients end the body of a request with a line end that its length does not count.
#[test]
fn an_empty_line_after_a_request_leaves_a_connection_idle() {
    with_both(1, CAP, |connect| {
        let mut held: Vec<_> = (0..CAP).map(|_| connect()).collect();
        for raw in &mut held {
            ask(raw);
            raw.send("\r\n");
        }
        // The server has read all lines before the second of these requests.
        ask(&mut held[0]);
        ask(&mut held[0]);
        let mut newcomer = connect();
        ask(&mut newcomer);
    });
}

#[test]
fn a_connection_that_has_had_its_last_response_makes_room_first() {
    with_both(1, CAP, |connect| {
        let mut held: Vec<_> = (1..CAP).map(|_| connect()).collect();
        held.iter_mut().for_each(ask);
        let mut refused = connect();
        refused.send("GET /\r\n\r\n");
        assert!(refused.rest().starts_with("HTTP/1.1 400 "));
        let mut newcomer = connect();
        ask(&mut newcomer);
        held.iter_mut().for_each(ask);
        ask(&mut newcomer);
    });
}

#[test]
fn where_all_are_busy_a_newcomer_waits_and_is_refused_then() {
    with_both(1, 2, |connect| {
        let (mut a, mut b) = (connect(), connect());
        ask(&mut a);
        b.send(NEVER);
        let mut c = connect();
        ask(&mut c);
        assert_eq!(a.rest(), "");
        c.send(NEVER);
        // The request of the other connection is under way then, too.
        let mut d = connect();
        d.send(GET);
        assert_eq!(
            d.rest(),
            refusal("503 Service Unavailable", "the server cannot take another connection now: try again later")
        );
        // One that has just come may be refused with it, but not once there is room.
        b.reset();
        let is_answered = || {
            let mut e = connect();
            e.try_send(GET) && e.response_head().is_some_and(|head| head.starts_with("HTTP/1.1 200 OK\r\n"))
        };
        let began = Instant::now();
        while !is_answered() {
            assert!(began.elapsed() < Duration::from_secs(60));
        }
    });
}

#[test]
fn many_newcomers_at_once_are_all_answered_in_a_moment() {
    with_both(2, 64, |connect| {
        let mut held: Vec<_> = (0..64).map(|_| connect()).collect();
        held.iter_mut().for_each(ask);
        let newcomers = (0..30).map(|_| {
            let mut raw = connect();
            raw.send(GET);
            raw
        });
        for mut raw in newcomers.collect::<Vec<_>>() {
            assert!(raw.response_head().unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
        }
    });
}

/// The limit is that of a whole process, so the test runs itself in one of its own.
#[cfg(target_os = "linux")]
#[test]
fn process_without_descriptors_closes_an_idle_connection() {
    use nix::libc::rlim_t;
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    const LIMITED: &str = "DEGU_TEST_OUT_OF_DESCRIPTORS";
    if std::env::var_os(LIMITED).is_none() {
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let name = "room::process_without_descriptors_closes_an_idle_connection";
        assert!(alone.args(["--exact", name]).env(LIMITED, "").status().unwrap().success());
        return;
    }
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    with_both(1, 1_000, |connect| {
        let mut held: Vec<_> = (0..CAP).map(|_| connect()).collect();
        held.iter_mut().for_each(ask);
        let null = || std::fs::File::open("/dev/null");
        // The limit is above every descriptor that is open: a connection of the server that is closed makes room below it.
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        let highest =
            open.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<rlim_t>().ok()).max().unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, highest + 8, hard).unwrap();
        let mut rest: Vec<_> = std::iter::from_fn(|| null().ok()).collect();
        // The client takes the last descriptor, so that the server has none to accept it with.
        rest.pop();
        let mut newcomer = connect();
        ask(&mut newcomer);
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        // One of them, and a second one if the first took its time to close; none after there was a descriptor.
        held.retain_mut(|raw| raw.try_send(GET) && raw.response_head().is_some());
        assert!((CAP - 2..CAP).contains(&held.len()), "{} of {CAP}", held.len());
        ask(&mut newcomer);
    });
}
