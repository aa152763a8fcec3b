//! The program `device`, on picoserve.
#![no_std]
#![no_main]

use core::cell::Cell;

use cortex_m_rt::entry;
use degu_firmware::page::{self, Page};
use degu_firmware::{now, pico, run};
use heapless::Vec;
use picoserve::Router;
use picoserve::extract::FromRequest;
use picoserve::io::{Read, Write};
use picoserve::request::{ReadAllBodyError, RequestBody, RequestParts};
use picoserve::response::chunked::{ChunkWriter, ChunkedResponse, Chunks, ChunksWritten};
use picoserve::response::{Response, StatusCode};
use picoserve::routing::{get, post};

/// The length of an upload, in bytes.
struct Length(usize);

impl<'r> FromRequest<'r, ()> for Length {
    type Rejection = ReadAllBodyError;

    async fn from_request<R: Read>(
        (): &'r (),
        _: RequestParts<'r>,
        body: RequestBody<'r, R>,
    ) -> Result<Self, ReadAllBodyError> {
        let (mut length, mut piece, mut reader) = (0, [0; 64], body.reader());
        while let read @ 1.. = reader.read(&mut piece).await.map_err(|_| ReadAllBodyError::UnexpectedEof)? {
            length += read;
        }
        Ok(Self(length))
    }
}

/// A body of ten chunks.
struct Feed;

impl Chunks for Feed {
    fn content_type(&self) -> &'static str {
        "text/plain"
    }

    async fn write_chunks<W: Write>(self, mut chunks: ChunkWriter<W>) -> Result<ChunksWritten, W::Error> {
        for number in 0..10 {
            let mut page = Page::default();
            chunks.write_chunk(page.text("reading ").number(number).as_str().as_bytes()).await?;
        }
        chunks.finalize().await
    }
}

async fn serve(memory: &'static mut [u8]) {
    let (is_on, readings) = (Cell::new(false), Cell::new(0));
    let app = Router::new()
        .route(
            "/readings",
            get(async || {
                readings.set(readings.get() + 1);
                let mut page = Page::default();
                page.text("{\"milliseconds\":").number(now() as usize).text(",\"readings\":").number(readings.get());
                page.text("}");
                Response::new(StatusCode::OK, page.0).with_header("Content-Type", "application/json")
            }),
        )
        .route(
            "/switch",
            get(async || if is_on.get() { "on" } else { "off" }).put(async |text: Vec<u8, 8>| {
                is_on.set(match &*text {
                    b"on" => true,
                    b"off" => false,
                    _ => return (StatusCode::UNPROCESSABLE_ENTITY, "on or off"),
                });
                (StatusCode::NO_CONTENT, "")
            }),
        )
        .route("/feed", get(async || ChunkedResponse::new(Feed)))
        .route(
            "/upload",
            post(async |Length(length): Length| {
                let mut page = Page::default();
                page.number(length);
                page.0
            }),
        )
        .route("/figures", get(async || page::figures().0));
    pico::serve(&app, memory).await
}

#[entry]
fn main() -> ! {
    static mut MEMORY: [u8; 2048] = [0; 2048];
    run(serve(MEMORY))
}
