// One suite for both drivers. The module that includes it says what `wait!`, `case!`, `chunks` and `bytes` are.

use std::{io::Read, io::Write, time::Duration};

use degu_client::{ByteRange, Chunk, ContentRange, ErrorKind, Fault, LocalError, Method, Part, Timeout, Trailers};

use crate::common::{KINDS, Kind, Server};

/// A connection to a server with one connection and this script.
macro_rules! connect {
    ($kind:expr, $script:expr) => {{
        let server = Server::once($kind, $script);
        let connection = wait!(Client::new(&server.address).connect()).unwrap();
        (server, connection)
    }};
}

case! {
    fn every_kind_of_address() {
        for kind in KINDS {
            let server = Server::once(kind, |wire| {
                let host = match wire {
                    crate::common::Wire::Tcp(stream) => stream.local_addr().unwrap().to_string(),
                    crate::common::Wire::Unix(_) => "localhost".to_owned(),
                };
                wire.expect(&format!("GET /a?b HTTP/1.1\r\nhost: {host}\r\n\r\n"));
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx: y\r\n\r\nhello");
                wire.expect(&format!("POST / HTTP/1.1\r\nhost: {host}\r\ncontent-length: 3\r\n\r\nabc"));
                wire.send("HTTP/1.1 404 Not There\r\ncontent-length: 0\r\n\r\n");
                wire.expect_end();
            });
            let mut connection = wait!(Client::new(&server.address).connect()).unwrap();
            assert_eq!(connection.address(), &server.address);
            let mut response = wait!(connection.get("/a?b")).unwrap();
            assert_eq!((response.status, response.reason.as_str(), response.headers.get("X")), (200, "OK", Some("y")));
            assert_eq!(wait!(response.body.read_all(5)).unwrap(), "hello");
            let response = wait!(connection.post("/", "abc")).unwrap();
            assert_eq!((response.status, response.reason.as_str()), (404, "Not There"));
            drop(response);
            assert!(!connection.is_closed());
            drop(connection);
        }
    }
}

case! {
    fn short_forms_and_framing() {
        let (_server, mut connection) = connect!(Kind::Path, |wire| {
            let ok = "HTTP/1.1 204 No Content\r\n\r\n";
            wire.expect("HEAD / HTTP/1.1\r\nhost: localhost\r\n\r\n");
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 77\r\n\r\n");
            for rest in [
                "PUT / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\na",
                "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n",
                "DELETE / HTTP/1.1\r\nhost: localhost\r\n\r\n",
                "PATCH / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nbc",
                "PROPFIND / HTTP/1.1\r\nhost: localhost\r\ndepth: 1\r\n\r\n",
                "PUT / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n\
                 2;n=1\r\nab\r\n1\r\nc\r\n0\r\nx-sum: 7\r\n\r\n",
                "PUT / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\nxxx",
            ] {
                wire.expect(rest);
                wire.send(ok);
            }
            wire.expect_end();
        });
        assert_eq!(wait!(wait!(connection.head("/")).unwrap().body.read_all(0)).unwrap(), "");
        assert_eq!(wait!(connection.put("/", "a")).unwrap().status, 204);
        assert_eq!(wait!(connection.post("/", ())).unwrap().status, 204);
        assert_eq!(wait!(connection.delete("/")).unwrap().status, 204);
        assert_eq!(wait!(connection.patch("/", b"bc")).unwrap().status, 204);
        assert_eq!(wait!(connection.request("PROPFIND", "/", [("depth", 1)], ())).unwrap().status, 204);
        let trailers = Trailers::try_from([("x-sum", 7)]).unwrap();
        let body = chunks([Chunk::new("ab").with_extension("n", 1).into(), Chunk::new("c").into(), trailers.into()]);
        assert_eq!(wait!(connection.put("/", body)).unwrap().status, 204);
        assert_eq!(wait!(connection.put("/", bytes(3))).unwrap().status, 204);
    }
}

case! {
    fn options_make_the_fields() {
        let server = Server::new(Kind::V6, |accept| {
            let mut wire = accept.next();
            wire.expect("GET / HTTP/1.1\r\nhost: example.org\r\na: 1\r\nauthorization: Bearer x\r\n\r\n");
            wire.send("HTTP/1.1 204 No Content\r\n\r\n");
            wire.expect("GET / HTTP/1.1\r\nhost: other\r\na: 2\r\nauthorization: Bearer x\r\n\r\n");
            wire.send("HTTP/1.1 204 No Content\r\n\r\n");
            wire.expect_end();
        });
        let options = Client::options().host("example.org").header("a", 0).unwrap().header("b", 1).unwrap();
        let options = options.header("a", 1).unwrap().without_header("b").authorization("Bearer x").unwrap();
        let client = options.client(&server.address);
        let mut connection = wait!(client.connect()).unwrap();
        assert_eq!(wait!(connection.get("/")).unwrap().status, 204);
        let own = [("host", "other"), ("a", "2")];
        assert_eq!(wait!(connection.request(Method::Get, "/", own, ())).unwrap().status, 204);
    }
}

case! {
    fn chunks_keep_what_was_said_about_them() {
        let (_server, mut connection) = connect!(Kind::Abstract, |wire| {
            for _ in 0..3 {
                wire.head();
                wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;a=1;b\r\nabc\r\n2\r");
                wire.send("\nde\r\n0;end=\"x y\"\r\nx-sum: 5\r\n\r\n");
            }
            wire.expect_end();
        });
        let mut response = wait!(connection.get("/")).unwrap();
        let chunk = wait!(response.body.next_chunk()).unwrap().unwrap();
        assert_eq!((&chunk.data[..], chunk.extension("a").as_deref()), (&b"abc"[..], Some("1")));
        assert_eq!(wait!(response.body.next_chunk()).unwrap().unwrap(), Chunk::new("de"));
        assert!(response.body.trailers().is_none());
        assert_eq!(wait!(response.body.next_chunk()).unwrap(), None);
        assert_eq!(wait!(response.body.next_chunk()).unwrap(), None, "and it stays so");
        assert_eq!(response.body.trailers().unwrap().get("x-sum"), Some("5"));
        assert_eq!(response.body.last_extensions().unwrap().get("end").as_deref(), Some("x y"));
        drop(response);

        let mut response = wait!(connection.get("/")).unwrap();
        let mut text = Vec::new();
        while let Some(data) = wait!(response.body.next_data()).unwrap() {
            text.extend_from_slice(&data);
        }
        assert_eq!((&text[..], response.body.trailers().unwrap().len()), (&b"abcde"[..], 1));
        drop(response);
        assert_eq!(wait!(wait!(connection.get("/")).unwrap().body.read_all(5)).unwrap(), "abcde");
    }
}

case! {
    fn a_large_chunk_is_whole_or_an_error() {
        let (_server, mut connection) = connect!(Kind::Path, |wire| {
            wire.head();
            wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n30d40;n=1\r\n");
            wire.send(&"x".repeat(200_000));
            wire.send("\r\n30d40;n=2\r\n");
            wire.send(&"x".repeat(199_999));
        });
        let mut response = wait!(connection.get("/")).unwrap();
        let chunk = wait!(response.body.next_chunk()).unwrap().unwrap();
        assert_eq!((chunk.data.len(), chunk.extension("n").as_deref()), (200_000, Some("1")));
        let error = wait!(response.body.next_chunk()).unwrap_err();
        assert_eq!(error.remote().unwrap().fault, Fault::TruncatedBody);
        drop(response);
        assert!(connection.is_closed());
    }
}

case! {
    fn a_chunk_goes_on_where_data_ended() {
        let (_server, mut connection) = connect!(Kind::Path, |wire| {
            wire.head();
            wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n30d40;n=1\r\n");
            wire.send(&"x".repeat(200_000));
            wire.send("\r\n1;n=2\r\nx\r\n0\r\n\r\n");
        });
        let mut response = wait!(connection.get("/")).unwrap();
        let first = wait!(response.body.next_data()).unwrap().unwrap().len();
        let rest = wait!(response.body.next_chunk()).unwrap().unwrap();
        assert_eq!((first + rest.data.len(), rest.extension("n")), (200_000, None));
        assert_eq!(wait!(response.body.next_chunk()).unwrap().unwrap().extension("n").as_deref(), Some("2"));
        assert!(wait!(response.body.next_chunk()).unwrap().is_none());
        drop(response);
        assert!(!connection.is_closed());
    }
}

case! {
    fn truncated_responses_are_errors() {
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        for (response, fault) in [
            (String::new(), Fault::NoResponse),
            ("HTTP/1.1 2".into(), Fault::TruncatedHead),
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n".into(), Fault::TruncatedHead),
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab".into(), Fault::TruncatedBody),
            (format!("{chunked}3"), Fault::TruncatedBody),
            (format!("{chunked}3\r\nab"), Fault::TruncatedBody),
            (format!("{chunked}3\r\nabc"), Fault::TruncatedBody),
            (format!("{chunked}3\r\nabc\r\n"), Fault::TruncatedBody),
            (format!("{chunked}3\r\nabc\r\n0\r\n"), Fault::TruncatedBody),
            (format!("{chunked}3\r\nabc\r\n0\r\na: b\r\n"), Fault::TruncatedBody),
        ] {
            let (_server, mut connection) = connect!(Kind::Path, move |wire| {
                wire.head();
                wire.send(&response);
            });
            let error = match wait!(connection.get("/")) {
                Ok(mut response) => wait!(response.body.read_all(100)).unwrap_err(),
                Err(error) => error,
            };
            assert_eq!(error.remote().unwrap().fault, fault);
            assert_eq!(error.is_retryable(), fault == Fault::NoResponse);
            assert!(connection.is_closed());
        }
    }
}

case! {
    fn a_request_that_may_have_been_acted_on_is_not_to_be_repeated() {
        let (_server, mut connection) = connect!(Kind::Path, |wire| {
            wire.head();
        });
        let error = wait!(connection.post("/", ())).unwrap_err();
        assert_eq!(error.remote().unwrap().fault, Fault::NoResponse);
        assert!(!error.is_retryable() && connection.is_closed());
        let error = wait!(connection.post("/", ())).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Closed) && error.is_retryable(), "nothing was sent: {error}");
    }
}

case! {
    fn bodies_that_are_dropped() {
        let (_server, mut connection) = connect!(Kind::Path, |wire| {
            wire.head();
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
            wire.head();
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello");
            wire.expect_end();
        });
        assert_eq!(wait!(connection.get("/")).unwrap().status, 200);
        assert!(!connection.is_closed(), "all of it was here");
        assert_eq!(wait!(connection.get("/")).unwrap().status, 200);
        assert!(connection.is_closed());
    }
}

case! {
    fn the_last_exchange_of_a_connection() {
        for last in [
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
            "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\n\r\nok",
        ] {
            let (_server, mut connection) = connect!(Kind::V4, move |wire| {
                wire.head();
                wire.send(last);
            });
            assert_eq!(wait!(wait!(connection.get("/")).unwrap().body.read_all(2)).unwrap(), "ok");
            assert!(connection.is_closed());
        }
        let (_server, mut connection) = connect!(Kind::V4, |wire| {
            wire.expect("GET / HTTP/1.1\r\n");
            assert!(wire.head().ends_with("connection: close\r\n\r\n"));
            wire.send("HTTP/1.1 204 No Content\r\n\r\n");
            wire.expect_end();
        });
        let mut asked = wait!(connection.request(Method::Get, "/", [("connection", "close")], ())).unwrap();
        assert_eq!(wait!(asked.body.read_all(0)).unwrap(), "");
        assert!(connection.is_closed());
    }
}

case! {
    fn interim_responses_are_read_over() {
        let (_server, mut connection) = connect!(Kind::Path, |wire| {
            wire.head();
            wire.send("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
            wire.send("HTTP/1.1 204 No Content\r\n\r\n");
            wire.head();
            wire.send("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n");
            wire.expect_end();
        });
        assert_eq!(wait!(connection.get("/")).unwrap().status, 204);
        let error = wait!(connection.get("/")).unwrap_err();
        assert_eq!(error.remote().unwrap().fault, Fault::UnexpectedUpgrade);
    }
}

case! {
    fn limits_of_a_body() {
        let (_server, mut connection) = connect!(Kind::Path, |wire| {
            wire.head();
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n");
            wire.expect_end();
        });
        let error = wait!(wait!(connection.get("/")).unwrap().body.read_all(5)).unwrap_err();
        assert_eq!(error.remote().unwrap().fault, Fault::BodyTooLarge);
        assert!(connection.is_closed());
        let (_server, mut connection) = connect!(Kind::Path, |wire| {
            wire.head();
            wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n");
            wire.expect_end();
        });
        let error = wait!(wait!(connection.get("/")).unwrap().body.read_all(5)).unwrap_err();
        assert_eq!(error.remote().unwrap().fault, Fault::BodyTooLarge);
        assert!(connection.is_closed());
    }
}

case! {
    fn a_request_that_is_refused_here_costs_nothing() {
        use LocalError::{BodyNotAllowed, ContentLength, FieldName, FieldNotAllowed, FieldRepeated, FieldValue, HeadTooLarge};
        let long = "x".repeat(70_000);
        let cases: [(_, _, &[(&str, &str)], _, _, _); 16] = [
            (Method::Get, "/a b", &[("a", "1")], "", LocalError::Target, None),
            (Method::Extension("A B"), "/", &[("a", "1")], "", LocalError::Method, None),
            (Method::Trace, "/", &[], "body", BodyNotAllowed, None),
            (Method::Get, "/", &[("a", "1"), ("b", "1\nc: 2")], "", FieldValue, Some("b")),
            (Method::Get, "/", &[("b", "1\r\nc: 2")], "", FieldValue, Some("b")),
            (Method::Get, "/", &[("b", "\0")], "", FieldValue, Some("b")),
            (Method::Get, "/", &[("b", " 1")], "", FieldValue, Some("b")),
            (Method::Get, "/", &[("a b", "1")], "", FieldName, Some("a b")),
            (Method::Get, "/", &[("a", &long)], "", HeadTooLarge, Some("a")),
            (Method::Get, "/", &[("a", "1"), ("host", "a/b")], "", FieldValue, Some("host")),
            (Method::Get, "/", &[("a", "1"), ("connection", "upgrade")], "", FieldNotAllowed, Some("connection")),
            (Method::Get, "/", &[("upgrade", "tcp")], "", FieldNotAllowed, Some("upgrade")),
            (Method::Put, "/", &[("transfer-encoding", "chunked")], "body", FieldNotAllowed, Some("transfer-encoding")),
            (Method::Put, "/", &[("content-length", "5")], "body", ContentLength, Some("content-length")),
            (Method::Post, "/", &[("content-length", "0"), ("connection", "te")], "", FieldNotAllowed, Some("connection")),
            (Method::Get, "/", &[("range", "a"), ("Range", "a")], "", FieldRepeated, Some("Range")),
        ];
        for kind in KINDS {
            let (_server, mut connection) = connect!(kind, |wire| {
                for _ in 0..2 {
                    assert!(wire.head().starts_with("GET /good HTTP/1.1\r\n"), "nothing of the others is sent");
                    wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
                }
                wire.expect_end();
            });
            // On a new connection, and on a used connection.
            for _ in 0..2 {
                for (method, uri, headers, body, rule, field) in cases {
                    let error = match body {
                        "" => wait!(connection.request(method, uri, headers, ())).unwrap_err(),
                        body => wait!(connection.request(method, uri, headers, body)).unwrap_err(),
                    };
                    assert_eq!((error.local(), error.field()), (Some(rule), field));
                    assert!(!error.is_retryable() && !connection.is_closed());
                    let named = field.map_or(String::new(), |name| format!("field {name:?}: "));
                    let text = format!("the request cannot be sent: {named}{rule}, before the request was sent");
                    assert_eq!(error.to_string(), text);
                }
                assert_eq!(wait!(wait!(connection.get("/good")).unwrap().body.read_all(2)).unwrap(), "ok");
            }
        }
    }
}

case! {
    fn a_host_of_the_options_that_is_none_is_named() {
        let server = Server::once(Kind::Path, |wire| wire.expect_end());
        let client = Client::options().host("a b").client(&server.address);
        let mut connection = wait!(client.connect()).unwrap();
        let error = wait!(connection.get("/")).unwrap_err();
        assert_eq!((error.local(), error.field()), (Some(LocalError::FieldValue), Some("host")));
        assert!(!connection.is_closed());
    }
}

case! {
    fn deadlines() {
        let short = Some(Duration::from_millis(20));
        let server = Server::new(Kind::Path, |accept| {
            let mut wire = accept.next();
            wire.head();
            wire.try_send("HTTP/1.1 200");
            wire.expect_end();
            let mut wire = accept.next();
            wire.head();
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na");
            wire.expect_end();
            // Nothing is taken of the body, until the client is gone.
            let mut wire = accept.next();
            wire.head();
            accept.next();
        });
        let client = Client::options().head_timeout(short).client(&server.address);
        let mut connection = wait!(client.connect()).unwrap();
        let error = wait!(connection.get("/")).unwrap_err();
        assert_eq!(error.timeout(), short.map(Timeout::Head));
        assert!(connection.is_closed());
        let client = Client::options().body_timeout(short).client(&server.address);
        let mut connection = wait!(client.connect()).unwrap();
        let error = wait!(wait!(connection.get("/")).unwrap().body.read_all(3)).unwrap_err();
        assert_eq!(error.timeout(), short.map(Timeout::Body));
        assert!(connection.is_closed());
        let mut connection = wait!(client.connect()).unwrap();
        let error = wait!(connection.put("/", bytes(64 << 20))).unwrap_err();
        assert_eq!(error.timeout(), short.map(Timeout::Body));
        assert!(connection.is_closed());
        wait!(client.connect()).unwrap();
    }
}

case! {
    fn a_head_has_its_time_where_it_is_looked_for_much_longer() {
        let server = Server::once(Kind::V6, |wire| {
            wire.head();
            // If the client is still connected after 2 s, the server answers, and the test fails. A pause of the
            // machine can use up one of the 20 waits, but not all.
            if !(0..20).any(|_| wire.ends_within(Duration::from_millis(100))) {
                wire.send("HTTP/1.1 204 No Content\r\n\r\n");
            }
        });
        let short = Some(Duration::from_millis(20));
        let spin = degu_client::Spin::Fixed(Duration::from_secs(4));
        let client = Client::options().head_timeout(short).spin(spin).client(&server.address);
        let mut connection = wait!(client.connect()).unwrap();
        let error = wait!(connection.get("/")).unwrap_err();
        assert_eq!(error.timeout(), short.map(Timeout::Head));
        assert!(connection.is_closed());
    }
}

case! {
    fn an_error_status_ends_the_sending() {
        for kind in [Kind::V6, Kind::Path] {
            let (_server, mut connection) = connect!(kind, |wire| {
                wire.head();
                wire.send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig");
                wire.expect_end();
            });
            let mut response = wait!(connection.put("/", bytes(1 << 40))).unwrap();
            assert_eq!(response.status, 413);
            assert_eq!(wait!(response.body.read_all(3)).unwrap(), "big");
            assert!(connection.is_closed());
        }
    }
}

case! {
    fn an_error_status_ends_the_sending_of_bytes_at_hand() {
        let server = Server::new(Kind::Path, |accept| {
            let mut wire = accept.next();
            wire.head();
            wire.send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig");
            // Nothing is taken of the body, until the client is done with it.
            accept.next();
        });
        let client = Client::options().body_timeout(Duration::from_secs(10)).client(&server.address);
        let mut connection = wait!(client.connect()).unwrap();
        let mut response = wait!(connection.put("/", vec![0; 16 << 20])).unwrap();
        assert_eq!(response.status, 413);
        assert_eq!(wait!(response.body.read_all(3)).unwrap(), "big");
        assert!(connection.is_closed());
        wait!(client.connect()).unwrap();
    }
}

case! {
    fn an_untaken_request_is_timed_out_although_it_was_answered() {
        let server = Server::new(Kind::Path, |accept| {
            let mut wire = accept.next();
            wire.head();
            wire.try_send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            accept.next();
        });
        let short = Some(Duration::from_millis(20));
        let client = Client::options().body_timeout(short).client(&server.address);
        let mut connection = wait!(client.connect()).unwrap();
        let error = match wait!(connection.put("/", bytes(64 << 20))) {
            Ok(mut response) => wait!(response.body.read_all(2)).unwrap_err(),
            // The response was late.
            Err(error) => error,
        };
        assert_eq!(error.timeout(), short.map(Timeout::Body));
        assert!(connection.is_closed());
        wait!(client.connect()).unwrap();
    }
}

case! {
    fn a_body_goes_on_being_sent_after_the_response_has_come() {
        const LENGTH: u64 = 3 << 20;
        let (_server, mut connection) = connect!(Kind::Path, |wire| {
            wire.head();
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            let mut body = vec![0; LENGTH as usize];
            wire.read_exact(&mut body).unwrap();
            wire.head();
            wire.send("HTTP/1.1 204 No Content\r\n\r\n");
        });
        let mut response = wait!(connection.put("/", bytes(LENGTH))).unwrap();
        assert_eq!(wait!(response.body.read_all(2)).unwrap(), "ok");
        assert!(!connection.is_closed());
        assert_eq!(wait!(connection.get("/")).unwrap().status, 204);
    }
}

case! {
    fn full_duplex() {
        const LENGTH: u64 = 64 << 20;
        for kind in [Kind::V4, Kind::Path] {
            let (_server, mut connection) = connect!(kind, |wire| {
                wire.head();
                wire.send(&format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n"));
                let mut from = wire.try_clone().take(LENGTH);
                std::io::copy(&mut from, wire).unwrap();
                wire.flush().unwrap();
                wire.expect_end();
            });
            let mut response = wait!(connection.post("/", bytes(LENGTH))).unwrap();
            let mut total = 0;
            while let Some(data) = wait!(response.body.next_data()).unwrap() {
                total += data.len() as u64;
            }
            assert_eq!(total, LENGTH);
            drop(response);
            assert!(!connection.is_closed());
        }
    }
}

case! {
    fn a_body_that_waits_for_the_servers_word() {
        let (_server, mut connection) = connect!(Kind::Path, |wire| {
            let expects = "PUT / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
            wire.expect(expects);
            wire.send("HTTP/1.1 100 Continue\r\n\r\n");
            wire.expect("abc");
            wire.send("HTTP/1.1 204 No Content\r\n\r\n");
            // Without the word it comes after a while.
            wire.expect(expects);
            wire.expect("abc");
            wire.send("HTTP/1.1 204 No Content\r\n\r\n");
            wire.expect(expects);
            wire.send("HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n");
            assert!(matches!(wire.read(&mut [0]), Ok(0) | Err(_)), "no body");
        });
        let expect = [("expect", "100-continue")];
        assert_eq!(wait!(connection.request(Method::Put, "/", expect, "abc")).unwrap().status, 204);
        assert_eq!(wait!(connection.request(Method::Put, "/", expect, "abc")).unwrap().status, 204);
        assert_eq!(wait!(connection.request(Method::Put, "/", expect, "abc")).unwrap().status, 417);
        assert!(connection.is_closed());
    }
}

case! {
    fn parts_of_what_is_there() {
        for (said, expected) in [
            ("206 P\r\ncontent-range: bytes 2-4/9\r\ncontent-length: 3\r\n\r\ncde", Ok((206, "cde"))),
            ("206 P\r\ncontent-range: bytes 2-3/9\r\ncontent-length: 2\r\n\r\ncd", Ok((206, "cd"))),
            ("200 OK\r\ncontent-length: 9\r\n\r\nabcdefghi", Ok((200, "abcdefghi"))),
            ("416 No\r\ncontent-range: bytes */1\r\ncontent-length: 0\r\n\r\n", Ok((416, ""))),
            ("206 P\r\ncontent-range: bytes 2-4/9\r\ncontent-length: 2\r\n\r\ncd", Err(Fault::ContentRange)),
            ("206 P\r\ncontent-range: bytes 1-3/9\r\ncontent-length: 3\r\n\r\nbcd", Err(Fault::ContentRange)),
            ("206 P\r\ncontent-range: bytes 2-5/9\r\ncontent-length: 4\r\n\r\ncdef", Err(Fault::ContentRange)),
        ] {
            let (_server, mut connection) = connect!(Kind::Path, move |wire| {
                wire.expect("GET / HTTP/1.1\r\nhost: localhost\r\nrange: bytes=2-4\r\n\r\n");
                wire.send(&format!("HTTP/1.1 {said}"));
                wire.expect_end();
            });
            let found = match wait!(connection.get_range("/", ByteRange::new(2, 5).unwrap())) {
                Ok(mut response) => {
                    if response.status == 206 {
                        assert_eq!(response.content_range().and_then(ContentRange::total), Some(9));
                    }
                    Ok((response.status, wait!(response.body.read_all(9)).unwrap()))
                }
                Err(error) => Err(error.remote().unwrap().fault),
            };
            assert_eq!(found, expected.map(|(status, text)| (status, text.into())));
            assert_eq!(connection.is_closed(), expected.is_err());
        }
        let (_server, mut connection) = connect!(Kind::Path, |wire| {
            wire.head();
            wire.send("HTTP/1.1 206 P\r\ncontent-range: bytes 2-4/9\r\ncontent-length: 3\r\n\r\ncde");
            wire.expect_end();
        });
        assert_eq!(wait!(connection.get("/")).unwrap_err().remote().unwrap().fault, Fault::UnexpectedPartial);
    }
}

case! {
    fn a_body_that_failed_has_no_end() {
        let (_server, mut connection) = connect!(Kind::Path, |wire| {
            wire.head();
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab");
        });
        let mut response = wait!(connection.get("/")).unwrap();
        assert_eq!(wait!(response.body.next_data()).unwrap().unwrap(), "ab");
        assert_eq!(wait!(response.body.next_data()).unwrap_err().remote().unwrap().fault, Fault::TruncatedBody);
        assert!(matches!(wait!(response.body.next_data()).unwrap_err().kind(), ErrorKind::Closed));
        assert!(matches!(wait!(response.body.next_part()).unwrap_err().kind(), ErrorKind::Closed));
    }
}

case! {
    fn parts_as_they_come() {
        let (_server, mut connection) = connect!(Kind::Path, |wire| {
            wire.head();
            wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a\r\nab\r\n0\r\nx: y\r\n\r\n");
            wire.expect_end();
        });
        let mut response = wait!(connection.get("/")).unwrap();
        let Some(Part::Chunk { size: 2, extensions, data }) = wait!(response.body.next_part()).unwrap() else { panic!() };
        assert_eq!((extensions.get("a").as_deref(), &data[..]), (Some(""), &b"ab"[..]));
        let Some(Part::Last { trailers, .. }) = wait!(response.body.next_part()).unwrap() else { panic!() };
        assert_eq!(trailers.get("x"), Some("y"));
        assert!(wait!(response.body.next_part()).unwrap().is_none());
        assert_eq!(response.body.trailers(), Some(&trailers));
    }
}
