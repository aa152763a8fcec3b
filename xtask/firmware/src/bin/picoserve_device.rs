//! The program `device`, on picoserve.
#![no_std]
#![no_main]

use core::cell::Cell;

use cortex_m_rt::entry;
use degu_firmware::page::{self, Page};
use degu_firmware::pico::{self, Text};
use degu_firmware::{now, run};
use picoserve::Router;
use picoserve::extract::FromRequest;
use picoserve::io::Read;
use picoserve::request::{ReadAllBodyError, Request, RequestBody, RequestParts};
use picoserve::response::chunked::{ChunkWriter, ChunkedResponse, Chunks, ChunksWritten};
use picoserve::response::{IntoResponse, Response, ResponseWriter, StatusCode};
use picoserve::routing::{RequestHandlerService, get, post_service};
use picoserve::{ResponseSent, io};

/// The position of the switch in a body. `None` if the body is neither `on` nor `off`.
struct Position(Option<bool>);

impl<'r> FromRequest<'r, ()> for Position {
    type Rejection = ReadAllBodyError;

    async fn from_request<R: Read>(
        (): &'r (),
        _: RequestParts<'r>,
        body: RequestBody<'r, R>,
    ) -> Result<Self, ReadAllBodyError> {
        Ok(Self(match &*body.read_all().await? {
            b"on" => Some(true),
            b"off" => Some(false),
            _ => None,
        }))
    }
}

/// A body of ten chunks.
struct Feed;

impl Chunks for Feed {
    fn content_type(&self) -> &'static str {
        "text/plain"
    }

    async fn write_chunks<W: io::Write>(self, mut chunks: ChunkWriter<W>) -> Result<ChunksWritten, W::Error> {
        for number in 0..10 {
            let mut page = Page::new();
            chunks.write_chunk(page.text("reading ").number(number).as_str().as_bytes()).await?;
        }
        chunks.finalize().await
    }
}

/// A handler that counts the bytes of an upload.
struct Upload;

impl RequestHandlerService for Upload {
    async fn call_request_handler_service<R: Read, W: ResponseWriter<Error = R::Error>>(
        &self,
        (): &(),
        (): (),
        mut request: Request<'_, R>,
        writer: W,
    ) -> Result<ResponseSent, W::Error> {
        let (mut length, mut piece) = (0, [0; 64]);
        let mut reader = request.body_connection.body().reader();
        while let read @ 1.. = reader.read(&mut piece).await? {
            length += read;
        }
        let mut page = Page::new();
        page.number(length);
        let connection = request.body_connection.finalize().await?;
        Text(page).write_to(connection, writer).await
    }
}

async fn serve(memory: &'static mut [u8]) {
    let (is_on, readings) = (Cell::new(false), Cell::new(0));
    let app = Router::new()
        .route(
            "/readings",
            get(async || {
                readings.set(readings.get() + 1);
                let mut page = Page::new();
                page.text("{\"milliseconds\":").number(now() as usize).text(",\"readings\":").number(readings.get());
                page.text("}");
                Response::new(StatusCode::OK, Text(page)).with_header("Content-Type", "application/json")
            }),
        )
        .route(
            "/switch",
            get(async || if is_on.get() { "on" } else { "off" }).put(async |Position(position): Position| {
                let Some(position) = position else { return (StatusCode::UNPROCESSABLE_ENTITY, "on or off") };
                is_on.set(position);
                (StatusCode::NO_CONTENT, "")
            }),
        )
        .route("/feed", get(async || ChunkedResponse::new(Feed)))
        .route("/upload", post_service(Upload))
        .route("/figures", get(async || Text(page::figures())));
    pico::serve(&app, memory).await
}

#[entry]
fn main() -> ! {
    static mut MEMORY: [u8; 2048] = [0; 2048];
    run(serve(MEMORY))
}
