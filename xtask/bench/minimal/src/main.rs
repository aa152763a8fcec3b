//! Either a server that answers every GET with `hello, world`, or a client that sends such a request and prints the
//! response. The feature of the build selects the side and the library.

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const ADDRESS: &str = "127.0.0.1:8080";

#[cfg(feature = "server-degu")]
fn main() -> Result {
    use degu_server::{Request, Response, Server, Session};
    async fn app(_: &mut Session, _: Request<'_>) -> Response {
        (200, "hello, world").into()
    }
    Server::bind(ADDRESS.parse::<degu_server::Address>()?, app)?.serve_forever()?;
    Ok(())
}

#[cfg(feature = "server-hyper")]
fn main() -> Result {
    use http_body_util::Full;
    use hyper::body::{Bytes, Incoming};
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    let app = async |_: Request<Incoming>| Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from("hello, world"))));
    block_on(async {
        let listener = tokio::net::TcpListener::bind(ADDRESS).await?;
        loop {
            let stream = hyper_util::rt::TokioIo::new(listener.accept().await?.0);
            tokio::spawn(http1::Builder::new().serve_connection(stream, service_fn(app)));
        }
    })
}

#[cfg(feature = "server-axum")]
fn main() -> Result {
    let app = axum::Router::new().fallback(async || "hello, world");
    block_on(async { Ok(axum::serve(tokio::net::TcpListener::bind(ADDRESS).await?, app).await?) })
}

#[cfg(feature = "server-tiny_http")]
fn main() -> Result {
    for request in tiny_http::Server::http(ADDRESS)?.incoming_requests() {
        request.respond(tiny_http::Response::from_string("hello, world"))?;
    }
    Ok(())
}

#[cfg(feature = "client-degu-blocking")]
fn main() -> Result {
    let client = degu_client::blocking::Client::new(ADDRESS.parse::<degu_client::Address>()?);
    show(&client.connect()?.get("/")?.body.read_all(1024)?)
}

#[cfg(feature = "client-degu")]
fn main() -> Result {
    let client = degu_client::Client::new(ADDRESS.parse::<degu_client::Address>()?);
    block_on(async { show(&client.connect().await?.get("/").await?.body.read_all(1024).await?) })
}

#[cfg(feature = "client-hyper")]
fn main() -> Result {
    use http_body_util::{BodyExt, Empty};
    use hyper::body::Bytes;
    block_on(async {
        let stream = hyper_util::rt::TokioIo::new(tokio::net::TcpStream::connect(ADDRESS).await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        tokio::spawn(connection);
        let request = hyper::Request::get("/").header("host", ADDRESS).body(Empty::<Bytes>::new())?;
        show(&sender.send_request(request).await?.into_body().collect().await?.to_bytes())
    })
}

#[cfg(feature = "client-reqwest")]
fn main() -> Result {
    block_on(async { show(&reqwest::get(format!("http://{ADDRESS}/")).await?.bytes().await?) })
}

#[cfg(feature = "client-ureq")]
fn main() -> Result {
    show(&ureq::get(format!("http://{ADDRESS}/")).call()?.body_mut().read_to_vec()?)
}

#[allow(dead_code, reason = "the servers do not use it")]
fn show(body: &[u8]) -> Result {
    println!("{}", std::str::from_utf8(body)?);
    Ok(())
}

/// Runs a future on tokio's current-thread runtime.
#[cfg(feature = "tokio")]
fn block_on<F: Future<Output = Result>>(main: F) -> Result {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(main)
}
