// One suite for both drivers: values that a body is made from.

case! {
    fn json_is_sent_with_its_content_type_unless_there_is_one() {
        let server = Server::once(Kind::Path, |wire| {
            for (line, kind) in [("POST /", "json"), ("POST /", "json"), ("PATCH /1", "merge-patch+json")] {
                wire.expect(&format!(
                    "{line} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/{kind}\r\n\
                     content-length: 10\r\n\r\n[\"milk\",2]"
                ));
                wire.send("HTTP/1.1 204 No Content\r\n\r\n");
            }
            wire.expect_end();
        });
        let milk = Json(("milk", 2));
        let mut connection = wait!(Client::new(&server.address).connect()).unwrap();
        wait!(connection.post("/", milk)).unwrap();
        wait!(connection.post("/", Json(&milk.0))).unwrap();
        let patch = [("content-type", "application/merge-patch+json")];
        wait!(connection.request(Method::Patch, "/1", patch, milk)).unwrap();
        drop(connection);

        // A field of the options is one of the message.
        let server = Server::once(Kind::Path, |wire| {
            wire.expect(
                "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/problem+json\r\n\
                 content-length: 10\r\n\r\n[\"milk\",2]",
            );
            wire.send("HTTP/1.1 204 No Content\r\n\r\n");
        });
        let options = Client::options().header("content-type", "application/problem+json").unwrap();
        let mut connection = wait!(options.client(&server.address).connect()).unwrap();
        wait!(connection.post("/", milk)).unwrap();
    }
}

case! {
    fn a_value_that_is_no_json_is_refused_before_any_write() {
        let (_server, mut connection) = connect!(Kind::Path, |wire| {
            wire.expect("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
            wire.send("HTTP/1.1 204 No Content\r\n\r\n");
            wire.expect_end();
        });
        let odd = std::collections::BTreeMap::from([([1, 2], "a pair")]);
        let error = wait!(connection.post("/", Json(odd))).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Body(_)) && !error.is_retryable() && !connection.is_closed());
        assert_eq!(
            error.to_string(),
            "the body of the request cannot be produced: key must be a string, before the request was sent"
        );
        assert_eq!(wait!(connection.get("/")).unwrap().status, 204);
    }
}

case! {
    fn json_of_a_response_without_a_body_says_so() {
        let (_server, mut connection) = connect!(Kind::Path, |wire| {
            for response in [
                "204 No Content\r\n\r\n",
                "200 OK\r\ncontent-type: application/json\r\ncontent-length: 0\r\n\r\n",
                "200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
                "200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
            ] {
                wire.head();
                wire.send(&format!("HTTP/1.1 {response}"));
            }
        });
        for expected in [
            "the response has no body (status 204)",
            "the response has no body (status 200)",
            "no data is left to parse: the body is empty, or has been read",
            "JSON that does not have the expected fields and types at line 1, column 0: expected a sequence",
        ] {
            let error = wait!(wait!(connection.get("/")).unwrap().body.json::<Vec<u8>>(9)).unwrap_err();
            let text = "the body of the response is not as expected";
            assert_eq!(error.to_string(), format!("{text}: {expected}, while reading the body of the response"));
            assert!(matches!(error.kind(), ErrorKind::Content(_)) && !connection.is_closed());
        }
    }
}

case! {
    fn a_status_that_is_an_error_has_the_detail_of_a_problem() {
        let long = "e".repeat(300);
        let problems = [
            ("{\n\"title\": \"No credit\",\n\"detail\": \"30 are\\nmissing\"}", "30 are\nmissing"),
            ("{\"detail\": 7, \"title\": \"No credit\"}", "No credit"),
            ("{\"status\": 403}\nmore", "{\"status\": 403}"),
            (&*format!("{{\"detail\": \"{long}\"}}"), &long[..200]),
        ];
        let sent = problems.map(|(body, _)| body.to_owned());
        let (_server, mut connection) = connect!(Kind::Path, move |wire| {
            for body in sent {
                wire.head();
                let kind = "content-type: Application/Problem+JSON; charset=utf-8";
                wire.send(&format!("HTTP/1.1 403 X\r\n{kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
            }
        });
        for (body, summary) in problems {
            let error = wait!(wait!(connection.get("/")).unwrap().success()).unwrap_err();
            assert_eq!(error.text(), Some(body));
            assert_eq!(error.to_string(), format!("the server answered 403 Forbidden: {summary:?}"));
        }
    }
}
