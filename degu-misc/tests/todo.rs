//! `todo` and `todoctl` as programs: what a client and an operator see of JSON that is right, wrong or late.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Serving, program};

const PATIENCE: Duration = Duration::from_secs(60);

fn serve(socket: &Path) -> Serving {
    Serving::start_at(program("todo").arg(format!("unix:{}", socket.display())), socket)
}

/// Sends a request that ends its connection, and returns the response.
fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

fn post(content_type: &str, body: &str) -> String {
    format!(
        "POST /todos HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn todo_answers_and_logs_the_status_that_goes_out() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("todo");
    let mut todo = serve(&socket);
    let plain = |line: &str| format!("{line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let head = "POST /todos HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";
    let json = |body| post("application/json", body);
    let coffee = "{\"text\":\"café au lait\",\"done\":false}";
    let cases = [
        (
            json("{\"text\": \"café au lait\"}"),
            201,
            vec!["\r\nlocation: /todos/0\r\n", "\r\ncontent-type: application/json\r\n", coffee],
        ),
        (
            post("application/x+json; charset=utf-8", "{\"text\": \"tea\", \"done\": true}"),
            201,
            vec!["\r\nlocation: /todos/1\r\n"],
        ),
        (plain("GET /todos?text=caf%C3%A9+au"), 200, vec!["[{\"text\":\"café au lait\",\"done\":false}]"]),
        (plain("DELETE /todos/1"), 204, vec![]),
        (plain("DELETE /todos/1"), 404, vec!["\r\n\r\ntodo not found\n"]),
        (plain("GET /nowhere"), 404, vec![]),
        (plain("PUT /todos"), 405, vec!["\r\nallow: GET, HEAD, POST\r\n"]),
        (plain("GET /todos/0"), 405, vec!["\r\nallow: DELETE\r\n"]),
        (json("{\"text\":\n oops}"), 400, vec!["\r\n\r\nthe body is not valid JSON at line 2, column 2"]),
        (
            json("{\"done\": \"secret\"}"),
            400,
            vec!["expected fields and types at line 1, column 17: expected a boolean"],
        ),
        (
            post("text/plain", "{\"text\": \"tea\"}"),
            415,
            vec!["neither `application/json` nor a type with the suffix `+json`"],
        ),
        (format!("{head}content-length: 65537\r\n\r\n"), 413, vec!["\r\nconnection: close\r\n"]),
        (
            format!("{head}transfer-encoding: chunked\r\n\r\n10001\r\n{}", " ".repeat(0x10001)),
            413,
            vec!["\r\nconnection: close\r\n"],
        ),
    ];
    for (request, status, pieces) in cases {
        let response = ask(&socket, &request);
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{request}\n{response}");
        for piece in pieces {
            assert!(response.contains(piece), "{request}\n{response}\n{piece}");
        }
        assert!(!response.contains("secret"), "{response}");
        let (line, _) = request.split_once(" HTTP/1.1").unwrap();
        let logged = todo.next_line();
        assert!(
            logged.starts_with(&format!("{line} {status} ")) && logged.ends_with('\n'),
            "{line} {status}\n{logged}"
        );
    }
    todo.stop("INT");
}

#[test]
fn todo_drains_at_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("todo");
    let mut todo = serve(&socket);
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // That the server asks for the body says that the handler runs.
    let expecting = "POST /todos HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n";
    stream.write_all(expecting.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(go_on, *b"HTTP/1.1 100 Continue\r\n\r\n");
    todo.signal("TERM");
    let end = Instant::now() + PATIENCE;
    while UnixStream::connect(&socket).is_ok() {
        assert!(Instant::now() < end, "the server takes connections after SIGTERM");
        thread::yield_now();
    }
    stream.write_all(b"{\"text\":\"tea\"}").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(
        response.starts_with("HTTP/1.1 201 ") && response.ends_with("{\"text\":\"tea\",\"done\":false}"),
        "{response}"
    );
    assert!(todo.next_line().starts_with("POST /todos 201 "));
    assert_eq!(todo.next_line(), "");
    todo.ended();
}

/// Runs `todoctl`, and returns its exit code, its output and its only line of errors.
fn todoctl(address: &str, command: &[&str]) -> (Option<i32>, String, String) {
    told(program("todoctl").arg(address).args(command))
}

fn told(command: &mut std::process::Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, error) = (text(output.stdout), text(output.stderr));
    let is_sentence = error.lines().count() == 1 && error.starts_with("todoctl: ") && error.ends_with('\n');
    assert!(output.status.success() && error.is_empty() || is_sentence && out.is_empty(), "{out}{error}");
    (output.status.code(), out, error)
}

#[test]
fn todoctl_lists_adds_and_removes() {
    let folder = tempfile::tempdir().unwrap();
    let todo = serve(&folder.path().join("todo"));
    let run = |command: &[&str]| todoctl(&todo.address, command);
    for (command, expected) in [
        (&["add", "café & \u{1b}[2J"][..], "[ ] café & \\u{1b}[2J\n"),
        (&["add", "tea"], "[ ] tea\n"),
        (&["list"], "0 [ ] café & \\u{1b}[2J\n1 [ ] tea\n"),
        (&["list", "é & "], "[ ] café & \\u{1b}[2J\n"),
        (&["remove", "0"], ""),
        (&["list"], "0 [ ] tea\n"),
    ] {
        assert_eq!(run(command), (Some(0), expected.into(), String::new()), "{command:?}");
    }
    let (code, _, error) = run(&["remove", "7"]);
    assert!(code == Some(5) && error.contains("404 Not Found: \"todo not found\""), "{code:?} {error}");
    let (code, _, error) = run(&["remove", ".."]);
    assert!(code == Some(1) && error.contains("the request cannot be sent"), "{code:?} {error}");
}

#[test]
fn todoctl_says_why_it_cannot_connect() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("todo");
    let address = format!("unix:{}", socket.display());
    let (code, _, error) = todoctl(&address, &["list"]);
    assert!(code == Some(3) && error.contains("no such socket") && error.contains(&address), "{code:?} {error}");
    drop(UnixListener::bind(&socket).unwrap());
    let (code, _, error) = todoctl(&address, &["list"]);
    assert!(code == Some(3) && error.contains("no server listens at") && error.contains(&address), "{code:?} {error}");
    std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let mut command = program("todoctl");
    if rustix::process::geteuid().is_root() {
        // No mode keeps root out.
        command.uid(65534).gid(65534);
    }
    let (code, _, error) = told(command.arg(&address).arg("list"));
    assert!(code == Some(3) && error.contains("permission denied at") && error.contains(&address), "{code:?} {error}");
}

#[test]
fn todoctl_says_what_is_wrong_with_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("todo");
    let listener = UnixListener::bind(&socket).unwrap();
    let address = format!("unix:{}", socket.display());
    // Writes a part of the response after each pause, until the client goes away.
    let answer = |response: String, part: usize, pause: Duration| {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        for part in response.as_bytes().chunks(part) {
            thread::sleep(pause);
            if stream.write_all(part).is_err() {
                break;
            }
        }
    };
    let json = |length: usize, body: &str| {
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    let drip = Duration::from_millis(300);
    for (response, part, pause, expected, piece) in [
        (json(2, "[]"), 1, drip, 4, "the `timeout` of 2s expired"),
        (json(9, "[{\n\"text\""), 999, Duration::ZERO, 6, "not valid JSON at line 2, column 6"),
        (json(14, "[{\"tekst\": \"\"}]"), 999, Duration::ZERO, 6, "at line 1, column 14: missing field `text`"),
        (json(9, "[{\"text\"x"), 999, Duration::ZERO, 6, "not valid JSON at line 1, column 9"),
        (json(3, "[0]"), 999, Duration::ZERO, 6, "expected fields and types at line 1, column 2"),
        (json(99, "[]"), 999, Duration::ZERO, 6, "incomplete body"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]".into(), 999, Duration::ZERO, 6, "content-type"),
        ("nonsense\r\n\r\n".into(), 999, Duration::ZERO, 6, "the server sent"),
    ] {
        let begun = Instant::now();
        let (code, _, error) = thread::scope(|scope| {
            let client = scope.spawn(|| todoctl(&address, &["list"]));
            answer(response, part, pause);
            client.join().unwrap()
        });
        assert!(code == Some(expected) && error.contains(piece), "{code:?} {error}");
        if pause == drip {
            assert!(begun.elapsed() >= Duration::from_secs(2));
        }
    }
}

#[test]
fn todoctl_explains_its_arguments() {
    for (arguments, piece) in [
        (&["unix:/run/todo.sock"][..], "usage: todoctl ADDRESS"),
        (&["unix:/run/todo.sock", "add"], "usage: todoctl ADDRESS"),
        (&["somewhere else", "list"], "\"somewhere else\" is not an address"),
    ] {
        let output = program("todoctl").args(arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains(piece) && error.lines().count() == 1, "{error}");
    }
}
