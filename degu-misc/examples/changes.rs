//! A change feed: `changes serve ADDRESS` publishes the lines of stdin. `changes follow ADDRESS` prints these lines.
//! After an interruption it connects again, and continues with the next line. Every document is one chunk. The
//! extension `seq` is the number of the document.
use degu_client::blocking::Client;
use degu_server::{Address, Body, BoxError, Chunk, Error, Request, Server, Session};
use std::{env, io, process, thread, time::Duration};
use tokio::sync::watch;

fn serve(address: Address) -> Result<(), BoxError> {
    let (log, feed) = watch::channel(Vec::<String>::new());
    thread::spawn(move || {
        io::stdin().lines().map_while(Result::ok).for_each(|line| log.send_modify(|all| all.push(line)))
    });
    let app = async move |_: &mut Session, request: Request<'_>| -> Result<Body, Error> {
        let since = request.query_value("since").as_deref().unwrap_or("0").parse::<usize>();
        let since = since.map_err(|_| Error::new(400, "since must be a number\n"))?;
        Ok(Body::try_unfold((feed.clone(), since), |(mut feed, seq)| async move {
            let document = feed.wait_for(|log| log.len() > seq).await.ok().map(|log| log[seq].clone());
            Ok(document.map(|document| (Chunk::new(document).with_extension("seq", seq + 1), (feed, seq + 1))))
        }))
    };
    Ok(Server::bind(address, app)?.serve_forever()?)
}

/// Follows the feed until it ends. After an error `seen` is the number of the last whole document.
fn follow(client: &Client, seen: &mut u64) -> Result<(), BoxError> {
    let mut connection = client.connect()?;
    let mut response = connection.get(&format!("/changes?since={seen}"))?.success()?;
    while let Some(chunk) = response.body.next_chunk()? {
        println!("{}", String::from_utf8_lossy(&chunk.data));
        *seen = chunk.extension("seq").ok_or("the server sent a change without the chunk extension seq")?.parse()?;
    }
    Ok(())
}

fn run() -> Result<(), BoxError> {
    let address: Address = env::args().nth(2).ok_or("usage: changes serve|follow ADDRESS")?.parse()?;
    if env::args().nth(1).as_deref() == Some("serve") {
        return serve(address);
    }
    let (client, mut seen) = (Client::options().body_timeout(None).client(address), 0);
    while let Err(error) = follow(&client, &mut seen) {
        eprintln!("connection failed after change {seen}: {error}; connecting again");
        thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

fn main() {
    run().unwrap_or_else(|error| {
        eprintln!("changes: {error}");
        process::exit(1)
    });
}
