//! Remote procedure calls over a Unix socket. tonic makes unary calls with protobuf over HTTP/2, and tarpc makes calls
//! with bincode.

use std::path::Path;

use futures_util::StreamExt;
use tarpc::client::Config;
use tarpc::context::{self, Context};
use tarpc::serde_transport::unix;
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::codegen::Bytes;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};

use super::socket_path;
use crate::Result;
use crate::blocking_socket::listen;
use crate::contestants::{Ready, Trips, calls};
use crate::ends::End;

mod generated {
    include!(concat!(env!("OUT_DIR"), "/bench.Echo.rs"));
}

use generated::echo_client::EchoClient;
use generated::echo_server::{Echo, EchoServer};

/// The content of a POST request, or of its response, which has only a body.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Reading {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(string, tag = "2")]
    trace: String,
    #[prost(bytes = "bytes", tag = "3")]
    body: Bytes,
}

#[derive(Clone)]
struct Service;

#[tonic::async_trait]
impl Echo for Service {
    async fn echo(&self, request: Request<Reading>) -> std::result::Result<Response<Reading>, Status> {
        Ok(Response::new(Reading { body: request.into_inner().body, ..Reading::default() }))
    }
}

#[tarpc::service]
trait Call {
    async fn echo(path: String, trace: String, body: Vec<u8>) -> Vec<u8>;
}

impl Call for Service {
    async fn echo(self, _: Context, _: String, _: String, body: Vec<u8>) -> Vec<u8> {
        body
    }
}

fn path(end: &End) -> Result<&Path> {
    Ok(Path::new(socket_path(end).ok_or("tonic and tarpc are measured only over Unix sockets with a path")?))
}

pub(super) fn serve_tonic(end: &End, ready: &mut Ready<'_>) -> Result {
    let (listener, bound) = listen(&end.address)?;
    listener.set_nonblocking(true)?;
    end.runtime(true)?.block_on(async {
        let incoming = UnixListenerStream::new(UnixListener::from_std(listener.into())?);
        ready(bound)?;
        Server::builder().add_service(EchoServer::new(Service)).serve_with_incoming(incoming).await?;
        Err("the server ended".into())
    })
}

pub(super) fn tonic(end: &End) -> Result<Trips> {
    let (endpoint, runtime) = (Endpoint::from_shared(format!("unix://{}", path(end)?.display()))?, end.runtime(true)?);
    let mut client = EchoClient::new(runtime.block_on(endpoint.connect())?);
    Ok(calls(runtime, async move |post| {
        let (path, trace) = (post.path.clone(), post.trace.clone());
        let answer = client.echo(Reading { path, trace, body: Bytes::from_static(&post.body) }).await?;
        Ok((200, answer.into_inner().body.len()))
    }))
}

pub(super) fn serve_tarpc(end: &End, ready: &mut Ready<'_>) -> Result {
    end.runtime(true)?.block_on(async {
        let mut incoming = unix::listen(path(end)?, Bincode::default).await?;
        ready(end.address.clone())?;
        while let Some(transport) = incoming.next().await {
            let answers = BaseChannel::with_defaults(transport?).execute(Service.serve());
            tokio::spawn(answers.for_each(async |answer| drop(tokio::spawn(answer))));
        }
        Err("the server ended".into())
    })
}

pub(super) fn tarpc(end: &End) -> Result<Trips> {
    let runtime = end.runtime(true)?;
    let client = runtime.block_on(async {
        let transport = unix::connect(path(end)?, Bincode::default).await?;
        Result::Ok(CallClient::new(Config::default(), transport).spawn())
    })?;
    Ok(calls(runtime, async move |post| {
        let (path, trace, body) = (post.path.clone(), post.trace.clone(), post.body.clone());
        Ok((200, client.echo(context::current(), path, trace, body).await?.len()))
    }))
}
