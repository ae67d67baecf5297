//! Logging: the lines of the log, for people or as JSON, and how they leave the process.
//!
//! A library installs no logger, so this belongs to the binary alone. Lines go to stderr through a queue and a
//! thread of their own: were they written by the thread that logs, a full pipe (whoever reads it hangs, or its disk
//! is full) would stop a worker with all its sockets. When the queue is full, lines are dropped and counted: the
//! count is logged once there is room again, and is among the metrics. A panic is logged too, by its place alone,
//! since its words may hold what a client sent.
//!
//! The queue is our own. `tracing-appender` drops and counts lines too, but where its queue is still full at exit it
//! prints to stdout, which can block the exit. `logforth` counts nothing and waits without a limit for its last line.

use env_logger::fmt::{Formatter, WriteStyle};
use env_logger::{Builder, Logger, Target};
use handclasp::config::{self, LogFormat};
use log::{LevelFilter, Log, Metadata, Record};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Lines that wait for stderr; at 200 bytes a line, 800 KiB.
const QUEUE: usize = 4_096;

/// How long the process waits at exit for lines that are not written yet.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// How HTTP's part of the server tells of requests that are none. What clients send is no error of ours; they are
/// counted (`connections_without_request`), and would else be lines that anybody can have written.
const HTTP: &str = "actix_http::h1::dispatcher";
const NO_REQUEST: &str = "stream error: ";

enum Job {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Writes what is still queued when it is dropped, unless stderr takes nothing.
pub(crate) struct Logging {
    queue: SyncSender<Job>,
    dropped: Arc<AtomicU64>,
}

impl Logging {
    /// How many lines have been dropped since it was started.
    pub(crate) fn dropped(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let dropped = self.dropped.clone();
        move || dropped.load(Relaxed)
    }
}

/// Starts the log of this process, once; `config` has been checked.
pub(crate) fn start(config: &config::Log) -> io::Result<Logging> {
    let (queue, jobs) = sync_channel(QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let lines = Lines { queue: queue.clone(), dropped: dropped.clone() };
    let counted = dropped.clone();
    std::thread::Builder::new().name("log".into()).spawn(move || write_out(&jobs, &counted))?;
    let mut builder = Builder::new();
    // a filter that names the module still has its way: where the server listens is said on stdout, and what HTTP's
    // parser says of headers that it cannot read may hold their values
    builder.filter_module("actix_server", LevelFilter::Warn).filter_module("actix_http", LevelFilter::Error);
    builder.parse_filters(&config.level).format_timestamp_millis();
    match config.format {
        // to a pipe, which our queue is to env_logger, it would write no colours
        LogFormat::Human if io::stderr().is_terminal() => builder.write_style(WriteStyle::Always),
        LogFormat::Human => builder.write_style(WriteStyle::Never),
        LogFormat::Json => builder.format(json_line),
    };
    let logger = builder.target(Target::Pipe(Box::new(lines))).build();
    log::set_max_level(logger.filter());
    log::set_boxed_logger(Box::new(RedactingLogger(logger))).map_err(io::Error::other)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(Logging { queue, dropped })
}

/// A logger without the lines that quote what a client sent.
struct RedactingLogger(Logger);

impl Log for RedactingLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !is_of_a_client(record) {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

fn is_of_a_client(record: &Record<'_>) -> bool {
    record.target() == HTTP && record.args().to_string().starts_with(NO_REQUEST)
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    match panic.location() {
        Some(place) => log::error!("panic at {place}"),
        None => log::error!("panic"),
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let (written, wait) = sync_channel(1);
        if self.queue.try_send(Job::Flush(written)).is_ok() {
            let _ = wait.recv_timeout(FLUSH_TIMEOUT); // late or never: nothing more can be done
        }
    }
}

#[derive(Serialize)]
struct JsonLine<'a> {
    ts: String,
    level: &'a str,
    target: &'a str,
    msg: String,
}

fn json_line(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let line = JsonLine {
        ts: out.timestamp_millis().to_string(),
        level: &record.level().as_str().to_lowercase(),
        target: record.target(),
        msg: record.args().to_string(),
    };
    writeln!(out, "{}", serde_json::to_string(&line)?)
}

/// The log thread: it alone may be held up by stderr.
fn write_out(jobs: &Receiver<Job>, dropped: &AtomicU64) {
    let mut reported = 0;
    let mut next = || {
        jobs.try_recv().or_else(|_| {
            report_dropped(dropped.load(Relaxed), &mut reported);
            jobs.recv()
        })
    };
    while let Ok(job) = next() {
        match job {
            // a log that cannot be written has nowhere to be told of
            Job::Line(line) => drop(io::stderr().write_all(&line)),
            Job::Flush(written) => drop(written.try_send(())),
        }
    }
}

/// Logs how many lines were dropped since the last such report. It is called while the queue is empty, or this line would
/// be dropped as well.
fn report_dropped(dropped: u64, reported: &mut u64) {
    match dropped - std::mem::replace(reported, dropped) {
        0 => {}
        lines => log::warn!("{lines} log lines dropped while stderr was blocked"),
    }
}

/// The end of the queue that `env_logger` writes to, a whole line at a time.
struct Lines {
    queue: SyncSender<Job>,
    dropped: Arc<AtomicU64>,
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Job::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
