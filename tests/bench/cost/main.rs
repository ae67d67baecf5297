//! What the broker costs, beside the least that the work takes and beside npm's `peer` and `socket.io` doing the same:
//! `make bench`. Each server has core 0 for itself, the clients are on another; what is counted is the server's own
//! CPU time and memory, so that a busy machine changes little.

mod client;
mod dialect;
mod files;
mod growth;
mod limit;
mod load;
mod machine;
mod meter;
mod micro;
mod picture;
mod plan;
mod results;
mod server;
mod work;

use std::io;
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};
use plan::Plan;

const EXAMPLES: &str = "\
Examples:
  make bench                  all of it, in about six minutes, once it is built
  make bench ONLY=relay       the rows whose names have that in them; keeps no results
  make bench ONLY=PeerJS,idle
  make bench-quick            all of it, roughly
  make bench-readme           the last results into the README";

/// Measures what the broker costs, beside a bare loop around epoll and beside npm's servers
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Instead>,
    /// Only the rows and questions whose names have one of these in them; results are shown and not kept
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    only: Vec<String>,
    /// One short round of everything
    #[arg(long)]
    quick: bool,
    /// What cargo bench says to all benches
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

/// What else it can do.
#[derive(Subcommand)]
enum Instead {
    /// Name the rows and questions
    List,
    /// Show the last results in the README
    Readme,
    /// Be the bare loop, on a port of its own choice
    Limit,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Instead::List) => {
            Plan::new(cli.quick).names().iter().for_each(|name| println!("{name}"));
            Ok(())
        }
        Some(Instead::Readme) => files::show(),
        Some(Instead::Limit) => limit::run(),
        None => measure(&cli),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(cli: &Cli) -> io::Result<()> {
    stay_off_the_servers_core()?;
    let only: Vec<String> = cli.only.iter().map(|word| word.to_lowercase()).collect();
    let results = Plan::new(cli.quick).run(&only)?;
    println!("{}", results.table());
    if only.is_empty() {
        println!("kept in {}", files::keep(&results)?.display());
    }
    match results.faults.len() {
        0 => Ok(()),
        some => Err(io::Error::other(format!("{some} could not be measured"))),
    }
}

/// Clients have the second core, if there is one.
fn stay_off_the_servers_core() -> io::Result<()> {
    let me = std::process::id().to_string();
    if std::thread::available_parallelism()?.get() > 1 {
        Command::new("taskset").args(["--cpu-list", "--pid", "1", &me]).output()?;
    }
    Ok(())
}
