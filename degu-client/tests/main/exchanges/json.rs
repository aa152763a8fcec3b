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
    fn a_value_that_is_no_json_is_refused_before_anything_is_written() {
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
            "the body of the request failed: key must be a string, before or while sending the request"
        );
        assert_eq!(wait!(connection.get("/")).unwrap().status, 204);
    }
}
