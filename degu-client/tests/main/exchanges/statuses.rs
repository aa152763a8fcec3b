// Statuses that are errors: a part of the suite, whose macros and imports it shares.

case! {
    fn an_error_status_becomes_an_error_with_the_bodys_beginning() {
        let (_server, mut connection) = connect!(Kind::Path, |wire| {
            for (status, body) in [
                (404, "no such note\nas this".to_owned()),
                (304, String::new()),
                (200, "a note".to_owned()),
                (503, String::new()),
                (400, "\u{1b}[31m \u{e4}".repeat(1000)),
            ] {
                wire.head();
                match status {
                    304 => wire.send("HTTP/1.1 304 Not Modified\r\n\r\n"),
                    503 => wire.send("HTTP/1.1 503 Later\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"),
                    _ => wire.send(&format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len())),
                }
            }
        });
        let error = wait!(wait!(connection.get("/")).unwrap().success()).unwrap_err();
        assert_eq!((error.status(), error.text()), (Some(404), Some("no such note\nas this")));
        assert_eq!(error.to_string(), "the server answered 404 Not Found: \"no such note\"");
        assert!(matches!(error.kind(), ErrorKind::Status(404)) && !error.is_retryable() && !connection.is_closed());

        let error = wait!(wait!(connection.get("/")).unwrap().success()).unwrap_err();
        assert_eq!((error.status(), error.to_string()), (Some(304), "the server answered 304 Not Modified".into()));
        let mut response = wait!(wait!(connection.get("/")).unwrap().success()).unwrap();
        assert!(response.is_success());
        assert_eq!(wait!(response.body.read_all(6)).unwrap(), "a note");

        let error = wait!(wait!(connection.get("/")).unwrap().success()).unwrap_err();
        assert_eq!((error.status(), error.text()), (Some(503), Some("no")));
        // The whole of a long body has come, or not.
        let error = wait!(wait!(connection.get("/")).unwrap().success()).unwrap_err();
        assert!(error.text().unwrap().starts_with("\u{1b}[31m \u{e4}\u{1b}") && error.text().unwrap().len() <= 4098);
        assert!(error.to_string().starts_with("the server answered 400 Bad Request: \"\\u{1b}[31m "), "{error}");
        assert!(error.to_string().len() < 1000);
    }
}

case! {
    fn a_status_is_the_error_even_if_its_body_is_cut() {
        let (_server, mut connection) = connect!(Kind::V4, |wire| {
            wire.head();
            wire.send("HTTP/1.1 500 X\r\ncontent-length: 5\r\n\r\ncu");
        });
        let error = wait!(wait!(connection.get("/")).unwrap().success()).unwrap_err();
        assert_eq!((error.status(), error.text()), (Some(500), Some("cu")));
        assert!(connection.is_closed());
    }
}
