//! The examples for operators: counters, and sockets that are handed in.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Serving, program};
use degu_client::{Address, blocking::Client};

fn get(address: &str, path: &str) -> (u16, String) {
    let address: Address = address.parse().unwrap();
    let mut connection = Client::new(address).connect().unwrap();
    let mut response = connection.get(path).unwrap();
    (response.status, String::from_utf8(response.body.read_all(64 * 1024).unwrap().to_vec()).unwrap())
}

#[test]
fn metrics_count_in_prometheus_text() {
    let server = Serving::start(program("metrics").arg("127.0.0.1:0"));
    assert_eq!(get(&server.address, "/"), (200, "hello\n".to_owned()));
    let (status, text) = get(&server.address, "/metrics");
    assert_eq!(status, 200);
    for line in [
        "# TYPE degu_connections gauge",
        "degu_connections_accepted_total 2",
        "# TYPE degu_requests_total counter",
        "degu_requests_total 2",
        "degu_failures_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("degu_faults_total{"), "{text}");
    let mut bad = TcpStream::connect(&server.address).unwrap();
    bad.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n").unwrap();
    bad.read_to_end(&mut Vec::new()).unwrap();
    drop(bad);
    // A connection counts when its worker is done with it, a moment after its last byte.
    let text = std::iter::repeat_with(|| get(&server.address, "/metrics").1)
        .find(|text| text.contains("degu_faults_total{"))
        .unwrap();
    let faults: Vec<_> = text.lines().filter(|line| line.starts_with("degu_faults_total{kind=\"")).collect();
    assert!(faults.len() == 1 && faults[0].ends_with("\"} 1"), "{text}");
    // Each metric is described before its samples, and no line is anything else.
    let mut described = "";
    for line in text.lines() {
        match line.strip_prefix("# TYPE ") {
            Some(rest) => described = rest.split(' ').next().unwrap(),
            None => assert!(line.starts_with("# HELP ") || line.starts_with(described), "{line}"),
        }
    }
    assert_eq!(get(&server.address, "/metric").0, 404);
}

#[test]
fn metrics_and_log_say_how_each_exchange_ended() {
    let mut server = Serving::start(program("metrics").arg("127.0.0.1:0").stderr(Stdio::piped()));
    let mut stderr = server.stderr();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let connect = || TcpStream::connect(&server.address).unwrap();
    // A response that the app cuts, and a request that the server refuses.
    for request in [request("/cut"), "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".to_owned()] {
        let mut stream = connect();
        stream.write_all(request.as_bytes()).unwrap();
        // A cut response may end with a reset.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    // A handler whose client resets the connection: that the first response is there says that the second request is, too.
    let mut stream = connect();
    stream.write_all((request("/") + &request("/late")).as_bytes()).unwrap();
    stream.read_exact(&mut [0; b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello\n".len()]).unwrap();
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    let expected = [
        "degu_exchange_seconds_count{status=\"none\",cut=\"true\"} 1\n",
        "degu_exchange_seconds_count{status=\"200\",cut=\"true\"} 1\n",
        "degu_exchange_seconds_count{status=\"400\",cut=\"false\"} 1\n",
        "degu_gone_total 1\n",
        "degu_failures_total 1\n",
        "degu_connections_refused_total 0\n",
    ];
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let (_, text) = get(&server.address, "/metrics");
        let Some(missing) = expected.iter().find(|line| !text.contains(**line)) else { break };
        assert!(Instant::now() < end, "{missing}{text}");
    }
    server.stop("TERM");
    let mut log = String::new();
    stderr.read_to_string(&mut log).unwrap();
    for (start, reason) in [
        ("GET /cut 200 5B ", " cut: the body of a response returned an error: the other half is lost"),
        ("GET /late - 0B ", " cut: the peer is gone"),
        ("- - 400 ", ""),
    ] {
        let is_one = |line: &&str| line.starts_with(start) && line.contains(reason);
        assert_eq!(log.lines().filter(is_one).count(), 1, "{start}\n{log}");
    }
}

/// The example, with two sockets from descriptor 3 on.
fn activated(variables: &str, tcp: &TcpListener, unix: &UnixListener) -> Command {
    let script = format!("exec 3<&0 4>&2 0</dev/null 2>&1; {variables} exec \"$0\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(program("activation").get_program());
    command.stdin(OwnedFd::from(tcp.try_clone().unwrap())).stderr(OwnedFd::from(unix.try_clone().unwrap()));
    command
}

#[test]
fn sockets_that_are_handed_in_are_served_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("handed-in");
    let (tcp, unix) = (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&path).unwrap());
    let server = Serving::start(&mut activated("LISTEN_PID=$$ LISTEN_FDS=2", &tcp, &unix));
    assert_eq!(server.address, tcp.local_addr().unwrap().to_string());
    for address in [server.address.clone(), format!("unix:{}", path.display())] {
        assert_eq!(get(&address, "/"), (200, "hello\n".to_owned()));
    }
    drop(server);
    assert!(path.exists(), "the file belongs to who made it");

    let output = activated("LISTEN_PID=1 LISTEN_FDS=2", &tcp, &unix).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && text.contains("another process"), "{text}");
}

#[test]
fn the_standard_input_is_a_socket_too() {
    let tcp = TcpListener::bind("[::1]:0").unwrap();
    let mut command = program("activation");
    let server = Serving::start(command.env_remove("LISTEN_FDS").stdin(OwnedFd::from(tcp.try_clone().unwrap())));
    assert_eq!(server.address, tcp.local_addr().unwrap().to_string());
    assert_eq!(get(&server.address, "/"), (200, "hello\n".to_owned()));
}
