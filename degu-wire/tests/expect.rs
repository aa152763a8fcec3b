//! A client that waits for `100 Continue` before it sends a body.

use std::task::Poll;

use degu_wire::machine::{Client, Connection, Content};
use degu_wire::{Headers, Limits, LocalError, Method, Part};

/// A client that has sent the head of a request with `expect: 100-continue`.
fn waiting() -> Result<Connection<Client>, LocalError> {
    let mut client = Connection::<Client>::new(Limits::default());
    let headers = Headers::try_from([("expect", "100-continue")])?;
    client.request(Method::Put, "/", "localhost", &headers, Content::Length(3))?;
    assert!(client.is_sending() && !client.may_send_body());
    Ok(client)
}

#[test]
fn the_word_comes() {
    let mut client = waiting().unwrap();
    client.receive_buffer().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    assert!(client.poll_response().unwrap().is_pending());
    assert!(client.may_send_body());
}

#[test]
fn the_word_does_not_come() {
    let mut client = waiting().unwrap();
    client.send_body_anyway();
    assert!(client.may_send_body());
    client.send_part(Part::Data("abc".into())).unwrap();
    client.receive_buffer().extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let Poll::Ready(response) = client.poll_response().unwrap() else { panic!("the head is there") };
    assert!(!client.stops_sending(&response));
}

#[test]
fn body_sent_without_100_continue_goes_on_after_the_response() {
    let mut client = waiting().unwrap();
    client.send_body_anyway();
    client.receive_buffer().extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let Poll::Ready(response) = client.poll_response().unwrap() else { panic!("the head is there") };
    assert!(!client.stops_sending(&response));

    let mut client = waiting().unwrap();
    client.receive_buffer().extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let Poll::Ready(response) = client.poll_response().unwrap() else { panic!("the head is there") };
    assert!(client.stops_sending(&response), "it did not begin");
}
