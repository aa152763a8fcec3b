//! A change feed: `changes serve ADDRESS` publishes the lines of stdin, `changes follow ADDRESS` prints them and resumes.
//! Every document is one chunk; the extension `seq` is the state of the feed after it.
use degu_client::blocking::Client;
use degu_server::{Address, Body, BoxError, Chunk, Request, Response, Server, Session};
use std::{io, thread, time::Duration};
use tokio::sync::watch;

fn serve(address: Address) -> Result<(), BoxError> {
    let (log, feed) = watch::channel(Vec::<String>::new());
    thread::spawn(move || {
        io::stdin().lines().map_while(Result::ok).for_each(|line| log.send_modify(|all| all.push(line)))
    });
    let app = async move |_: &mut Session, request: Request<'_>| {
        let Ok(since) = request.query_value("since").as_deref().unwrap_or("0").parse::<usize>() else {
            return Response::from((400, "since: a number\n"));
        };
        let documents = Body::try_unfold((feed.clone(), since), |(mut feed, seq)| async move {
            let document = feed.wait_for(|log| log.len() > seq).await.ok().map(|log| log[seq].clone());
            Ok(document.map(|document| (Chunk::new(document).with_extension("seq", seq + 1), (feed, seq + 1))))
        });
        (200, documents).into()
    };
    Ok(Server::bind(address, app)?.serve_forever()?)
}

/// Returns when the feed ends; every error leaves `seen` at the last whole document.
fn follow(client: &Client, seen: &mut u64) -> Result<(), BoxError> {
    let mut connection = client.connect()?;
    let mut response = connection.get(&format!("/changes?since={seen}"))?;
    while let Some(chunk) = response.body.next_chunk()? {
        println!("{}", String::from_utf8_lossy(&chunk.data));
        *seen = chunk.extension("seq").ok_or("a change without its seq")?.parse()?;
    }
    Ok(())
}

fn main() -> Result<(), BoxError> {
    let mut args = std::env::args().skip(1);
    let (Some(role), Some(address)) = (args.next(), args.next()) else {
        return Err("usage: changes serve|follow ADDRESS".into());
    };
    if role == "serve" {
        return serve(address.parse()?);
    }
    let client = Client::options().body_timeout(None).client(address.parse::<Address>()?);
    let mut seen = 0;
    loop {
        if let Err(error) = follow(&client, &mut seen) {
            eprintln!("after {seen}: {error}; trying again");
        }
        thread::sleep(Duration::from_secs(1));
    }
}
