//! The example `files`, byte by byte: what it serves, and that there is no way out of its root.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::common::{Serving, program};
use degu_client::{Address, Method, blocking::Client};
use tempfile::TempDir;

/// A folder with a root to be served, and a secret beside it.
struct Files {
    folder: TempDir,
    server: Serving,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("sub/deep")).unwrap();
        fs::create_dir(root.join("site")).unwrap();
        fs::create_dir(root.join(".git")).unwrap();
        fs::create_dir(folder.path().join("root-beside")).unwrap();
        for (path, text) in [
            ("secret", "a secret"),
            ("root-beside/secret", "a secret"),
            ("root/.git/config", "a secret"),
            ("root/.env", "a secret"),
            ("root/a.txt", "0123456789"),
            ("root/empty", ""),
            ("root/100%.html", "percent"),
            ("root/a:b <&\".md", "odd"),
            ("root/sub/b.json", "{}"),
            ("root/site/index.html", "<p>site"),
        ] {
            fs::write(folder.path().join(path), text).unwrap();
        }
        for (link, to) in [
            ("link-out", "../secret"),
            ("link-absolute", "/etc/passwd"),
            ("link-folder", ".."),
            ("link-in", "a.txt"),
            ("link-proc", "/proc/self/root"),
        ] {
            symlink(to, root.join(link)).unwrap();
        }
        let socket = format!("unix:{}", folder.path().join("socket").display());
        let server = Serving::start(program("files").arg(socket).arg(&root));
        Self { folder, server }
    }

    fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("root")
    }

    /// Status, fields and body of the answer, where the bytes need not be a request that a client would send.
    fn raw(&self, method: &str, target: &str, fields: &str) -> (u16, String, Vec<u8>) {
        let mut stream = UnixStream::connect(self.folder.path().join("socket")).unwrap();
        write!(stream, "{method} {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        let body = answer.split_off(end);
        let head = String::from_utf8(answer).unwrap();
        (head[9..12].parse().unwrap(), head, body)
    }
}

#[test]
fn there_is_no_way_out_of_the_root() {
    let files = Files::new();
    for target in [
        "/../secret",
        "/../root-beside/secret",
        "/sub/../../secret",
        "/..",
        "/../",
        "/./a.txt",
        "/%2e%2e/secret",
        "/%2E%2e/secret",
        "/.%2e/secret",
        "/%2e./secret",
        "/%2e%2e%2fsecret",
        "/..%2fsecret",
        "/sub%2f..%2f..%2fsecret",
        "/sub/%2e%2e/%2e%2e/secret",
        "/%252e%252e/secret",
        "/..%5csecret",
        "//secret",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/%2f%2fetc%2fpasswd",
        "//",
        "/sub//b.json",
        "/a.txt%00",
        "/a.txt%00.html",
        "/%00",
        "/a.txt/",
        "/a.txt/..",
        "/%c0%ae%c0%ae/secret",
        "/link-out",
        "/link-absolute",
        "/link-folder/secret",
        "/link-folder/",
        "/link-in",
        "/link-proc/etc/passwd",
        "/sub/../link-out",
        "/.git/config",
        "/.git/",
        "/.env",
        "/%2egit/config",
        "/nothing",
        "/a.txt?x=/../secret/../../..//nothing/",
        "http://a/../secret",
        "http://a//etc/passwd",
        &format!("/{}", "x".repeat(4096)),
        &"/sub".repeat(1000),
    ] {
        let (status, head, body) = files.raw("GET", target, "");
        match target.starts_with("/a.txt?") {
            // A query is no part of the path.
            true => assert_eq!((status, &body[..]), (200, &b"0123456789"[..])),
            false => assert_eq!(status, 404, "{target}: {head}"),
        }
        assert!(!String::from_utf8_lossy(&body).contains("secret"), "{target}");
    }
    // What is no target at all does not reach the app.
    for target in ["a.txt", "..", "/%", "/%2", "/%zz", "/a.txt\0", "/\\..\\secret\u{7f}"] {
        let (status, _, body) = files.raw("GET", target, "");
        assert!([400, 404].contains(&status), "{target:?}: {status}");
        assert!(!String::from_utf8_lossy(&body).contains("secret"), "{target:?}");
    }
}

#[test]
fn what_is_neither_file_nor_folder_is_not_opened() {
    let files = Files::new();
    let made = std::process::Command::new("mkfifo").arg(files.root().join("fifo")).status().unwrap();
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(files.root().join("listener")).unwrap();
    for target in ["/fifo", "/listener", "/fifo/"] {
        assert_eq!(files.raw("GET", target, "").0, 404, "{target}");
    }
}

#[test]
fn files_and_folders() {
    let files = Files::new();
    for (target, kind, expected) in [
        ("/a.txt", "text/plain; charset=utf-8", "0123456789"),
        ("/%61%2Etxt", "text/plain; charset=utf-8", "0123456789"),
        ("/empty", "application/octet-stream", ""),
        ("/100%25.html", "text/html; charset=utf-8", "percent"),
        ("/sub/b.json", "application/json", "{}"),
        ("/site/", "text/html; charset=utf-8", "<p>site"),
    ] {
        let (status, head, body) = files.raw("GET", target, "");
        assert_eq!((status, String::from_utf8_lossy(&body).as_ref()), (200, expected), "{target}");
        assert!(head.contains(&format!("\r\ncontent-type: {kind}\r\n")), "{head}");
        let (status, of_head, body) = files.raw("HEAD", target, "");
        assert_eq!((status, &body[..]), (200, &b""[..]), "{target}");
        let without_date = |head: &str| head.lines().filter(|line| !line.starts_with("date")).collect::<String>();
        assert_eq!(without_date(&head), without_date(&of_head), "{target}");
    }
    let (status, _, body) = files.raw("GET", "/", "");
    let list = String::from_utf8(body).unwrap();
    let items: Vec<_> = list.lines().filter(|line| line.starts_with("<li>")).collect();
    assert_eq!(
        (status, &items[..]),
        (
            200,
            &[
                "<li><a href=\"./100%25.html\">100%.html</a>",
                "<li><a href=\"./a.txt\">a.txt</a>",
                "<li><a href=\"./a%3Ab%20%3C%26%22.md\">a:b &lt;&amp;\".md</a>",
                "<li><a href=\"./empty\">empty</a>",
                "<li><a href=\"./site/\">site/</a>",
                "<li><a href=\"./sub/\">sub/</a>",
            ][..]
        )
    );
    assert_eq!(files.raw("GET", "/a%3Ab%20%3C%26%22.md", "").2, b"odd");
    let (status, head, _) = files.raw("GET", "/sub/deep", "");
    assert!(status == 301 && head.contains("\r\nlocation: ./deep/\r\n"), "{head}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let (status, head, _) = files.raw(method, "/a.txt", "");
        assert!(status == 405 && head.contains("\r\nallow: GET, HEAD\r\n"), "{head}");
    }
}

#[test]
fn conditions() {
    let files = Files::new();
    let file = fs::File::options().write(true).open(files.root().join("a.txt")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_500)).unwrap();
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    let (_, head, _) = files.raw("GET", "/a.txt", "");
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let tag = field("etag: ");
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    assert_eq!(field("last-modified: "), THEN);
    field("date: ");
    for (status, fields) in [
        (304, format!("if-none-match: {tag}\r\n")),
        (304, format!("if-none-match: W/{tag}\r\n")),
        (304, format!("if-none-match: \"a,b\", {tag}\r\n")),
        (304, format!("if-none-match: \"a\"\r\nif-none-match: {tag}\r\n")),
        (304, "if-none-match: *\r\n".to_owned()),
        (200, "if-none-match: \"a\"\r\n".to_owned()),
        (304, format!("if-modified-since: {THEN}\r\n")),
        (200, format!("if-modified-since: {BEFORE}\r\n")),
        (200, "if-modified-since: yesterday\r\n".to_owned()),
        // A tag is asked first.
        (200, format!("if-none-match: \"a\"\r\nif-modified-since: {THEN}\r\n")),
        (200, format!("if-match: {tag}\r\n")),
        (200, "if-match: *\r\n".to_owned()),
        (412, "if-match: \"a\"\r\n".to_owned()),
        (412, format!("if-match: W/{tag}\r\n")),
        (200, format!("if-unmodified-since: {THEN}\r\n")),
        (412, format!("if-unmodified-since: {BEFORE}\r\n")),
        // A range of what is known already is not sent either.
        (304, format!("if-none-match: {tag}\r\nrange: bytes=0-1\r\n")),
        (206, "range: bytes=0-1\r\n".to_owned()),
        (206, format!("range: bytes=0-1\r\nif-range: {tag}\r\n")),
        (200, "range: bytes=0-1\r\nif-range: \"a\"\r\n".to_owned()),
        (200, format!("range: bytes=0-1\r\nif-range: W/{tag}\r\n")),
        (200, format!("range: bytes=0-1\r\nif-range: {THEN}\r\n")),
        (200, "range: bytes=90-\r\nif-range: \"a\"\r\n".to_owned()),
    ] {
        let (found, head, body) = files.raw("GET", "/a.txt", &fields);
        assert_eq!(found, status, "{fields}");
        if status == 304 {
            assert!(head.contains(&format!("etag: {tag}\r\n")) && body.is_empty(), "{head}");
        }
    }
    fs::write(files.root().join("a.txt"), "0123456780").unwrap();
    assert_eq!(files.raw("GET", "/a.txt", &format!("if-none-match: {tag}\r\n")).0, 200, "it has another tag now");
}

#[test]
fn ranges() {
    let files = Files::new();
    for (range, status, content_range, expected) in [
        ("bytes=0-0", 206, Some("bytes 0-0/10"), "0"),
        ("bytes=2-4", 206, Some("bytes 2-4/10"), "234"),
        ("bytes=7-", 206, Some("bytes 7-9/10"), "789"),
        ("bytes=7-100", 206, Some("bytes 7-9/10"), "789"),
        ("bytes=-3", 206, Some("bytes 7-9/10"), "789"),
        ("bytes=-30", 206, Some("bytes 0-9/10"), "0123456789"),
        ("bytes=10-", 416, Some("bytes */10"), "the file has no such range\n"),
        ("bytes=-0", 416, Some("bytes */10"), "the file has no such range\n"),
        ("bytes=99999999999999-", 416, Some("bytes */10"), "the file has no such range\n"),
        ("bytes=0-1,3-4", 200, None, "0123456789"),
        ("bytes=4-2", 200, None, "0123456789"),
        ("lines=1-2", 200, None, "0123456789"),
        ("bytes=a-b", 200, None, "0123456789"),
    ] {
        let (found, head, body) = files.raw("GET", "/a.txt", &format!("range: {range}\r\n"));
        assert_eq!((found, String::from_utf8_lossy(&body).as_ref()), (status, expected), "{range}");
        let line = head.lines().find_map(|line| line.strip_prefix("content-range: "));
        assert_eq!(line, content_range, "{range}");
        assert_eq!(files.raw("HEAD", "/a.txt", &format!("range: {range}\r\n")).0, 200, "a range is for GET alone");
    }
    assert_eq!(files.raw("GET", "/empty", "range: bytes=0-\r\n").0, 416);
}

#[test]
fn large_files_flow_and_connections_last() {
    let files = Files::new();
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
    fs::write(files.root().join("large"), &large).unwrap();
    let address: Address = files.server.address.parse().unwrap();
    let mut connection = Client::new(address).connect().unwrap();
    for _ in 0..2 {
        assert!(connection.get("/large").unwrap().body.read_all(large.len()).unwrap() == large);
        let mut response = connection.request(Method::Get, "/large", [("range", "bytes=1000000-2999998")], ()).unwrap();
        assert_eq!(response.status, 206);
        assert!(response.body.read_all(large.len()).unwrap() == large[1_000_000..2_999_999]);
    }
    assert!(!connection.is_closed());
}

#[test]
fn it_says_what_it_needs() {
    let nowhere = Path::new("/nowhere/at/all");
    let output = program("files").arg("127.0.0.1:0").arg(nowhere).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("/nowhere/at/all"));
}
