//! Codecs on one core, without sockets: Degu's codec and httparse. The suite measures times and, if valgrind is installed,
//! instructions.
//!
//! Both codecs do the same work. Each run parses another message, except in the task with a browser's request, which parses
//! the same request in each run. Each run checks the length of the parsed head.

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::time::Duration;

use degu_wire::Limits;
use degu_wire::head::{self, FieldSpan};

use super::counts::{COUNTERS, count_per_trip};
use super::each;
use crate::Result;
use crate::contestants::Trips;
use crate::machine;
use crate::message::{GETS, POSTS};
use crate::plan::{self, Condition};
use crate::report::{Report, Unit};
use crate::stage::{End, Stage, is_there};

const REQUEST: &str = "parse a request head";
const BROWSER: &str = "parse a browser's request head";
const RESPONSE: &str = "parse a response head";
const TASKS: [&str; 3] = [REQUEST, BROWSER, RESPONSE];

/// A browser's request with ten fields. Three of them are long.
const BROWSER_REQUEST: &[u8] = b"GET /plant/north/boiler-3/overview?range=24h&unit=celsius HTTP/1.1\r\n\
    Host: dashboard.example.net\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Language: de-CH,de;q=0.8,en-US;q=0.5,en;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://dashboard.example.net/plant/north/boiler-3/history?range=7d&unit=celsius\r\n\
    Cookie: session=4f1c09ab77d84e0c9b62e5d3a1807f6e; theme=dark; \
    panel=temperature%2Cpressure%2Cvalves; seen=1795340820; layout=grid-2x3; refresh=30; zoom=125\r\n\
    If-None-Match: \"b3-1795340817-48213\"\r\n\r\n";

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let conditions = TASKS.map(|task| Condition::new(task, ["degu", "httparse"], &["httparse"], task));
    let (rounds, time) = (stage.options.rounds(), stage.time(Duration::from_millis(100)));
    let cores = &machine::placements()?[0].client;
    let mut report = plan::run("wire", rounds, &conditions, &[("", Unit::Nanoseconds)], |task, contestant| {
        Ok(vec![each(stage.measure(&["codec", task, contestant], End { time, ..End::on(cores) })?)])
    });
    let [instructions, ..] = &COUNTERS;
    if is_there(instructions.tool) {
        report.add(plan::run("wire", 1, &conditions, &[("instructions", Unit::Count)], |task, contestant| {
            let run = |end: End<'_>| stage.measure(&["codec", task, contestant], End { cores, ..end }).map(drop);
            Ok(vec![count_per_trip(stage, instructions, run)?])
        }));
    } else {
        report.notes.push("instructions not counted, because valgrind is not installed".into());
    }
    report.about = format!("parsing of heads on one thread; {rounds} rounds of {} ms", time.as_millis());
    Ok(report)
}

/// Parses a message, and returns the length of its head. The slots are for Degu's parsers.
type Parse = fn(&mut [u8], &mut [FieldSpan; 16]) -> Result<usize>;

/// Prepares the contestant for this task, and runs it once as a check.
pub(crate) fn find(task: &str, contestant: &str) -> Result<Trips> {
    let parse: Parse = match (task, contestant) {
        (REQUEST | BROWSER, "degu") => degu_request,
        (REQUEST | BROWSER, "httparse") => httparse_request,
        (RESPONSE, "degu") => degu_response,
        (RESPONSE, "httparse") => httparse_response,
        _ => return Err(format!("no contestant {contestant} for the task {task:?}").into()),
    };
    // The messages are copied, because Degu's parser of responses may change its input.
    let mut messages: Vec<(Vec<u8>, usize)> = match task {
        REQUEST => GETS.iter().map(|get| (get.request.clone(), get.request.len())).collect(),
        BROWSER => vec![(BROWSER_REQUEST.to_vec(), BROWSER_REQUEST.len())],
        _ => POSTS.iter().map(|post| (post.response.clone(), post.response.len() - post.body.len())).collect(),
    };
    let mut slots = [FieldSpan::EMPTY; 16];
    let mut run = move |number| {
        let at = number % messages.len();
        let message: &mut (Vec<u8>, usize) = black_box(&mut messages[at]);
        if parse(&mut message.0, &mut slots)? == message.1 {
            return Ok(());
        }
        Err("the parser found a head of the wrong length".into())
    };
    run(0)?;
    Ok(Box::new(move |times| (0..times as usize).try_for_each(&mut run)))
}

fn degu_request(input: &mut [u8], slots: &mut [FieldSpan; 16]) -> Result<usize> {
    let head = head::parse_request(input, slots, &Limits::DEFAULT)?.ok_or("the head is incomplete")?;
    Ok(black_box(&head).head_len())
}

fn degu_response(input: &mut [u8], slots: &mut [FieldSpan; 16]) -> Result<usize> {
    let head = head::parse_response(input, slots, &Limits::DEFAULT)?.ok_or("the head is incomplete")?;
    Ok(black_box(&head).head_len())
}

fn httparse_request(input: &mut [u8], _: &mut [FieldSpan; 16]) -> Result<usize> {
    let mut headers = [MaybeUninit::uninit(); 16];
    let mut request = httparse::Request::new(&mut []);
    let status = request.parse_with_uninit_headers(input, &mut headers)?;
    black_box(&request);
    // A head that is incomplete is a mistake of the parser, because each message is whole.
    Ok(status.unwrap())
}

fn httparse_response(input: &mut [u8], _: &mut [FieldSpan; 16]) -> Result<usize> {
    let (config, mut headers) = (httparse::ParserConfig::default(), [MaybeUninit::uninit(); 16]);
    let mut response = httparse::Response::new(&mut []);
    let status = config.parse_response_with_uninit_headers(&mut response, input, &mut headers)?;
    black_box(&response);
    Ok(status.unwrap())
}
