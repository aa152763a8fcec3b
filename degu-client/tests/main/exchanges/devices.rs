// Responses that break rules: a part of the suite, whose macros and imports it shares.

case! {
    fn responses_of_devices_are_read_where_nothing_frames() {
        for (response, status, field, body, reusable) in [
            ("200 OK\r\nX: a\r\n \tb\r\nContent-Length: 2\r\n\r\nok", 200, "a b", "ok", true),
            ("200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nok", 200, "a", "ok", true),
            ("200 OK\r\nTransfer-Encoding: chunked\r\nX: a\r\n\r\n2   \r\nok\r\n0 \r\n\r\n", 200, "a", "ok", true),
            ("204 No Content\r\nTransfer-Encoding: chunked\r\nX: a\r\n\r\n", 204, "a", "", false),
            (
                "200 OK\r\nContent-Type: text/html\r\nContent-Type: a/b\r\nX: a\r\nContent-Length: 2\r\n\r\nok",
                200,
                "a",
                "ok",
                true,
            ),
        ] {
            let (_server, mut connection) = connect!(Kind::Path, move |wire| {
                wire.head();
                wire.send(&format!("HTTP/1.1 {response}"));
                wire.expect_end();
            });
            let mut found = wait!(connection.get("/")).unwrap();
            assert_eq!((found.status, found.headers.get("x")), (status, Some(field)), "{response}");
            assert_eq!(wait!(found.body.read_all(2)).unwrap(), body, "{response}");
            assert_eq!(connection.is_closed(), !reusable, "{response}");
        }
    }
}

case! {
    fn responses_of_devices_are_refused_where_something_frames() {
        for (response, fault) in [
            ("Content-Length : 2\r\n\r\nok", Fault::FieldName),
            ("Content-Length: 2\r\n \r\n\r\nok", Fault::ObsFold),
            ("Transfer-Encoding: chunked\r\n \r\n\r\n2\r\nok\r\n0\r\n\r\n", Fault::ObsFold),
            ("Connection: a,\r\n close\r\nContent-Length: 2\r\n\r\nok", Fault::ObsFold),
            ("Content-Range: bytes 0-1/2\r\nContent-Range: bytes 0-1/2\r\nContent-Length: 2\r\n\r\nok", Fault::Repeated),
            ("Upgrade : tcp\r\nContent-Length: 2\r\n\r\nok", Fault::FieldName),
            ("Transfer-Encoding: chunked\r\n\r\n2;a \r\nok\r\n0\r\n\r\n", Fault::ChunkExtension),
            ("Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx : y\r\n\r\n", Fault::FieldName),
            ("Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: y\r\n z\r\n\r\n", Fault::ObsFold),
        ] {
            let (_server, mut connection) = connect!(Kind::Path, move |wire| {
                wire.head();
                wire.send(&format!("HTTP/1.1 200 OK\r\n{response}"));
                wire.expect_end();
            });
            let error = match wait!(connection.get("/")) {
                Ok(mut found) => wait!(found.body.read_all(2)).unwrap_err(),
                Err(error) => error,
            };
            assert_eq!(error.remote().map(|error| error.fault), Some(fault), "{response}");
            assert!(connection.is_closed());
        }
    }
}
