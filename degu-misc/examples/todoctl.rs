//! A client of `todo` for the command line: `todoctl ADDRESS list [TEXT] | add TEXT | remove NUMBER`.
//!
//! Each command has a timeout of 2 s, which includes connecting. An error is one sentence on stderr, and an exit code
//! for scripts:
//!
//! - 1: any other error
//! - 2: wrong arguments
//! - 3: no connection could be made
//! - 4: the timeout expired
//! - 5: the server answered with a status other than 2xx
//! - 6: the answer of the server could not be used
use std::{fmt, process::ExitCode, time::Duration};

use degu_client::{Address, Error, ErrorKind, Json, Target, blocking::Client};
use serde::{Deserialize, Serialize};

const LIMIT: Duration = Duration::from_secs(2);
/// The longest list, in bytes.
const MOST: usize = 16 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Todo {
    text: String,
    #[serde(default)]
    done: bool,
}

/// Writes a line. Control characters are escaped, because a terminal would obey them.
impl fmt::Display for Todo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", if self.done { 'x' } else { ' ' }, self.text.escape_debug())
    }
}

fn run(address: Address, command: &[&str]) -> Result<(), Error> {
    // A pool is used, because its timeout includes connecting.
    let server = Client::options().timeout(LIMIT).client(address).pool();
    let todos = Target::new("/todos")?;
    match command {
        ["add", text] => {
            let todo = Todo { text: (*text).to_owned(), done: false };
            let mut response = server.post(&todos, Json(todo))?.success()?;
            println!("{}", response.body.json::<Todo>(64 * 1024)?);
        }
        ["remove", number] => drop(server.delete(&todos.segment(number))?.success()?),
        ["list", text] => {
            let mut response = server.get(&todos.query("text", text))?.success()?;
            response.body.json::<Vec<Todo>>(MOST)?.iter().for_each(|todo| println!("{todo}"));
        }
        _ => {
            let mut response = server.get(&todos)?.success()?;
            let all: Vec<Todo> = response.body.json(MOST)?;
            // The command `remove` takes this number.
            all.iter().enumerate().for_each(|(number, todo)| println!("{number} {todo}"));
        }
    }
    Ok(())
}

fn exit_code(error: &Error) -> u8 {
    match error.kind() {
        _ if error.is_timeout() => 4,
        _ if error.is_connect() => 3,
        ErrorKind::Status(_) => 5,
        ErrorKind::Content(_) | ErrorKind::Remote(_) => 6,
        _ => 1,
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (address, command) = match arguments.split_first() {
        Some((address, command @ (["list"] | ["list" | "add" | "remove", _]))) => (address, command),
        _ => {
            eprintln!("usage: todoctl ADDRESS list [TEXT] | add TEXT | remove NUMBER");
            return ExitCode::from(2);
        }
    };
    let Ok(address) = address.parse() else {
        eprintln!("todoctl: {address:?} is not an address: write unix:/run/todo.sock or 127.0.0.1:8080, for example");
        return ExitCode::from(2);
    };
    match run(address, command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("todoctl: {error}");
            ExitCode::from(exit_code(&error))
        }
    }
}
