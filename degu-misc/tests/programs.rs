//! The examples as programs: what others probe us with must keep its command line.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::{Serving, program};

fn fetch(arguments: &[&str]) -> (bool, String, String) {
    let output = program("fetch").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn quickstart_prints_an_exchange_over_each_kind_of_address() {
    let output = program("quickstart").output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let servers = if cfg!(target_os = "linux") { 4 } else { 3 };
    for line in ["> GET /example", "< 200 OK", "hello, world", "< 404 Not Found", "< 405 Method Not Allowed"] {
        assert_eq!(text.lines().filter(|found| *found == line).count(), servers, "{line}\n{text}");
    }
}

#[test]
fn fetch_prints_what_echo_answers() {
    let echo = Serving::start(program("echo").arg("127.0.0.1:0"));
    for mode in [&[][..], &["--blocking"]] {
        let with = |arguments: &[&'static str]| {
            let mut all = [mode, arguments].concat();
            all.extend([echo.address.as_str(), "/"]);
            fetch(&all.iter().map(|argument| &**argument).collect::<Vec<_>>())
        };
        let (ok, out, _) = with(&["--data", "hello", "-H", "x-a: b"]);
        assert!(ok);
        assert_eq!(out, "200 OK\ncontent-length: 5\n\nhello");
        let (ok, out, _) = with(&["--chunk", "one;seq=1", "--chunk", "two;last", "--chunks"]);
        assert!(ok);
        assert_eq!(out, "200 OK\ntransfer-encoding: chunked\n\n3;seq=1: one\n3;last: two\n");
        let (ok, _, error) = with(&["-X", "no token"]);
        assert!(!ok);
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    echo.stop("TERM");
    let (ok, _, error) = fetch(&["unix:/nowhere/at/all", "/"]);
    assert!(!ok && error.lines().count() == 1 && error.contains("unix:/nowhere/at/all"), "{error}");
}

#[test]
fn examples_say_in_a_line_what_is_wrong() {
    for name in ["device", "drive", "echo", "events", "files", "metrics", "terminal", "todo", "workers"] {
        let output = program(name).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        let is_usage = error.starts_with(&format!("{name}: usage: {name} ")) && error.lines().count() == 1;
        assert!(output.status.code() == Some(1) && is_usage, "{error}");
    }
    let output = program("activation").env_remove("LISTEN_FDS").stdin(Stdio::null()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.starts_with("activation: "), "{error}");
}

#[test]
fn drive_reports_a_line_of_json_for_each_line() {
    let folder = tempfile::tempdir().unwrap();
    let echo =
        Serving::start(program("echo").args(["--ignore-body", &format!("unix:{}", folder.path().join("e").display())]));
    for mode in [&[][..], &["--blocking"]] {
        let mut command = program("drive");
        let mut child =
            command.args(mode).arg(&echo.address).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"GET /a\nGET /a HEAD /b\nBAD\x07 /\n").unwrap();
        let output = child.wait_with_output().unwrap();
        let lines: Vec<serde_json::Value> = output
            .stdout
            .split_inclusive(|&byte| byte == b'\n')
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 3);
        assert_eq!((&lines[0]["ok"], &lines[0]["status"]), (&true.into(), &200.into()));
        assert_eq!(lines[0]["body_hex"], "69676e6f726564");
        assert_eq!(lines[1]["second"]["body_hex"], "");
        assert_eq!(lines[2]["ok"], false);
    }
    echo.stop("INT");
}

#[test]
fn readers_of_a_silent_feed_make_room_when_they_close() {
    fn ask(address: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = String::new();
        let mut reader = BufReader::new(&stream);
        // All of it, since closing a socket with input unread would be a reset.
        while !answer.ends_with("no news\n") && reader.read_line(&mut answer).unwrap_or(0) > 0 {}
        (stream, answer)
    }
    fn make_room(on_hyper: &[&str]) {
        let mut echo = program("echo");
        echo.args(["127.0.0.1:0", "--silent", "--max-connections", "3"]).args(on_hyper);
        let echo = Serving::start(&mut echo);
        let readers: Vec<_> = (0..3).map(|_| ask(&echo.address)).collect();
        assert!(readers.iter().all(|(_, answer)| answer.starts_with("HTTP/1.1 200 OK\r\n")));
        drop(readers);
        // Less than the 30 s after which the kernel sends a keep-alive probe, which may also find that a reader is gone.
        let end = Instant::now() + Duration::from_secs(25);
        // At the cap a newcomer is refused after two seconds.
        while !ask(&echo.address).1.starts_with("HTTP/1.1 200 OK\r\n") {
            assert!(Instant::now() < end, "{on_hyper:?}: the readers are still there");
        }
    }
    std::thread::scope(|scope| {
        scope.spawn(|| make_room(&["--hyper"]));
        make_room(&[]);
    });
}

#[cfg(feature = "tls")]
#[test]
fn programs_speak_tls() {
    use degu_misc::{Leaf, TempPki};

    let pki = TempPki::new();
    let text = |path: std::path::PathBuf| path.into_os_string().into_string().unwrap();
    let (cert, key) = (text(pki.certificate(Leaf::Server)), text(pki.key(Leaf::Server)));
    let clients = text(pki.client_ca());
    let mut echo = program("echo");
    echo.args(["[::1]:0", "--tls-cert", &cert, "--tls-key", &key, "--tls-clients", &clients]);
    let echo = Serving::start(&mut echo);
    let (ca, cert, key) = (text(pki.server_ca()), text(pki.certificate(Leaf::Client)), text(pki.key(Leaf::Client)));
    for how in [&["--blocking"][..], &["--tls-no-name"], &[]] {
        let who = ["--tls-ca", &ca, "--tls-cert", &cert, "--tls-key", &key, "--data", "hello", &echo.address, "/"];
        let (ok, out, error) = fetch(&[how, &who].concat());
        assert!(ok && out.ends_with("\nhello"), "{out}{error}");
        let (ok, _, error) = fetch(&[how, &["--tls-ca", &ca, &echo.address, "/"]].concat());
        assert!(!ok && error.contains("certificate_required"), "{error}");
    }
    echo.stop("TERM");
}
