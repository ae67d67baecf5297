//! What the broker costs, compared with a bare epoll loop and with npm's `peer` and `socket.io` doing the same work:
//! `make bench`. Each server runs alone on core 0, the clients on another core. The benches measure the server's own
//! CPU time and memory, so other load on the machine changes little.

mod api;
mod chart;
mod client;
mod cluster;
mod dialect;
mod engines;
mod files;
mod growth;
mod limit;
mod load;
mod machine;
mod meter;
mod micro;
mod plan;
mod results;
mod server;
mod tokens;
mod work;

use std::io;
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};
use plan::Plan;

const EXAMPLES: &str = "\
Examples:
  make bench                  everything, in about six minutes once it is built
  make bench ONLY=relay       only the rows whose names contain the word; stores no results
  make bench ONLY=PeerJS,idle
  make bench ONLY=cluster     two nodes, over Redis and over NATS
  make bench-quick            everything, less accurately
  make bench-docs             write the last results into web/docs/costs.md";

/// Measures what the broker costs, compared with a bare epoll loop and with npm's servers
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<OtherCommand>,
    /// Only the rows and questions whose names contain one of these words; results are printed and not stored
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    only: Vec<String>,
    /// One short round of everything
    #[arg(long)]
    quick: bool,
    /// The flag that cargo bench passes to every bench
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

/// The subcommands.
#[derive(Subcommand)]
enum OtherCommand {
    /// List the names of the rows and questions
    List,
    /// Write the last results into web/docs/costs.md
    Docs,
    /// Run the bare epoll loop, on a free port
    Limit,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(OtherCommand::List) => {
            Plan::new(cli.quick).names().iter().for_each(|name| println!("{name}"));
            Ok(())
        }
        Some(OtherCommand::Docs) => files::update_page(),
        Some(OtherCommand::Limit) => limit::run(),
        None => measure(&cli),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(cli: &Cli) -> io::Result<()> {
    move_to_second_core()?;
    let only: Vec<String> = cli.only.iter().map(|word| word.to_lowercase()).collect();
    let results = Plan::new(cli.quick).run(&only)?;
    println!("{}", results.table());
    if only.is_empty() {
        println!("stored in {}", files::store(&results)?.display());
    }
    match results.faults.len() {
        0 => Ok(()),
        count => Err(io::Error::other(format!("{count} rows or questions could not be measured"))),
    }
}

/// Moves this process to the second core, if there is one: the servers run on the first.
fn move_to_second_core() -> io::Result<()> {
    let me = std::process::id().to_string();
    if std::thread::available_parallelism()?.get() > 1 {
        Command::new("taskset").args(["--cpu-list", "--pid", "1", &me]).output()?;
    }
    Ok(())
}
