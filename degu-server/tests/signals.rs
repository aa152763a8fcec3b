//! Servers that end with a signal: each runs in a process of its own, which is this test again.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use degu_server::{Address, Request, Server, Session};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::Raw;

/// Set in the process that serves.
const SERVES: &str = "DEGU_TEST_SERVES_UNTIL_SIGNAL";
const LAST: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nended";

/// Waits for the shutdown, and then forever if that is asked for.
async fn app(session: &mut Session, request: Request<'_>) -> &'static str {
    println!("begun");
    session.closing().await;
    println!("closing");
    if request.segments() == ["stays"] {
        std::future::pending::<()>().await;
    }
    "ended"
}

/// Serves until a signal, and says so on the standard output.
fn serve() {
    let server = Server::options().workers(1).bind(Address::IPV6_LOOPBACK, app).unwrap();
    println!("listening on {}", server.address());
    match server.serve_until_signal() {
        Ok(()) => println!("returned"),
        Err(error) => println!("failed: {error}"),
    }
}

/// A process that serves, and what it says.
struct Serving {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: Address,
}

impl Serving {
    fn new(test: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            // With one thread, the harness prints the name of the test into the first line of its output.
            .env("RUST_TEST_THREADS", "2")
            .env(SERVES, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix("listening on ")?.parse().ok()).unwrap();
        Self { child, lines, address }
    }

    fn request(&mut self, path: &str) -> Raw {
        let mut raw = Raw::connect(&self.address);
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        self.expect("begun");
        raw
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    #[track_caller]
    fn expect(&mut self, said: &str) {
        assert!(self.lines.any(|line| line.unwrap() == said), "{said}");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn first_signal_answers_what_has_begun() {
    if std::env::var_os(SERVES).is_some() {
        return serve();
    }
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut serving = Serving::new("signals::first_signal_answers_what_has_begun");
        let mut raw = serving.request("/");
        serving.signal(signal);
        assert_eq!(raw.rest(), LAST);
        serving.expect("returned");
        assert!(serving.child.wait().unwrap().success(), "{signal}");
    }
}

#[test]
fn second_signal_cuts_what_stays() {
    if std::env::var_os(SERVES).is_some() {
        return serve();
    }
    let mut serving = Serving::new("signals::second_signal_cuts_what_stays");
    let mut raw = serving.request("/stays");
    serving.signal(Signal::SIGTERM);
    serving.expect("closing");
    serving.signal(Signal::SIGTERM);
    assert_eq!(raw.end(), "");
    serving.expect("returned");
    assert!(serving.child.wait().unwrap().success());
}

#[test]
fn panic_of_the_servers_thread_is_an_error() {
    if std::env::var_os(SERVES).is_some() {
        // The log is written on the server's thread when a connection is accepted.
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG);
        let log = log.with_writer(|| -> std::io::Sink { panic!("a log that panics") });
        tracing::subscriber::set_global_default(log.finish()).unwrap();
        return serve();
    }
    let mut serving = Serving::new("signals::panic_of_the_servers_thread_is_an_error");
    let mut raw = Raw::connect(&serving.address);
    assert_eq!(raw.end(), "");
    serving.expect("failed: the server's thread panicked");
    assert!(serving.child.wait().unwrap().success());
}
